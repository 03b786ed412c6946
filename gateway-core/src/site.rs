//! The site: routes and policies in force, immutable and compiled.
//!
//! Loading turns configuration into a [`Site`]; serving a request parses none of it. A change of
//! configuration makes a new site; requests in flight finish on theirs.
//!
//! Read in this order: [`Route`] is what a request meets, [`compile()`] how configuration becomes
//! one, [`limits`] whose bucket a request takes from.
//!
//! Not here: state that outlives a site (`pipeline::Core`).

mod challenges;
pub mod compile;
pub mod constant;
pub mod gate;
mod identity_headers;
pub mod limits;
mod names;
mod route_metrics;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;

pub use self::challenges::Challenges;
pub use self::compile::compile;
pub use self::constant::Constant;
pub use self::gate::{Gate, Maintenance};
pub use self::identity_headers::IdentityHeaders;
pub use self::limits::Limit;
pub use self::route_metrics::{RouteMetrics, ServiceMetrics};
use crate::aggregation::View;
use crate::assertion::{AssertionKey, Signer};
use crate::auth::api_key::ApiKeyPolicy;
use crate::auth::client_certificate::ClientCertificatePolicy;
use crate::auth::csrf::CsrfPolicy;
use crate::auth::jwt::JwtScheme;
use crate::auth::session::SessionPolicy;
use crate::cors::Cors;
use crate::endpoint::Endpoint;
use crate::error::{InternalError, Refusal as _};
use crate::guard::address_list::AddressList;
use crate::guard::ceilings::Ceilings;
use crate::guard::spoofed_headers::SpoofedHeaders;
use crate::guard::trailers;
use crate::metric::{Label, Metrics};
use crate::permit::Permits;
use crate::principal::{IdentityText, Scheme};
use crate::priority::Priority;
use crate::routing::RouteTable;
use crate::routing::canary::Canary;
use crate::security_headers::{self, SecurityHeaders};
use crate::transform::request::RequestTransform;
use crate::transform::response::ResponseTransform;
use crate::upstream::concurrency::ConcurrencyLimit;
use crate::upstream::retry::{BudgetShare, RetryBudget, RetryPolicy, TypicalTime};
use crate::upstream::{Answer, CallFailed, Targets};

/// Everything a request is served by.
#[derive(Debug)]
pub struct Site {
    /// The gateway's name.
    pub gateway: Arc<str>,
    /// Which route a request takes; its answer is an index into `routes`.
    pub table: RouteTable,
    /// The routes.
    pub routes: Vec<Route>,
    /// The services.
    pub services: Vec<Service>,
    /// Networks of proxies whose word about the client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which clients may call at all.
    pub addresses: AddressList,
    /// The listener's ceilings.
    pub ceilings: Ceilings,
    /// Time for a client to send a body.
    pub body_timeout: Duration,
    /// The deadline of a request that has no route yet.
    pub deadline: Duration,
    /// What clients may not say.
    pub spoofed_headers: SpoofedHeaders,
    /// Names that are the gateway's own: no service's answer passes on what stands under them.
    pub reserved_headers: Vec<HeaderName>,
    /// What an endpoint of the gateway's own must not hear from clients.
    pub misleading_headers: SpoofedHeaders,
    /// How callers are asked for each scheme's credential, for a 401 that does not say it.
    pub challenges: Challenges,
    /// Tiers whose callers have a lower priority than their route, or may have.
    pub tier_priorities: Vec<(Box<str>, Priority)>,
    /// What services are told.
    pub identity_headers: IdentityHeaders,
    /// Where the assertion goes.
    pub assertion_header: HeaderName,
    /// Where a service is told how much time is left; `None`: it is not.
    pub time_left_header: Option<HeaderName>,
    /// Who signs it.
    pub signer: Signer,
    /// How sessions are found and judged.
    pub session: Option<SessionPolicy>,
    /// How bearer tokens are verified.
    pub jwt: Option<Arc<JwtScheme>>,
    /// How API keys are read.
    pub api_key: Option<ApiKeyPolicy>,
    /// Who the holder of a client's certificate is.
    pub client_certificate: Option<ClientCertificatePolicy>,
    /// Which requests a page of somebody else's may have caused.
    pub csrf: CsrfPolicy,
    /// Limits by address of requests that match no route.
    pub limits_by_address: Vec<Limit>,
    /// Which foreign pages may call.
    pub cors: Cors,
    /// What browsers are told about every answer.
    pub security_headers: SecurityHeaders,
    /// Counters of requests that match no route.
    pub unrouted_metrics: Arc<RouteMetrics>,
    /// Makes entity tags of one caller tell nothing about another's answer.
    pub etag_secret: [u8; 16],
}

