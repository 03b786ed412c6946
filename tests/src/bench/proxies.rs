//! What is measured: nginx and the gateway, each on processor 0, in front of the same upstream.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gateway_core::assertion::AssertionKey;
use gateway_core::clock::Clock;
use rand::RngExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::upstream;
use crate::platform::user::{DEMO_EMAIL, DEMO_PASSWORD};
use crate::platform::{self, Running, Service, Settings};
use crate::verify::repository;

const NGINX: &str = include_str!("../../bench/nginx.conf");
const READY_WITHIN: Duration = Duration::from_secs(20);

/// One of the peers.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) process: u32,
    pub(super) address: SocketAddr,
    /// The bytes of one request.
    pub(super) request: String,
}

/// All peers, and what they need to run.
#[derive(Debug)]
pub(super) struct Proxies {
    peers: Vec<Proxy>,
    children: Vec<Child>,
    _user_service: Running,
    _directory: TempDir,
}

/// Fails with the remedy when a program is missing.
pub(super) fn find(program: &str, remedy: &str) -> Result<()> {
    let found = std::process::Command::new(program)
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.map(drop).with_context(|| format!("{program} is missing; try `{remedy}`"))
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
        let mut children = Vec::new();
        let mut peers = Vec::new();
        for (name, access_log) in [("nginx", "access.log"), ("nginx-log-off", "off")] {
            let (child, address) = start_nginx(directory.path(), name, access_log, upstream)?;
            peers.push(Proxy { name, process: id(&child)?, address, request: request("") });
            children.push(child);
        }
        let gateway = Gateway::configure(directory.path(), upstream, &user_service)?;
        let child = gateway.start(directory.path(), &key)?;
        let process = id(&child)?;
        children.push(child);
        let token = gateway.log_in().await?;
        let request = request(&format!("Authorization: Bearer {token}\r\n"));
        // Every peer reads the same bytes.
        for peer in &mut peers {
            peer.request.clone_from(&request);
        }
        peers.push(Proxy { name: "mobile-bff", process, address: gateway.address, request });
        Ok(Self { peers, children, _user_service: user_service, _directory: directory })
    }

    pub(super) fn all(&self) -> &[Proxy] {
        &self.peers
    }

    pub(super) async fn stop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill().await;
        }
    }
}

fn id(child: &Child) -> Result<u32> {
    child.id().context("a proxy has ended")
}

fn request(more: &str) -> String {
    format!(
        "GET /links/x7Kp2 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{more}\r\n"
    )
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program on processor 0, ended with this one.
fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn start_nginx(
    directory: &Path,
    name: &str,
    access_log: &str,
    upstream: SocketAddr,
) -> Result<(Child, SocketAddr)> {
    let home = directory.join(name);
    fs::create_dir(&home)?;
    let address = free_address()?;
    let configuration = NGINX
        .replace("{access_log}", access_log)
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string());
    fs::write(home.join("nginx.conf"), configuration)?;
    let child = pinned(Path::new("nginx"))
        .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
        .arg(&home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start nginx")?;
    wait_for(address, name)?;
    Ok((child, address))
}

fn wait_for(address: SocketAddr, name: &str) -> Result<()> {
    let give_up_at = Instant::now() + READY_WITHIN;
    while std::net::TcpStream::connect(address).is_err() {
        ensure!(Instant::now() < give_up_at, "{name} does not listen on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

struct Gateway {
    address: SocketAddr,
    admin: SocketAddr,
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
        Ok(Self { address, admin })
    }

    fn start(&self, directory: &Path, key: &str) -> Result<Child> {
        let program = repository().join("target/release/mobile-bff");
        let mut command = pinned(&program);
        command.args(["serve", "--stop-with-parent", "--environment", "bench", "--config"]);
        command.arg(directory);
        for service in Service::ALL {
            command.env(service.key_variable(), key);
        }
        let child = command.spawn().context("cannot start mobile-bff")?;
        wait_for(self.address, "mobile-bff")?;
        Ok(child)
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
}
