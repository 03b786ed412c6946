//! What is measured: nginx and the gateway, each on processor 0, in front of the same upstream.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gateway_core::assertion::AssertionKey;
use gateway_core::clock::Clock;
use rand::RngExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::upstream;
use crate::platform::user::{DEMO_EMAIL, DEMO_PASSWORD};
use crate::platform::{self, Running, Service, Settings};
use crate::verify::repository;

const NGINX: &str = include_str!("../../bench/nginx.conf");
const READY_WITHIN: Duration = Duration::from_secs(20);
const END_WITHIN: Duration = Duration::from_secs(10);

/// One of the peers.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) process: u32,
    pub(super) address: SocketAddr,
    /// The bytes of one request.
    pub(super) request: String,
    /// Where it writes a line for each request.
    access_log: Option<PathBuf>,
}

/// All peers, and what they need to run.
#[derive(Debug)]
pub(super) struct Proxies {
    peers: Vec<Proxy>,
    processes: Vec<Process>,
    _user_service: Running,
    _directory: TempDir,
}

/// A process that ends with this value.
///
/// It is asked before it is killed: nginx, killed, would leave its worker behind, listening.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Waits until it listens.
    fn wait_for(&mut self, address: SocketAddr, name: &str) -> Result<()> {
        let give_up_at = Instant::now() + READY_WITHIN;
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("{name} has ended before it listened: {status}");
            }
            ensure!(Instant::now() < give_up_at, "{name} does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The number of a process that has ended may be another's by now.
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let give_up_at = Instant::now() + END_WITHIN;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > give_up_at {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where a program is; fails with the remedy when it is missing.
pub(super) fn find(program: &str, remedy: &str) -> Result<PathBuf> {
    // Debian keeps servers where only root's PATH leads.
    let places = [PathBuf::from(program), Path::new("/usr/sbin").join(program)];
    let is_there = |place: &PathBuf| {
        let mut command = Command::new(place);
        command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let found = places.into_iter().find(is_there);
    found.with_context(|| format!("{program} is missing; try `{remedy}`"))
}

/// nginx, wherever this machine has it.
pub(super) fn find_nginx() -> Result<PathBuf> {
    find("nginx", "apt-get install nginx-light")
}

impl Proxies {
    pub(super) async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let upstream = upstream::start().await?;
        let key = format!("{:064x}", rand::rng().random::<u128>());
        let settings = Settings {
            keys: vec![AssertionKey::build(key.as_bytes())?],
            clock: Clock::system(),
            logs_to_stdout: false,
            takes_faults: false,
        };
        let user_service = platform::start(Service::User, 0, settings).await?;
        let (mut processes, mut peers) = (Vec::new(), Vec::new());
        for (name, access_log) in [("nginx", "access.log"), ("nginx-log-off", "off")] {
            let home = directory.path().join(name);
            let (process, address) = start_nginx(&home, name, access_log, upstream)?;
            let access_log = (access_log != "off").then(|| home.join(access_log));
            peers.push(Proxy {
                name,
                process: process.0.id(),
                address,
                request: String::new(),
                access_log,
            });
            processes.push(process);
        }
        let gateway = Gateway::configure(directory.path(), upstream, &user_service)?;
        let process = gateway.start(directory.path(), &key)?;
        let token = gateway.log_in().await?;
        gateway.check_policies(&token).await?;
        peers.push(Proxy {
            name: "mobile-bff",
            process: process.0.id(),
            address: gateway.address,
            request: String::new(),
            access_log: Some(gateway.access_log),
        });
        processes.push(process);
        for peer in &mut peers {
            peer.request = request(&token);
        }
        Ok(Self { peers, processes, _user_service: user_service, _directory: directory })
    }

    pub(super) fn all(&self) -> &[Proxy] {
        &self.peers
    }

    /// Ends every peer. A line that a peer had to write and has not is work that it was not charged
    /// for: each must have written one for every request that it served.
    pub(super) fn stop(mut self, served: &[u64]) -> Result<()> {
        self.processes.clear();
        for (peer, served) in self.peers.iter().zip(served) {
            if let Some(log) = &peer.access_log {
                check_lines(log, *served).with_context(|| peer.name)?;
            }
        }
        Ok(())
    }
}

fn check_lines(log: &Path, served: u64) -> Result<()> {
    let lines = lines_of(log)?;
    ensure!(lines >= served, "has written {lines} access lines for {served} requests");
    Ok(())
}

fn lines_of(file: &Path) -> Result<u64> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut reader, mut lines) = (BufReader::with_capacity(1 << 20, opened), 0);
    while reader.skip_until(b'\n')? > 0 {
        lines += 1;
    }
    Ok(lines)
}

/// Every peer reads the same bytes.
fn request(token: &str) -> String {
    format!(
        "GET /links/x7Kp2 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program on processor 0.
fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program).stdin(Stdio::null());
    command
}

