//! Starting a gateway and stopping it in order.
//!
//! Order of a start: compile, so that nothing is bound for a bad configuration; bind both
//! listeners; start fetching keys; serve; be ready. Order of a stop: not ready, drain, close the
//! access log, so that no line of a request that was served is lost.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use shared_config::platform::Platform;
use shared_config::{Diagnostic, Diagnostics, Loaded};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Gateway, Kit};
use crate::admin::{self, Admin};
use crate::aggregation::part_cache::PartCache;
use crate::auth::session::SessionLifetime;
use crate::clock::Clock;
use crate::metric::{CoreNumber, Metrics};
use crate::observability::access_log::{AccessLog, Destination, LineWriter};
use crate::observability::diagnostics;
use crate::pipeline::{self, Core, KeySources, Observer, RecordedBody, Worker};
use crate::readiness::Readiness;
use crate::server::lag::Lag;
use crate::server::{self, Serve, Server, ServerFailed, ServerSettings};
use crate::site::Site;
use crate::site::compile::{Compiled, IssuerKeys};
use crate::site::limits::RateLimits;
use crate::stores::memory::{MemoryKeys, MemoryVault};
use crate::stores::{Keys, Vault};
use crate::upstream;
use crate::upstream::key_source::{KeySource, KeySourceSettings, KeySourceUnusable};
use crate::upstream::{Client, Tcp};

