//! Starting a gateway and stopping it in order.
//!
//! Order of a start: compile, so that nothing is bound for a bad configuration; bind both
//! listeners; start fetching keys; serve; be ready. Order of a stop: not ready, drain, close the
//! access log and the export of spans, so that nothing is lost of a request that was served.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use shared_config::platform::Platform;
use shared_config::{Diagnostics, Loaded};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::Gateway;
use super::listeners::{self, Bound};
use super::prepare::{Foundation, Prepared, prepare};
use super::told::Told;
use crate::admin::{self, Admin};
use crate::aggregation::part_cache::PartCache;
use crate::clock::Clock;
use crate::guard::head::HeadLimits;
use crate::metric::{CoreNumber, Metrics, SpanOutcome};
use crate::observability::access_log::{AccessLog, Destination, LineWriter};
use crate::observability::diagnostics;
use crate::observability::otlp::{Exporter, ExporterUnusable};
use crate::observability::wall_clock;
use crate::pipeline::{self, Core, KeySources, Observer, RecordedBody, Streams, Warnings, Worker};
use crate::readiness::Readiness;
use crate::reload::{self, InForce, Reloader};
use crate::server::lag::Lag;
use crate::server::tls::TlsUnusable;
use crate::server::{
    self, Http2Settings, RefusedHead, Serve, Server, ServerFailed, ServerSettings, Transport,
};
use crate::site::compile::{IssuerKeys, Tracing};
use crate::site::limits::RateLimits;
use crate::stores::Keys;
use crate::trace_context::{SpanQueue, Tracer};
use crate::upstream::key_source::{KeySource, KeySourceSettings, KeySourceUnusable};
use crate::upstream::{Client, Network};

