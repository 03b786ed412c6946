//! The work that a profile is of: the demo's gateways serve their consumers for a while.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::connection::{Connection, Protocol};
use super::requests::{self, Asked};

/// Connections to each gateway.
const CONNECTIONS: usize = 8;

/// One round of work.
#[derive(Debug, Clone)]
pub struct Training {
    /// The program behind `cargo demo`.
    pub demo: PathBuf,
    /// The folder with the three gateways.
    pub gateways: PathBuf,
    /// Where the demo's ports are.
    pub port_offset: u16,
    /// How long each gateway serves over each protocol; once through all requests in any case.
    pub length: Duration,
    /// Where gateways that count write to, with the compiler's own place-holders.
    pub counts: Option<PathBuf>,
}

impl Training {
    /// Starts the demo, calls each of its gateways over what is spoken there, and ends it.
    ///
    /// # Errors
    ///
    /// A demo that does not start, or an answer with another status than is expected.
    pub async fn serve(&self, is_tls: bool) -> Result<()> {
        let mut demo = self.start(is_tls)?;
        let ready = demo.ready()?;
        // Browsers and apps agree on HTTP/2 in the handshake; in the clear it is for machines.
        let protocols: &[Protocol] =
            if is_tls { &[Protocol::Http1, Protocol::Http2] } else { &[Protocol::Http1] };
        for section in ["mobile", "web", "partner"] {
            for &protocol in protocols {
                let work = Work::of(section, &ready, protocol)?;
                work.go_on_for(self.length)
                    .await
                    .with_context(|| format!("{section}, {protocol:?}"))?;
            }
        }
        demo.end()
    }

    fn start(&self, is_tls: bool) -> Result<Demo> {
        let mut command = Command::new(&self.demo);
        command.args(["--json", "--unlimited", "--port-offset", &self.port_offset.to_string()]);
        command.arg("--programs").arg(&self.gateways);
        if is_tls {
            command.arg("--tls");
        }
        if let Some(counts) = &self.counts {
            command.env("LLVM_PROFILE_FILE", counts);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let name = self.demo.display();
        Ok(Demo(command.spawn().with_context(|| format!("cannot start {name}"))?))
    }
}

/// A demo that is ended with its value.
struct Demo(Child);

impl Demo {
    /// What it says once all is ready.
    fn ready(&mut self) -> Result<Value> {
        let stdout = self.0.stdout.as_mut().context("its output is no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the demo ended; its words are above");
        Ok(serde_json::from_str(&line)?)
    }

    /// Gateways that count write when they end, so they are given the time.
    fn end(mut self) -> Result<()> {
        self.terminate();
        let status = self.0.wait()?;
        ensure!(status.success(), "the demo ended with {status}");
        Ok(())
    }

    fn terminate(&self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.0.wait();
        }
    }
}

/// What one gateway is asked over one protocol.
#[derive(Debug, Clone)]
struct Work {
    section: &'static str,
    ready: Value,
    authority: String,
    trusted: Option<PathBuf>,
    protocol: Protocol,
}

impl Work {
    fn of(section: &'static str, ready: &Value, protocol: Protocol) -> Result<Self> {
        let url = ready[section]["url"].as_str().context("the demo says no URL")?;
        let (_scheme, authority) = url.split_once("://").context("no URL")?;
        let (ready, authority) = (ready.clone(), authority.to_owned());
        let trusted = ready["authority"].as_str().map(PathBuf::from);
        Ok(Self { section, ready, authority, trusted, protocol })
    }

    async fn go_on_for(self, length: Duration) -> Result<()> {
        let until = Instant::now() + length;
        let mut callers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            callers.spawn(self.clone().call_until(until));
        }
        while let Some(caller) = callers.join_next().await {
            caller??;
        }
        Ok(())
    }

    async fn call_until(self, until: Instant) -> Result<()> {
        let trusted = self.trusted.as_deref();
        let mut connection = Connection::open(&self.authority, trusted, self.protocol).await?;
        let asked = requests::of(self.section, &self.ready)?;
        let to = (self.authority.as_str(), self.protocol);
        let asked =
            requests::logged_in(self.section, &self.ready, asked, &mut connection, to).await?;
        loop {
            self.one_turn(&asked, &mut connection).await?;
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    async fn one_turn(&self, asked: &[Asked], connection: &mut Connection) -> Result<()> {
        for asked in asked {
            for _ in 0..asked.times {
                asked.ask(connection, &self.authority, self.protocol).await?;
            }
        }
        Ok(())
    }
}
