//! What outlives a request: the process-wide state, and each core's own.

use std::fmt;
use std::sync::Arc;

use crate::aggregation::part_cache::PartCache;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::metric::Metrics;
use crate::observability::access_log::LineWriter;
use crate::pipeline::{KeySources, Streams, Warnings};
use crate::readiness::Readiness;
use crate::server::lag::Lag;
use crate::server::tls::Tls;
use crate::site::Site;
use crate::site::limits::RateLimits;
use crate::stores::{Keys, Vault};
use crate::trace_context::Tracer;
use crate::upstream::Client;
use arc_swap::ArcSwap;

/// Sees each exchange as its answer leaves: what the steps found out, and which were taken.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Exchange) + Send + Sync>);

impl Observer {
    /// An observer; it runs on the core's thread and must not block.
    pub fn new(see: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    pub(super) fn see(&self, exchange: &Exchange) {
        (self.0)(exchange);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// State of the whole process. It survives a change of the site.
#[derive(Debug)]
pub struct Core {
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The routes and policies in force; loaded once for each request.
    pub site: ArcSwap<Site>,
    /// What is left of every limit.
    pub rate_limits: RateLimits,
    /// The sessions.
    pub vault: Vault,
    /// The API keys.
    pub keys: Keys,
    /// Parts of aggregates that are kept.
    pub part_cache: Arc<PartCache>,
    /// The open streams, and whose each is.
    pub streams: Arc<Streams>,
    /// Which requests are recorded; `None`: none is.
    pub tracer: Option<Tracer>,
    /// Where the issuers' signing keys come from.
    pub key_sources: KeySources,
    /// Who is shown each exchange as its answer leaves.
    pub observer: Option<Observer>,
    /// Whether this process should get traffic.
    pub readiness: Arc<Readiness>,
    /// TLS of the listener for clients, if it speaks TLS.
    pub tls: Option<Arc<Tls>>,
}

/// One core thread's own: its connections to the services and its end of the access log.
#[derive(Debug)]
pub struct Worker {
    /// The process-wide state.
    pub core: Arc<Core>,
    /// The thread's connections to the services.
    pub client: Client,
    /// The thread's end of the access log.
    pub lines: LineWriter,
    /// How far the thread is behind.
    pub lag: Lag,
    /// What the thread has warned of lately.
    pub warnings: Warnings,
}