/// A route, with everything it has inherited.
#[derive(Debug)]
pub struct Route {
    /// Its name in configuration.
    pub name: Arc<str>,
    /// The path it matches, as it is written: `/links/{id}`.
    pub template: Arc<str>,
    /// How callers prove who they are; `None` for a public route.
    pub scheme: Option<Scheme>,
    /// Scopes that a token or key must have.
    pub scopes: Vec<IdentityText>,
    /// Limits charged before anybody is identified.
    pub limits_by_address: Vec<Limit>,
    /// Limits charged once the caller is known, or known to be anonymous.
    pub limits_by_consumer: Vec<Limit>,
    /// Members of the body that those limits are keyed by.
    pub limit_members: Box<[Box<str>]>,
    /// The time for the whole request.
    pub deadline: Duration,
    /// Who goes first where there is not room for everybody.
    pub priority: Priority,
    /// The longest body it takes.
    pub body_size_max: u64,
    /// The longest pause of a body that may otherwise take its time; `None`: it may not.
    pub upload_idle_timeout: Option<Duration>,
    /// What is decided about its requests before that.
    pub gate: Gate,
    /// What answers.
    pub action: Action,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
}

/// What answers a request.
#[derive(Debug)]
pub enum Action {
    /// One service, passed through.
    Service(Box<Proxy>),
    /// Several services, composed.
    Aggregate(Arc<Aggregate>),
    /// An endpoint of the gateway's own.
    Local(LocalEndpoint),
    /// The gateway itself, as soon as the route is found.
    Constant(Box<Constant>),
}

/// A view of several services.
#[derive(Debug)]
pub struct Aggregate {
    /// What is shown.
    pub view: Arc<View>,
    /// Its name in metrics.
    pub label: Label,
    /// A counter for each part that its service has answered, by the part's number.
    pub succeeded: Vec<OnceLock<Counter>>,
    /// The longest request body that is held whole, where calls read it, in bytes.
    pub body_size_max: usize,
}

/// Pass-through to one service.
#[derive(Debug)]
pub struct Proxy {
    /// Index into the site's services.
    pub service: usize,
    /// The service that some of the requests go to instead.
    pub canary: Option<Box<Canary>>,
    /// The gateway's prefix, which the service does not see.
    pub prefix: Box<str>,
    /// Whether the service's paths are the consumer's, but for the prefix.
    pub keeps_paths: bool,
    /// The longest silence of a stream of events or a WebSocket.
    pub stream_idle_timeout: Duration,
    /// Whether it takes WebSocket handshakes.
    pub takes_websockets: bool,
    /// Step 9.
    pub request: RequestTransform,
    /// Step 12.
    pub response: ResponseTransform,
    /// The longest request body that is held whole, where a transform needs it, in bytes.
    pub body_size_max: usize,
    /// How the call is repeated; `None`: it is not.
    pub retry: Option<RetryPolicy>,
}

/// An endpoint of the gateway's own.
pub struct LocalEndpoint {
    /// What answers.
    pub endpoint: Endpoint,
    /// The names of the path's parameters.
    pub params: Vec<Arc<str>>,
}

impl std::fmt::Debug for LocalEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEndpoint").field("params", &self.params).finish_non_exhaustive()
    }
}

