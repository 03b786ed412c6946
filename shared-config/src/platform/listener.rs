//! `[gateway]`, `[server]`, `[admin]` and `[log]`: the process and its two listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::exposure::is_exposed;
use super::{PlainListener, Priority, ProxyProtocol, Scheme, Tls};
use crate::Secret;
use crate::units::{ByteSize, Duration, Network};

/// `[gateway]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The name in log lines, metrics and the assertion's issuer.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Put in front of the path of every exposed route that goes to a service; empty or `/…`.
    pub prefix: String,
    /// How callers prove who they are, unless a service or route says otherwise.
    pub scheme: Option<Scheme>,
    /// Which routes to services this gateway offers: names or patterns, `!` excludes.
    pub expose: Vec<String>,
    /// Who goes first where there is not room for everybody, unless a route says otherwise.
    pub priority: Priority,
    /// The same for callers of a tier, where it is lower.
    #[serde(default)]
    pub tier_priority: BTreeMap<String, Priority>,
}

impl Gateway {
    /// Whether this gateway offers a route to a service.
    #[must_use]
    pub fn exposes(&self, route: &str) -> bool {
        is_exposed(self.expose.iter().map(String::as_str), route)
    }
}

/// `[server]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where clients connect; port 0 takes a free one.
    #[schemars(extend("format" = "socket_address"))]
    pub listen: SocketAddr,
    /// Threads that serve requests; 0 for one per core.
    #[schemars(range(max = 1_024))]
    pub cores: usize,
    /// Open client connections; above this new ones are refused until one ends.
    #[schemars(range(min = 1))]
    pub connections_max: u32,
    /// The same for each client's address; absent: no bound but the one above.
    #[schemars(range(min = 1))]
    pub connections_per_address_max: Option<u32>,
    /// Time for a client to send the head of a request.
    pub head_timeout: Duration,
    /// Time for a client to send the body of a request, whole.
    pub body_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// Longest request head.
    pub head_size_max: ByteSize,
    /// Longest request target.
    pub target_size_max: ByteSize,
    /// Most header fields of a request.
    #[schemars(range(min = 1, max = 5_000))]
    pub header_count_max: usize,
    /// Longest request body, unless a service or route says otherwise.
    pub body_size_max: ByteSize,
    /// Time between not being ready and accepting no more connections, after SIGTERM.
    pub drain_delay: Option<Duration>,
    /// Time that requests in flight get to finish after that.
    pub drain_timeout: Duration,
    /// Networks of proxies whose word about the client is believed.
    pub trusted_proxies: Vec<Network>,
    /// How far a core may be behind; above this, requests are refused, those of the lowest
    /// priority first. Absent: it is not measured.
    pub lag_max: Option<Duration>,
    /// What holds for HTTP/2 alone.
    pub http2: Http2,
    /// Load balancers that say in front of a connection whose it is.
    pub proxy_protocol: ProxyProtocol,
    /// Encryption; without this section the listener speaks plain HTTP.
    pub tls: Option<Tls>,
    /// The plain listener beside one with TLS.
    pub redirect: Option<PlainListener>,
    /// Networks of the clients that may call; empty: all may.
    pub allow: Vec<Network>,
    /// Networks of clients that may not, whatever `allow` says.
    pub deny: Vec<Network>,
}

/// `[server.http2]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http2 {
    /// Requests in flight on one connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub streams_max: u32,
    /// Frames that carry nothing, at once.
    #[schemars(range(min = 100))]
    pub control_frames_max: u32,
}

/// `[admin]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where operators and probes connect.
    #[schemars(extend("format" = "socket_address"))]
    pub listen: SocketAddr,
    /// What callers other than probes must show.
    pub token: Option<Secret>,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Diagnostics on stderr: a level, or directives.
    #[schemars(length(min = 1))]
    pub level: String,
    /// Where access lines go: `stdout`, `off`, or a path to append to.
    #[schemars(length(min = 1))]
    pub access: String,
    /// Lines waiting for the writer; above this they are dropped and counted.
    #[schemars(range(min = 1))]
    pub access_queue_max: usize,
}
