//! One gateway of a test: where it is, and what it writes down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_core::clock::Clock;
use gateway_core::command::{self, Gateway, Options, Running};
use gateway_core::observability::access_log::{Destination, MemoryLines};
use gateway_core::pipeline::Observer;
use serde_json::Value;
use shared_config::Sources;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::client::{Request, client};

/// One gateway of a test.
#[derive(Debug)]
pub struct GatewayUnderTest {
    /// Its name.
    pub name: &'static str,
    /// `http://127.0.0.1:port`
    pub url: String,
    /// The admin listener's.
    pub admin: String,
    lines: MemoryLines,
    steps: Arc<Mutex<Vec<Option<Vec<u32>>>>>,
    stall: Arc<Mutex<Duration>>,
    running: Mutex<Option<Running>>,
    client: reqwest::Client,
}

impl GatewayUnderTest {
    /// A gateway of a test's own, with an empty platform and this configuration.
    #[must_use]
    pub fn of_text(gateway: &'static dyn Gateway, toml: &str) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let listen =
            "[server]\nlisten = \"127.0.0.1:0\"\ncores = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";
        let files = [
            ("platform.toml".to_owned(), String::new()),
            (format!("{}.toml", gateway.name()), toml.to_owned()),
            (format!("{}.test.toml", gateway.name()), listen.to_owned()),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        Self::start(gateway, directory.path(), &BTreeMap::new(), &Clock::system())
    }

    pub(super) fn start(
        gateway: &'static dyn Gateway,
        directory: &Path,
        variables: &BTreeMap<String, String>,
        clock: &Clock,
    ) -> Self {
        let sources = Sources {
            directory: Some(directory.to_owned()),
            gateway: gateway.name().to_owned(),
            environment: Some("test".to_owned()),
            variables: variables.clone(),
        };
        let loaded = shared_config::load(&sources, &gateway.sections());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{}: {errors}", gateway.name()));
        let lines = MemoryLines::default();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let stall = Arc::new(Mutex::new(Duration::ZERO));
        let options = Options {
            clock: clock.clone(),
            access_log: Some(Destination::Writer(Box::new(lines.clone()))),
            observer: Some(Observer::new({
                let (steps, stall) = (Arc::clone(&steps), Arc::clone(&stall));
                move |exchange| {
                    steps.lock().expect("no panic").push(exchange.steps.numbers());
                    // It runs on the core's own thread.
                    std::thread::sleep(std::mem::take(&mut *stall.lock().expect("no panic")));
                }
            })),
            stops_with_parent: None,
        };
        // A gateway blocks on a runtime of its own, which a thread of a test's runtime may not.
        let started = std::thread::scope(|scope| {
            scope.spawn(|| command::start(gateway, &loaded, options)).join().expect("no panic")
        });
        let running = started.unwrap_or_else(|error| panic!("{}: {error}", gateway.name()));
        Self {
            name: gateway.name(),
            url: format!("http://{}", running.address()),
            admin: format!("http://{}", running.admin()),
            lines,
            steps,
            stall,
            running: Mutex::new(Some(running)),
            client: client(),
        }
    }

    pub(super) async fn until_ready(&self, client: &reqwest::Client) {
        let ready = async {
            loop {
                let answer = client.get(format!("{}/readyz", self.admin)).send().await;
                if answer.is_ok_and(|answer| answer.status() == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("ready in time");
    }

    /// The host and port of [`GatewayUnderTest::url`], whatever is spoken there.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("http")
    }

    /// Where clients connect without TLS to be sent to where it is.
    #[must_use]
    pub fn redirect(&self) -> SocketAddr {
        let running = self.running.lock().expect("no panic");
        running.as_ref().and_then(Running::redirect).expect("a plain listener")
    }

    /// Its client forgets its connections.
    pub(super) fn hang_up(&mut self) {
        self.client = client();
    }

    /// A request.
    pub fn request(&self, method: &str, path: &str) -> Request {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A `GET`.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A `POST`.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// A `GET` of a path that no client library would send, byte for byte: status and answer.
    pub async fn raw_get(&self, path: &str, token: &str) -> (u16, String) {
        let authorization = format!("Authorization: Bearer {token}\r\n");
        self.raw(&format!("GET {path} HTTP/1.1\r\n{authorization}Connection: close\r\n")).await
    }

    /// Any head, byte for byte but for `Host`; nothing follows it: status and answer.
    pub async fn raw(&self, head: &str) -> (u16, String) {
        self.raw_with_body(head, "").await
    }

    /// Any head, and the bytes of a body: status and answer, until the gateway closes.
    pub async fn raw_with_body(&self, head: &str, body: &str) -> (u16, String) {
        let host = self.url.strip_prefix("http://").expect("http");
        let mut stream = TcpStream::connect(host).await.expect("connected");
        let request = format!("{head}Host: {host}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status line"), answer)
    }

    /// The metrics page, once the records of all requests so far are closed.
    pub async fn metrics(&self) -> String {
        // A record is closed just after the client has its answer.
        let settled = async {
            loop {
                let answer = self.client.get(format!("{}/metrics", self.admin)).send().await;
                let page = answer.expect("an answer").text().await.expect("a body");
                if page.contains("\nhttp_server_active_requests 0\n") {
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("no request left")
    }

    /// Has the gateway read its configuration again: status and answer.
    pub async fn reload(&self) -> (u16, Value) {
        let answer = self.client.post(format!("{}/reload", self.admin)).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), super::json_of(answer).await)
    }

    /// What `/readyz` says.
    pub async fn readyz(&self) -> (u16, Value) {
        let answer = self.client.get(format!("{}/readyz", self.admin)).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), super::json_of(answer).await)
    }

    /// Waits until the metrics page holds all of this.
    pub async fn metrics_with(&self, expected: &[String]) {
        let holds = |page: &str| expected.iter().all(|line| page.contains(&format!("\n{line}\n")));
        self.metrics_until(&format!("{expected:?}"), holds).await;
    }

    /// Waits until the metrics page is such; `what` says how.
    pub async fn metrics_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let told = async {
            while !is_so(&self.metrics().await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await;
        assert!(told.is_ok(), "never came: {what}");
    }

    /// The numbers of the pipeline's steps that the last request took; `None` when it took one out
    /// of order.
    #[must_use]
    pub fn last_steps(&self) -> Option<Vec<u32>> {
        self.steps.lock().expect("no panic").last().cloned().flatten()
    }

    /// Blocks the core's thread for so long, at the end of the next request.
    pub fn stall_core(&self, length: Duration) {
        *self.stall.lock().expect("no panic") = length;
    }

    /// Everything written down so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.text()
    }

    /// All access lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = self.lines.text();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The last access line of a path, once it is written.
    pub async fn line_of(&self, path: &str) -> Value {
        self.line(|line| line["path"] == path).await
    }

    /// The access line of a request, once it is written.
    pub async fn line_with(&self, request_id: &str) -> Value {
        self.line(|line| line["request_id"] == request_id).await
    }

    /// The last access line that is wanted, once it is written.
    pub async fn line(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let written = async {
            loop {
                if let Some(line) = self.lines().into_iter().rev().find(&is_wanted) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let line = tokio::time::timeout(PATIENCE, written).await;
        line.unwrap_or_else(|_| panic!("no such line among {:#?}", self.lines()))
    }

    /// Stops the gateway in order and returns all its lines.
    pub async fn stop(&self) -> Vec<Value> {
        let running = self.running.lock().expect("no panic").take();
        if let Some(running) = running {
            let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
            stopped.expect("no panic").expect("stopped in order");
        }
        self.lines()
    }
}

impl Drop for GatewayUnderTest {
    fn drop(&mut self) {
        let running = self.running.lock().ok().and_then(|mut running| running.take());
        if let Some(running) = running {
            // Nothing waits for the drain of a test's gateway.
            std::thread::spawn(move || running.stop());
        }
    }
}