impl LocalEndpoint {
    /// Parameters by name.
    #[must_use]
    pub fn named(&self, values: &[Box<str>]) -> Vec<(Arc<str>, Box<str>)> {
        self.params.iter().cloned().zip(values.iter().cloned()).collect()
    }
}

/// A service, with everything it has inherited.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is; shared by all cores.
    pub targets: Arc<Targets>,
    /// Whether a mesh's sidecar balances, retries and breaks in the gateway's stead.
    pub is_mesh: bool,
    /// The key it shares with the gateways; without one it gets no assertion.
    pub assertion_key: Option<AssertionKey>,
    /// Why it is closed for now, so that no part of an aggregate, and no decision, is asked of it.
    pub maintenance: Option<Arc<Maintenance>>,
    /// The longest answer that is held whole, in bytes.
    pub body_size_max: usize,
    /// WebSockets that may be open to it.
    pub websockets: Arc<Permits>,
    /// How calls are repeated that no route makes: parts of aggregates, and what endpoints of the
    /// gateway's own call; `None`: they are not.
    pub retry: Option<RetryPolicy>,
    /// What retries may add to its load.
    pub budget_share: BudgetShare,
    /// What is known of its load; shared by successive sites.
    pub load: Arc<ServiceLoad>,
    /// How many calls it is given at a time, where that is found out; shared by successive sites
    /// as long as its settings stay the same.
    pub concurrency: Option<Arc<ConcurrencyLimit>>,
    /// Its counters.
    pub metrics: ServiceMetrics,
}

/// What is known of a service's load where calls to it are repeated.
#[derive(Debug, Default)]
pub struct ServiceLoad {
    /// What its retries have used up.
    pub budget: RetryBudget,
    /// How long a good attempt takes.
    pub typical: TypicalTime,
}

impl Service {
    /// Takes over what the service of an earlier site has learned about its load: all of it, but
    /// for a limit whose settings are others now.
    pub fn adopt_load(&mut self, earlier: &Self) {
        self.load = Arc::clone(&earlier.load);
        if let (Some(own), Some(known)) = (&mut self.concurrency, &earlier.concurrency)
            && own.settings() == known.settings()
        {
            *own = Arc::clone(known);
        }
    }

    /// Notes what a call to it came to.
    pub fn observe(&self, metrics: &Metrics, outcome: &Result<Answer, CallFailed>, took: Duration) {
        let outcome = match outcome {
            Ok(answer) => match answer.response.status().as_u16() {
                100..=199 => "1xx",
                200..=299 => "2xx",
                300..=399 => "3xx",
                400..=499 => "4xx",
                _ => "5xx",
            },
            Err(failed) => failed.code(),
        };
        self.metrics.observe(metrics, outcome, took);
    }
}

impl Site {
    /// What requests without a route are counted under.
    pub const UNROUTED: &str = "none";

    /// A route by its index in the table.
    ///
    /// # Errors
    ///
    /// [`InternalError`], which compilation rules out.
    pub fn route(&self, index: usize) -> Result<&Route, InternalError> {
        self.routes.get(index).ok_or(InternalError::of("the site has no route of that index"))
    }

    /// What goes into the entity tags of a caller's answers beside their bytes.
    #[must_use]
    pub fn etag_salt(&self, user_id: &str) -> Vec<u8> {
        [&self.etag_secret[..], user_id.as_bytes()].concat()
    }

    /// Drops from a service's trailers what no answer's header fields would show of them, and what
    /// belongs into a head.
    pub fn strip_trailers(&self, trailers: &mut HeaderMap) {
        security_headers::strip_internal(trailers);
        trailers::strip_heads_only(trailers);
        for name in &self.reserved_headers {
            trailers.remove(name);
        }
    }

    /// A service by its index.
    ///
    /// # Errors
    ///
    /// [`InternalError`], which compilation rules out.
    pub fn service(&self, index: usize) -> Result<&Service, InternalError> {
        self.services.get(index).ok_or(InternalError::of("the site has no service of that index"))
    }
}