fn start_nginx(
    home: &Path,
    name: &str,
    access_log: &str,
    upstream: SocketAddr,
) -> Result<(Process, SocketAddr)> {
    fs::create_dir(home)?;
    let address = free_address()?;
    let configuration = NGINX
        .replace("{access_log}", access_log)
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string());
    fs::write(home.join("nginx.conf"), configuration)?;
    let child = pinned(&find_nginx()?)
        .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
        .arg(home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start nginx")?;
    let mut process = Process(child);
    process.wait_for(address, name)?;
    Ok((process, address))
}

struct Gateway {
    address: SocketAddr,
    admin: SocketAddr,
    access_log: PathBuf,
}

impl Gateway {
    /// The sample's configuration with every policy on, and limits that are charged and never
    /// refuse.
    fn configure(directory: &Path, upstream: SocketAddr, users: &Running) -> Result<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let config = repository().join("config");
        for name in ["platform.toml", "mobile-bff.toml"] {
            fs::copy(config.join(name), directory.join(name))?;
        }
        let access_log = directory.join("mobile-bff-access.log");
        let never = "\"1000000/s\"";
        let mut layer = format!(
            "[server]\nlisten = \"{address}\"\ncores = 1\n\n[admin]\nlisten = \"{admin}\"\n\n\
             [log]\naccess = {access_log:?}\n\n\
             [limits.consumer]\nrate = {{ free = {never}, pro = {never}, partner = {never} }}\n\n\
             [limits.address]\nrate = {never}\n\n[limits.links-read]\nrate = {never}\n\n\
             [auth.jwt.issuers.user-service]\njwks_url = \"{}/.well-known/jwks.json\"\n",
            users.url()
        );
        for service in Service::ALL {
            let url = match service {
                Service::User => users.url(),
                _ => format!("http://{upstream}"),
            };
            let _ = write!(layer, "\n[services.{}]\nurl = \"{url}\"\n", service.name());
        }
        fs::write(directory.join("mobile-bff.bench.toml"), layer)?;
        Ok(Self { address, admin, access_log })
    }

    fn start(&self, directory: &Path, key: &str) -> Result<Process> {
        let program = repository().join("target/release/mobile-bff");
        let mut command = pinned(&program);
        command.args(["serve", "--stop-with-parent", "--environment", "bench", "--config"]);
        command.arg(directory);
        for service in Service::ALL {
            command.env(service.key_variable(), key);
        }
        let mut process = Process(command.spawn().context("cannot start mobile-bff")?);
        process.wait_for(self.address, "mobile-bff")?;
        Ok(process)
    }

    /// An access token, once the gateway has the keys to verify it.
    async fn log_in(&self) -> Result<String> {
        let client = reqwest::Client::builder().no_proxy().build()?;
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
    async fn check_policies(&self, token: &str) -> Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}{}", self.address, upstream::SEEN);
        let refused = client.get(&url).send().await?.status();
        ensure!(refused == 401, "a request without a token was answered {refused}");
        let answer = client.get(&url).bearer_auth(token).send().await?.error_for_status()?;
        let policies = answer.headers().get("ratelimit-policy");
        let policies = policies.and_then(|policies| policies.to_str().ok()).unwrap_or_default();
        for limit in ["address", "consumer", "links-read"] {
            ensure!(policies.contains(&format!("\"{limit}\"")), "not charged: {limit}");
        }
        let seen = answer.text().await?.to_ascii_lowercase();
        for header in ["x-user-id: 4821", "x-request-id:", "traceparent:", "x-gateway-assertion:"] {
            ensure!(seen.contains(&format!("\r\n{header}")), "the service has no {header}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_asked_to_end_and_has_ended_when_its_value_is_gone() {
        let directory = tempfile::tempdir().expect("a folder");
        let mut shell = Command::new("sh");
        let script =
            "trap 'echo asked > asked; exit' TERM; echo ready; while :; do sleep 0.01; done";
        shell.args(["-c", script]).current_dir(directory.path()).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let said = BufReader::new(child.stdout.take().expect("piped")).lines().next();
        assert_eq!(said.expect("a line").expect("UTF-8"), "ready");
        let id = child.id();
        drop(Process(child));
        assert!(directory.path().join("asked").exists(), "killed, not asked");
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_process_that_ends_before_it_listens_is_not_waited_for() {
        let mut process = Process(Command::new("false").spawn().expect("a process"));
        let address = free_address().expect("a port");
        let error = process.wait_for(address, "it").expect_err("it has ended").to_string();
        assert!(error.contains("it has ended before it listened"), "{error}");
    }

    #[test]
    fn a_peer_that_wrote_fewer_lines_than_it_served_fails_the_run() {
        let directory = tempfile::tempdir().expect("a folder");
        let log = directory.path().join("access.log");
        fs::write(&log, "one\ntwo\n").expect("written");
        assert!(check_lines(&log, 2).is_ok());
        let error = check_lines(&log, 3).expect_err("one is missing").to_string();
        assert_eq!(error, "has written 2 access lines for 3 requests");
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_remedy() {
        let error = find("no-such-program", "apt-get install it").expect_err("missing").to_string();
        assert_eq!(error, "no-such-program is missing; try `apt-get install it`");
    }
}
