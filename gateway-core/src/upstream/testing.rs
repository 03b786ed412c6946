//! Wires for tests: connections that end in the test's own hands, and settings to start from.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::body::Body;
use crate::upstream::{Client, Connect, FailureRules, Protocol, Target, TargetSettings};

/// Settings in which each time-out differs from all others.
pub(crate) fn settings() -> TargetSettings {
    TargetSettings {
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(30),
        idle_connections_max: 4,
        requests_in_flight_max: 4,
        head_size_max: 8_192,
        body_size_max: 1_024,
        slots: None,
        protocol: Protocol::Http1,
        tls: None,
        h2_streams_max: 8,
        failures: FailureRules::default(),
    }
}

/// The target of all tests, changed by `change`.
pub(crate) fn target(change: impl FnOnce(&mut TargetSettings)) -> Arc<Target> {
    target_at("http://link-service:8080", change)
}

pub(crate) fn target_at(url: &str, change: impl FnOnce(&mut TargetSettings)) -> Arc<Target> {
    let mut settings = settings();
    change(&mut settings);
    Arc::new(Target::parse("link-service", url, settings).expect("a target"))
}

/// Connects to whoever holds the other end of the channel.
#[derive(Debug)]
pub(crate) struct Wires(mpsc::UnboundedSender<DuplexStream>);

impl Connect for Wires {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Target) -> io::Result<DuplexStream> {
        let (here, there) = duplex(64 * 1024);
        self.0.send(there).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(here)
    }
}

/// The service's end of the wires.
pub(crate) struct Service(mpsc::UnboundedReceiver<DuplexStream>);

impl Service {
    pub(crate) async fn accept(&mut self) -> Connection {
        Connection(self.0.recv().await.expect("a connection"))
    }

    /// How many connections wait to be accepted.
    pub(crate) fn backlog(&self) -> usize {
        self.0.len()
    }
}

/// One connection, at the service's end.
pub(crate) struct Connection(pub(crate) DuplexStream);

impl Connection {
    /// The next request's head, without a body.
    pub(crate) async fn request(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a request"));
        }
        String::from_utf8(head).expect("ASCII")
    }

    pub(crate) async fn answer(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.expect("a client");
    }

    /// Waits until the gateway hangs up.
    pub(crate) async fn closed(&mut self) {
        let rest = &mut Vec::new();
        let end = timeout(Duration::from_secs(86_400), self.0.read_to_end(rest));
        let _ = end.await.expect("the gateway hangs up within a day");
    }
}

/// A client and the service that it reaches, whatever the target.
pub(crate) fn wired() -> (Client<Wires>, Service) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Client::new(Wires(sender)), Service(receiver))
}

pub(crate) fn get(path: &str) -> Request<Body> {
    request("GET", path, Body::empty())
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body).expect("a request")
}
