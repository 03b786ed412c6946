//! Our peer: mobile-bff with every policy on, and the proof that they are at work.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use gateway_core::assertion::AssertionKey;
use gateway_core::clock::Clock;
use rand::RngExt as _;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::process::{Process, READY_WITHIN, free_address, pinned};
use super::upstream;
use crate::platform::user::{DEMO_EMAIL, DEMO_PASSWORD};
use crate::platform::{self, Running, Service, Settings};
use crate::profiled;
use crate::verify::repository;

/// What a service must find on every call.
const SEEN_BY_SERVICES: [&str; 4] =
    ["x-user-id: 4821", "x-request-id:", "traceparent:", "x-gateway-assertion:"];

/// How the gateway is configured, and where it is once it has started.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    pub(super) access_log: PathBuf,
    admin: SocketAddr,
    directory: PathBuf,
    /// What it shares with every service.
    key: String,
    user_service: Running,
    program: PathBuf,
}

impl Gateway {
    /// The sample's configuration with every policy on, and limits that are charged and never
    /// refuse; `more` is what a workload adds to it.
    pub(super) async fn configure(
        directory: &Path,
        upstream: SocketAddr,
        more: &str,
    ) -> Result<Self> {
        let key = format!("{:064x}", rand::rng().random::<u128>());
        let settings = Settings {
            keys: vec![AssertionKey::build(key.as_bytes())?],
            clock: Clock::system(),
            logs_to_stdout: false,
            takes_faults: false,
        };
        let gateway = Self {
            address: free_address()?,
            access_log: directory.join("mobile-bff-access.log"),
            admin: free_address()?,
            directory: directory.to_owned(),
            key,
            user_service: platform::start(Service::User, 0, settings).await?,
            program: program("mobile-bff"),
        };
        let config = repository().join("config");
        for name in ["platform.toml", "mobile-bff.toml"] {
            fs::copy(config.join(name), directory.join(name))?;
        }
        let layer = gateway.layer(upstream);
        fs::write(directory.join("mobile-bff.bench.toml"), format!("{layer}\n{more}"))?;
        Ok(gateway)
    }

    /// The same, of the binaries that `cargo build-gateways` makes.
    pub(super) fn profiled(self) -> Self {
        Self { program: profiled::place("mobile-bff"), ..self }
    }

    fn layer(&self, upstream: SocketAddr) -> String {
        let Self { address, access_log, admin, .. } = self;
        let users = self.user_service.url();
        let never = "\"1000000/s\"";
        let mut layer = format!(
            "[server]\nlisten = \"{address}\"\ncores = 1\nconnections_max = 20_000\nbody_size_max = \"2GiB\"\n\n[admin]\nlisten = \"{admin}\"\n\n\
             [log]\naccess = {access_log:?}\n\n\
             [limits.consumer]\nrate = {{ free = {never}, pro = {never}, partner = {never} }}\n\n\
             [limits.address]\nrate = {never}\n\n[limits.links-read]\nrate = {never}\n\n\
             [auth.jwt.issuers.user-service]\njwks_url = \"{users}/.well-known/jwks.json\"\n"
        );
        for service in Service::ALL {
            let url = match service {
                Service::User => users.clone(),
                _ => format!("http://{upstream}"),
            };
            let _ = write!(layer, "\n[services.{}]\nurl = \"{url}\"\n", service.name());
        }
        layer
    }

    /// Starts the binary that is measured.
    pub(super) fn start(&self) -> Result<Process> {
        self.serve(&mut pinned(&self.program), "mobile-bff")
    }

    /// Starts a command that is the gateway once it has its arguments.
    pub(super) fn serve(&self, command: &mut Command, name: &str) -> Result<Process> {
        command.args(["serve", "--stop-with-parent", "--environment", "bench", "--config"]);
        command.arg(&self.directory);
        for service in Service::ALL {
            command.env(service.key_variable(), &self.key);
        }
        let mut process = Process::start(command, name)?;
        process.wait_for(self.address, name)?;
        Ok(process)
    }

    /// An access token, once the gateway has the keys to verify it.
    pub(super) async fn log_in(&self) -> Result<String> {
        let client = client()?;
        let give_up_at = Instant::now() + READY_WITHIN;
        let ready = format!("http://{}/readyz", self.admin);
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
            ensure!(Instant::now() < give_up_at, "mobile-bff does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let body = json!({ "email": DEMO_EMAIL, "password": DEMO_PASSWORD }).to_string();
        let login = client.post(format!("http://{}/auth/login", self.address));
        let answer = login.header("Content-Type", "application/json").body(body).send().await?;
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await?)?;
        match body["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => bail!("mobile-bff answered a login with {status}"),
        }
    }

    /// Sees every policy at work once, with the token that is measured and without: a gateway that
    /// left one out would be flattered.
    pub(super) async fn check_policies(&self, token: &str) -> Result<()> {
        let answer = self.admitted(upstream::SEEN, token).await?;
        check_seen(&answer.text().await?)
    }

    /// The answer to a request that a token, and it alone, makes good, and that the limits were
    /// charged for.
    pub(super) async fn admitted(&self, path: &str, token: &str) -> Result<Response> {
        let client = client()?;
        let url = format!("http://{}{path}", self.address);
        let refused = client.get(&url).send().await?.status();
        ensure!(refused == 401, "a request without a token was answered {refused}");
        let answer = client.get(&url).bearer_auth(token).send().await?.error_for_status()?;
        let policies = answer.headers().get("ratelimit-policy");
        let policies = policies.and_then(|policies| policies.to_str().ok()).unwrap_or_default();
        for limit in ["address", "consumer", "links-read"] {
            ensure!(policies.contains(&format!("\"{limit}\"")), "not charged: {limit}");
        }
        Ok(answer)
    }

    /// The metrics as they are now.
    pub(super) async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.admin);
        Ok(client()?.get(url).send().await?.error_for_status()?.text().await?)
    }
}

/// A binary as cargo has built it, with optimisation.
pub(super) fn program(name: &str) -> PathBuf {
    repository().join("target/release").join(name)
}

/// Looks at the head of a call as a service has received it.
pub(super) fn check_seen(head: &str) -> Result<()> {
    let head = head.to_ascii_lowercase();
    for header in SEEN_BY_SERVICES {
        ensure!(head.contains(&format!("\r\n{header}")), "the service has no {header}");
    }
    Ok(())
}

fn client() -> Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_lacks_the_assertion_fails_the_run() {
        let complete = "GET / HTTP/1.1\r\nX-User-ID: 4821\r\nX-Request-ID: 1\r\nTraceparent: 1\r\n\
                        X-Gateway-Assertion: v1\r\n\r\n";
        assert!(check_seen(complete).is_ok());
        let lacks = complete.replace("X-Gateway-Assertion", "X-Other");
        let error = check_seen(&lacks).expect_err("it lacks one").to_string();
        assert_eq!(error, "the service has no x-gateway-assertion:");
    }
}