/// Time for the last spans when the drain has used up its own.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// Spans cannot be exported at all.
    #[error("{0}")]
    Exporter(#[from] ExporterUnusable),
    /// The listener for clients cannot be bound.
    #[error("{}", chain(.0))]
    Server(#[from] ServerFailed),
    /// TLS cannot be spoken on this machine.
    #[error("{}", chain(.0))]
    Tls(#[from] TlsUnusable),
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

impl From<Diagnostics> for NotStarted {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Configuration(diagnostics)
    }
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    drain_delay: Duration,
    lines: Lines,
    server: server::Running,
    redirect: Option<(SocketAddr, server::Running)>,
    access_log: AccessLog,
    exporter: Option<Exporter>,
    drain_timeout: Duration,
    core: Arc<Core>,
    reloader: Arc<Reloader>,
    background: Runtime,
}

/// How the process and its listeners are told that it ends.
#[derive(Debug)]
struct Lines {
    /// The listener for clients begins to drain.
    drain: watch::Sender<bool>,
    /// The admin listener may end.
    over: watch::Sender<bool>,
    /// An operator wants it to end.
    stops: watch::Receiver<bool>,
    /// A process whose end is this one's as well.
    parent: Option<u32>,
}

/// Starts a gateway.
///
/// # Errors
///
/// [`NotStarted`]; nothing is left running then.
pub fn start(
    gateway: &'static dyn Gateway,
    loaded: &Loaded,
    options: Options,
) -> Result<Running, NotStarted> {
    let platform = &loaded.platform;
    let foundation = Foundation::new(platform, options.clock);
    let prepared = prepare(gateway, loaded, &foundation, &[])?;
    let Prepared { compiled, listeners, keys, log_level } = prepared;
    diagnostics::init(log_level, diagnostics::Format::Text);
    let Foundation { clock, metrics, vault, .. } = foundation.clone();
    let Bound { server, redirect, tls } =
        listeners.bind(platform.server.listen, &settings(platform), &clock, &metrics)?;
    let background = background(&metrics)?;
    let (listener, admin) = bind_admin(&background, platform.admin.listen)?;
    let key_sources = key_sources(&background, &compiled.issuers, &clock)?;
    let access_log = open_access_log(platform, options.access_log, &server, &metrics)?;
    let (tracer, exporter) = trace(&background, compiled.tracing, &metrics)?.unzip();
    let core = Arc::new(Core {
        streams: Streams::new(metrics.streams.clone()),
        clock,
        metrics,
        site: ArcSwap::from_pointee(compiled.site),
        rate_limits: RateLimits::new(platform.rate_limit.buckets_max),
        vault,
        keys: Keys::Memory(Arc::new(keys)),
        part_cache: PartCache::new(platform.aggregation.cache_size_max.bytes()),
        tracer,
        key_sources,
        observer: options.observer,
        readiness: Arc::new(Readiness::default()),
        tls,
    });
    let (drain, drains) = watch::channel(false);
    // Probes must be able to see a drain, so the admin listener outlives it.
    let (over, is_over) = watch::channel(false);
    let (stop, stops) = watch::channel(false);
    let force = InForce { loaded: Arc::new(loaded.clone()), issuers: compiled.issuers };
    let reloader = Reloader::new(gateway, &core, foundation, force);
    background.block_on(async { reloader.watch_targets() });
    watch_files(&background, &reloader, platform);
    let page = Admin { core: Arc::clone(&core), reloader: Arc::clone(&reloader), stop };
    background.spawn(admin::serve(page, listener, is_over));
    look_after(&background, &core);
    let address = server.local_addr();
    let lag_max = platform.server.lag_max.map(|lag_max| lag_max.get());
    let server = serve(server, &core, (&access_log, lag_max), &drains)?;
    let redirect = redirect.map(|bound| listeners::start_redirect(bound, &drains)).transpose()?;
    core.readiness.serving();
    tracing::info!(gateway = gateway.name(), %address, %admin, "serving");
    let lines = Lines { drain, over, stops, parent: options.stops_with_parent };
    let drain_delay = platform.server.drain_delay.map_or(Duration::ZERO, |delay| delay.get());
    Ok(Running {
        address,
        admin,
        drain_delay,
        lines,
        server,
        redirect,
        access_log,
        exporter,
        drain_timeout: platform.server.drain_timeout.get(),
        core,
        reloader,
        background,
    })
}

/// What goes on beside the requests for as long as the process runs.
fn look_after(background: &Runtime, core: &Arc<Core>) {
    background.spawn(Streams::watch(Arc::downgrade(core)));
    background.spawn(wall_clock::watch(core.clock.clone()));
}

/// Has the files looked at, where somebody wants it.
fn watch_files(background: &Runtime, reloader: &Arc<Reloader>, platform: &Platform) {
    let settings = &platform.reload;
    if settings.watch {
        let interval = settings.watch_interval.get();
        background.spawn(reload::watch::on_change(Arc::clone(reloader), interval));
    }
}

/// The runtime for everything beside the cores; its tasks are counted.
fn background(metrics: &Metrics) -> Result<Runtime, NotStarted> {
    let background = server::background::build().map_err(NotStarted::Runtime)?;
    metrics.tasks.count("background", background.metrics());
    Ok(background)
}

/// The admin listener, and where it is.
fn bind_admin(
    background: &Runtime,
    address: SocketAddr,
) -> Result<(tokio::net::TcpListener, SocketAddr), NotStarted> {
    let listener = background
        .block_on(admin::bind(address))
        .map_err(|source| NotStarted::Admin { address, source })?;
    let bound = listener.local_addr().unwrap_or(address);
    Ok((listener, bound))
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

/// Who decides which requests are recorded, and who exports their spans.
fn trace(
    background: &Runtime,
    tracing: Option<Tracing>,
    metrics: &Metrics,
) -> Result<Option<(Tracer, Exporter)>, ExporterUnusable> {
    let Some(Tracing { ratio, respects_parent, queue_max, batch_max, export }) = tracing else {
        return Ok(None);
    };
    let dropped = metrics.spans.get_or_create_owned(&SpanOutcome { outcome: "queue_full" });
    let spans = SpanQueue::new(queue_max, batch_max, dropped);
    let exporter = Exporter::spawn(background.handle(), &export, spans.clone(), metrics)?;
    Ok(Some((Tracer { ratio, respects_parent, spans }, exporter)))
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
    // A little more than the guard's own ceilings: a head that it refuses is known whole, and the
    // connection can go on.
    let slack = 2;
    ServerSettings {
        cores: server.cores,
        connections_max: server.connections_max,
        connections_per_address_max: server.connections_per_address_max.and_then(NonZeroU32::new),
        head_timeout: server.head_timeout.get(),
        idle_timeout: server.idle_timeout.get(),
        head_limits: HeadLimits {
            target_size_max: server.target_size_max.as_usize().saturating_mul(slack),
            head_size_max: server.head_size_max.as_usize().saturating_mul(slack),
            // No more here: up to 100 the HTTP library parses without allocating.
            header_count_max: server.header_count_max,
        },
        http2: Http2Settings {
            streams_max: server.http2.streams_max,
            control_frames_max: server.http2.control_frames_max,
        },
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
            client: Client::new(Network),
            lines: writers.get(number).cloned().unwrap_or_default(),
            lag: lag(&core, lag_max, number),
            warnings: Warnings::default(),
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

    fn serve(
        &self,
        request: Request<Incoming>,
        transport: &Transport,
    ) -> impl Future<Output = Response<RecordedBody>> {
        pipeline::handle(&self.worker, request, transport)
    }

    fn refuse(&self, head: &RefusedHead, transport: &Transport) -> Response<RecordedBody> {
        pipeline::refuse(&self.worker, head, transport)
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

    /// Where clients connect without TLS to be sent to where it is, if anywhere.
    #[must_use]
    pub fn redirect(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().map(|(address, _)| *address)
    }

    /// Puts other configurations in force.
    #[must_use]
    pub const fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Waits for SIGTERM, Ctrl-C, `POST /drain`, or the end of the parent where that was asked for,
    /// then stops. The second signal hurries it. SIGHUP reloads, and has the
    /// access log's file opened again.
    ///
    /// # Errors
    ///
    /// [`ServerFailed`] when a core had ended by a panic.
    pub fn until_signalled(self) -> Result<(), ServerFailed> {
        let (reloader, access_log) = (Arc::clone(&self.reloader), self.access_log.reopener());
        self.background.spawn(reload::watch::on_hangup(reloader, access_log));
        let (parent, stops) = (self.lines.parent, self.lines.stops.clone());
        let mut told = self.background.block_on(async {
            let mut told = Told::listen(parent, stops);
            told.first().await;
            told
        });
        self.stop_unless(async move { told.hurried().await })
    }

    /// Stops in order: not ready, drain, close the access log, export the last spans in what is left
    /// of the drain time-out. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`ServerFailed`] when a core had ended by a panic.
    pub fn stop(self) -> Result<(), ServerFailed> {
        self.stop_unless(std::future::pending())
    }

    /// Stops in order; at once, when `hurried` is ready.
    fn stop_unless(
        self,
        hurried: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServerFailed> {
        let begun = self.core.clock.now();
        self.core.readiness.draining();
        let hurry = self.server.hurry();
        let mut hurries = hurry.subscribe();
        self.background.spawn(async move {
            hurried.await;
            tracing::warn!("signalled again to stop: requests in flight are cut");
            hurry.send_replace(true);
        });
        // Balancers that ask now and then must hear of it before connections are refused.
        self.background.block_on(async {
            let hurried = hurries.wait_for(|&is_now| is_now);
            let _ = tokio::time::timeout(self.drain_delay, hurried).await;
        });
        self.lines.drain.send_replace(true);
        self.core.streams.drain();
        let drained = self.server.join();
        let drained = match self.redirect {
            Some((_, redirect)) => redirect.join().and(drained),
            None => drained,
        };
        self.access_log.close();
        if let Some(exporter) = self.exporter {
            let left = self.drain_timeout.saturating_sub(self.core.clock.now().since(begun));
            self.background.block_on(exporter.close(left.max(LAST_SPANS_TIMEOUT)));
        }
        self.lines.over.send_replace(true);
        self.background.shutdown_background();
        tracing::info!(cut = drained.as_ref().map_or(0, |drained| drained.cut), "stopped");
        drained.map(drop)
    }
}