/// What a caller may want to differ from the configuration.
#[derive(Debug)]
pub struct Options {
    /// The time.
    pub clock: Clock,
    /// Where access lines go, instead of where the configuration says.
    pub access_log: Option<Destination>,
    /// Who is shown each exchange as its answer leaves.
    pub observer: Option<Observer>,
    /// Stop as well when this process, which started this one, has ended.
    pub stops_with_parent: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Clock::system(), access_log: None, observer: None, stops_with_parent: None }
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(Diagnostics),
    /// The background runtime cannot be made.
    #[error("cannot start the background runtime: {0}")]
    Runtime(#[source] io::Error),
    /// The admin listener cannot be bound.
    #[error("cannot listen on {address} for operators: {source}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("cannot open the access log: {0}")]
    AccessLog(#[source] io::Error),
    /// An issuer's keys cannot be fetched at all.
    #[error("{0}")]
    Keys(#[from] KeySourceUnusable),
    /// The listener for clients cannot be bound.
    #[error("{}", chain(.0))]
    Server(#[from] ServerFailed),
}

fn chain(error: &ServerFailed) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

impl From<Diagnostics> for NotStarted {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Configuration(diagnostics)
    }
}

/// What is made of a configuration before anything is bound.
pub(super) struct Prepared {
    compiled: Compiled,
    metrics: Arc<Metrics>,
    vault: Vault,
    keys: MemoryKeys,
    log_level: tracing_subscriber::EnvFilter,
}

impl Prepared {
    /// The site that would be served.
    pub(super) const fn site(&self) -> &Site {
        &self.compiled.site
    }
}

/// Compiles a configuration for a gateway.
///
/// # Errors
///
/// Every error at once.
pub(super) fn compile(
    gateway: &dyn Gateway,
    loaded: &Loaded,
    clock: &Clock,
) -> Result<Prepared, Diagnostics> {
    let platform = &loaded.platform;
    let metrics = Arc::new(Metrics::new());
    let vault = vault(platform);
    let keys = gateway.keys(loaded)?;
    let endpoints = gateway.endpoints(&Kit { loaded, vault: &vault, clock })?;
    let compiled = crate::site::compile(loaded, &endpoints, &metrics)?;
    let level = &platform.log.level;
    let log_level = diagnostics::parse(level).map_err(|error| {
        let wrong = Diagnostic::at(loaded, &["log", "level"], &**level, error.to_string());
        Diagnostics::from_iter([wrong])
    })?;
    Ok(Prepared { compiled, metrics, vault, keys, log_level })
}

fn vault(platform: &Platform) -> Vault {
    let session = platform.auth.session.as_ref();
    let lifetime = session.map_or(
        SessionLifetime { idle_timeout: Duration::ZERO, lifetime: Duration::ZERO },
        |session| SessionLifetime {
            idle_timeout: session.idle_timeout.get(),
            lifetime: session.lifetime.get(),
        },
    );
    let sessions_max = session.map_or(1, |session| session.sessions_max);
    Vault::Memory(Arc::new(MemoryVault::new(sessions_max, lifetime)))
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    drain: watch::Sender<bool>,
    over: watch::Sender<bool>,
    server: server::Running,
    access_log: AccessLog,
    core: Arc<Core>,
    background: Runtime,
    stops_with_parent: Option<u32>,
}

/// Starts a gateway.
///
/// # Errors
///
/// [`NotStarted`]; nothing is left running then.
pub fn start(
    gateway: &dyn Gateway,
    loaded: &Loaded,
    options: Options,
) -> Result<Running, NotStarted> {
    let Prepared { compiled, metrics, vault, keys, log_level } =
        compile(gateway, loaded, &options.clock)?;
    diagnostics::init(log_level, diagnostics::Format::Text);
    let platform = &loaded.platform;
    let server = Server::bind(platform.server.listen, settings(platform), &metrics)?;
    let background = server::background::build().map_err(NotStarted::Runtime)?;
    let listener = bind_admin(&background, platform.admin.listen)?;
    let admin = listener.local_addr().unwrap_or(platform.admin.listen);
    let key_sources = key_sources(&background, &compiled.issuers, &options.clock)?;
    let access_log = open_access_log(platform, options.access_log, &server, &metrics)?;
    let core = Arc::new(Core {
        clock: options.clock,
        metrics,
        site: ArcSwap::from_pointee(compiled.site),
        rate_limits: RateLimits::new(platform.rate_limit.buckets_max),
        vault,
        keys: Keys::Memory(Arc::new(keys)),
        part_cache: PartCache::new(platform.aggregation.cache_size_max.bytes()),
        key_sources,
        observer: options.observer,
        readiness: Arc::new(Readiness::default()),
    });
    watch_targets(&background, &core);
    let (drain, drains) = watch::channel(false);
    // Probes must be able to see a drain, so the admin listener outlives it.
    let (over, is_over) = watch::channel(false);
    let page = Admin {
        core: Arc::clone(&core),
        configuration: loaded.render().into(),
        token: platform.admin.token.clone(),
    };
    background.spawn(admin::serve(page, listener, is_over));
    let address = server.local_addr();
    let lag_max = platform.server.lag_max.map(|lag_max| lag_max.get());
    let server = serve(server, &core, (&access_log, lag_max), &drains)?;
    core.readiness.serving();
    tracing::info!(gateway = gateway.name(), %address, %admin, "serving");
    let stops_with_parent = options.stops_with_parent;
    Ok(Running {
        address,
        admin,
        drain,
        over,
        server,
        access_log,
        core,
        background,
        stops_with_parent,
    })
}

/// Looks after the targets of all services for as long as there are these services.
fn watch_targets(background: &Runtime, core: &Core) {
    // Its connections are the background's; the cores have their own.
    let client = Arc::new(Client::new(Tcp));
    for service in &core.site.load().services {
        upstream::watch(background.handle(), &service.targets, &client);
    }
}

fn bind_admin(
    background: &Runtime,
    address: SocketAddr,
) -> Result<tokio::net::TcpListener, NotStarted> {
    background
        .block_on(admin::bind(address))
        .map_err(|source| NotStarted::Admin { address, source })
}

fn key_sources(
    background: &Runtime,
    issuers: &[IssuerKeys],
    clock: &Clock,
) -> Result<KeySources, KeySourceUnusable> {
    let mut sources = Vec::with_capacity(issuers.len());
    for IssuerKeys { issuer, location, keys } in issuers {
        let settings = KeySourceSettings::new(Arc::clone(issuer), location.clone());
        let keys = Arc::clone(keys);
        let source = KeySource::spawn(background.handle(), settings, keys, clock.clone())?;
        sources.push((Arc::clone(issuer), source));
    }
    Ok(KeySources::new(sources))
}

fn open_access_log(
    platform: &Platform,
    destination: Option<Destination>,
    server: &Server,
    metrics: &Metrics,
) -> Result<AccessLog, NotStarted> {
    let log = &platform.log;
    let destination = destination.unwrap_or_else(|| Destination::parse(&log.access));
    let dropped = metrics.dropped_lines.clone();
    AccessLog::open(destination, log.access_queue_max, server.cores(), dropped)
        .map_err(NotStarted::AccessLog)
}

fn settings(platform: &Platform) -> ServerSettings {
    let server = &platform.server;
    // A little more than the guard's own ceilings, so that it is the guard who answers, with a
    // problem and a record.
    let slack = 2;
    ServerSettings {
        cores: server.cores,
        connections_max: server.connections_max,
        head_timeout: server.head_timeout.get(),
        idle_timeout: server.idle_timeout.get(),
        head_size_max: server.head_size_max.as_usize().saturating_mul(slack),
        header_count_max: server.header_count_max.saturating_mul(slack),
        drain_timeout: server.drain_timeout.get(),
    }
}

fn serve(
    server: Server,
    core: &Arc<Core>,
    (access_log, lag_max): (&AccessLog, Option<Duration>),
    drains: &watch::Receiver<bool>,
) -> Result<server::Running, ServerFailed> {
    let writers: Vec<LineWriter> =
        (0..server.cores()).map(|number| access_log.writer(number)).collect();
    let core = Arc::clone(core);
    let make = move |number: usize| CoreThread {
        worker: Arc::new(Worker {
            client: Client::new(Tcp),
            lines: writers.get(number).cloned().unwrap_or_default(),
            lag: lag(&core, lag_max, number),
            core: Arc::clone(&core),
        }),
    };
    server.start(make, drains)
}

/// The meter of one core, where it is wanted.
fn lag(core: &Core, lag_max: Option<Duration>, number: usize) -> Lag {
    let Some(lag_max) = lag_max else { return Lag::default() };
    let number = CoreNumber { core: u32::try_from(number).unwrap_or(u32::MAX) };
    let gauge = core.metrics.lag.get_or_create_owned(&number);
    Lag::measured(lag_max, move |average| {
        gauge.set(average.as_secs_f64());
    })
}

/// What one core's thread serves with.
struct CoreThread {
    worker: Arc<Worker>,
}

impl Serve for CoreThread {
    type Body = RecordedBody;

    async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<RecordedBody> {
        pipeline::handle(&self.worker, request, peer).await
    }
}

impl Running {
    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits for SIGTERM, Ctrl-C, or the end of the parent where that was asked for, then stops.
    ///
    /// # Errors
    ///
    /// [`ServerFailed`] when a core had ended by a panic.
    pub fn until_signalled(self) -> Result<(), ServerFailed> {
        self.background.block_on(signalled(self.stops_with_parent));
        self.stop()
    }

    /// Stops in order: not ready, drain, close the access log. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`ServerFailed`] when a core had ended by a panic.
    pub fn stop(self) -> Result<(), ServerFailed> {
        self.core.readiness.draining();
        self.drain.send_replace(true);
        let drained = self.server.join();
        self.access_log.close();
        self.over.send_replace(true);
        self.background.shutdown_background();
        tracing::info!(cut = drained.as_ref().map_or(0, |drained| drained.cut), "stopped");
        drained.map(drop)
    }
}

/// SIGTERM, Ctrl-C, or the end of the process that started this one.
async fn signalled(parent: Option<u32>) {
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = ended(parent) => {}
    }
}

/// Until this process has another parent than that: an orphan is given to somebody else.
async fn ended(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
