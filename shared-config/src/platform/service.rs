//! `[upstream]` and `[services.*]`: who stands behind the gateway.

use schemars::JsonSchema;
use serde::Deserialize;

use super::gate::{Canary, Decide, Maintenance};
use super::targets::{
    Balance, Breaker, BreakerOverride, Ejection, EjectionOverride, Health, HealthCheck, Target,
};
use super::{Concurrency, Retry, RetryBudget, Scheme};
use crate::units::{ByteSize, Duration};
use crate::{Secret, TextFile};

/// `[upstream]`: what holds for every service that says nothing else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Time to open a connection.
    pub connect_timeout: Duration,
    /// From the request being sent to the head of the answer.
    pub response_timeout: Duration,
    /// Longest pause while an answer's body arrives.
    pub read_timeout: Duration,
    /// Longest time in which a service takes not one piece of a request's body that is still
    /// arriving.
    pub write_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Connections to one service that each core keeps for reuse.
    pub idle_connections_max: usize,
    /// Requests in flight to one target, all cores together.
    #[schemars(range(min = 1))]
    pub requests_in_flight_max: u32,
    /// Longest silence of a stream: between two events, or on a WebSocket in both directions.
    pub stream_idle_timeout: Duration,
    /// Calls that share one connection of HTTP/2, on each core.
    #[schemars(range(min = 1))]
    pub h2_streams_max: u32,
    /// WebSockets open to one service, all cores together.
    #[schemars(range(min = 1))]
    pub websockets_max: u32,
    /// Connections to one target, all cores together; without it as many as calls need.
    #[schemars(range(min = 1))]
    pub connections_max: Option<u32>,
    /// Calls that may wait for a connection to one target.
    pub pending_max: u32,
    /// How long they may.
    pub pending_timeout: Duration,
    /// Longest head of an answer.
    pub head_size_max: ByteSize,
    /// Longest body of an answer, where the gateway must hold it whole.
    pub body_size_max: ByteSize,
    /// How many calls a service is given at a time, where that is found out.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// The header field that tells a service how many milliseconds are left; absent: none does.
    pub time_left_header: Option<String>,
    /// How the targets of a service take turns.
    pub balance: Balance,
    /// How often the names of targets are looked up again.
    pub resolve_interval: Duration,
    /// When a target's breaker refuses calls.
    pub breaker: Breaker,
    /// When a target leaves the balance for a while.
    pub ejection: Ejection,
    /// What holds for every check that says nothing else.
    pub health: Health,
}

/// `[services.*]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Where it is: scheme, host and port, or a UNIX socket.
    pub url: Option<String>,
    /// Where it is, several times; stands in for `url`.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// What it speaks; HTTP/1.1 unless set.
    pub protocol: Option<ServiceProtocol>,
    /// How connections to it are encrypted.
    pub tls: Option<ServiceTls>,
    /// A mesh's sidecar balances, retries and breaks: the gateway does none of it.
    pub mesh: Option<bool>,
    /// As in [`Upstream`].
    pub balance: Option<Balance>,
    /// As in [`Upstream`].
    pub breaker: Option<BreakerOverride>,
    /// As in [`Upstream`].
    pub ejection: Option<EjectionOverride>,
    /// How its targets are checked; without it they are not.
    pub health: Option<HealthCheck>,
    /// The key it shares with the gateways; without one it gets no assertion.
    pub assertion_key: Option<Secret>,
    /// How callers of its routes prove who they are.
    pub scheme: Option<Scheme>,
    /// What must hold of callers of its routes, beside what the policy requires.
    pub require: Option<String>,
    /// The service that decides whether requests to its routes may go on.
    pub decide: Option<Decide>,
    /// Whether its routes are closed for now.
    pub maintenance: Option<Maintenance>,
    /// The service that some of its routes' requests go to.
    pub canary: Option<Canary>,
    /// Limits of its routes, added to the inherited ones.
    #[serde(default)]
    pub limits: Vec<String>,
    /// The whole time for one request to it.
    pub deadline: Option<Duration>,
    /// As in [`Upstream`].
    pub connect_timeout: Option<Duration>,
    /// As in [`Upstream`].
    pub response_timeout: Option<Duration>,
    /// As in [`Upstream`].
    pub read_timeout: Option<Duration>,
    /// As in [`Upstream`].
    pub write_timeout: Option<Duration>,
    /// As in [`Upstream`].
    #[schemars(range(min = 1))]
    pub requests_in_flight_max: Option<u32>,
    /// As in [`Upstream`].
    #[schemars(range(min = 1))]
    pub connections_max: Option<u32>,
    /// As in [`Upstream`].
    pub body_size_max: Option<ByteSize>,
    /// As in [`Upstream`].
    pub stream_idle_timeout: Option<Duration>,
    /// As in [`Upstream`].
    #[schemars(range(min = 1))]
    pub websockets_max: Option<u32>,
    /// How calls to it are repeated.
    pub retry: Option<Retry>,
    /// What retries may add to its load.
    pub retry_budget: Option<RetryBudget>,
    /// How many calls it is given at a time.
    pub concurrency: Option<Concurrency>,
}

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceProtocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// `[services.*.tls]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceTls {
    /// The authorities that are believed, in PEM.
    pub ca: TextFile,
    /// What the gateway shows of itself: a certificate with its chain, in PEM.
    pub certificate: Option<TextFile>,
    /// The certificate's private key, in PEM.
    pub key: Option<Secret>,
    /// The name that the service's certificate is for, where it is not the URL's host.
    pub server_name: Option<String>,
}

impl Service {
    /// Whether a mesh's sidecar balances, retries and breaks in the gateway's stead.
    #[must_use]
    pub fn is_mesh(&self) -> bool {
        self.mesh == Some(true)
    }
}
