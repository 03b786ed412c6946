//! The server: connections in, requests out to whoever serves them, one thread for each core.
//!
//! Read in this order: [`Server`] binds and starts the cores, `accept` is one core's life,
//! [`Entrance`] what a connection passes first ([`proxy_protocol`], [`tls`]), `connection` is one
//! connection's, [`Transport`] what is known of it, `watched` is how a connection knows what it waits
//! for, `intake` what of a client's bytes is let in, `rest` what is left of it while nothing is asked,
//! `http2` and `frames` are the same for HTTP/2, `core` is what the connections of one core share.
//! [`background`] is the runtime for everything beside the hot path, [`lag`] how far a core is behind.
//!
//! Invariants
//! - Nothing on a core is shared or moved to another one, except the process-wide counts of open
//!   connections, and whatever the [`Serve`] chooses to share.
//! - Every wait on a client has a bound: for the head of a request, between requests, and for a
//!   client that takes nothing of its answer.
//! - A drain loses nothing: requests in flight are answered, requests that arrive while it begins
//!   too, and only who is not done by the drain time-out is cut,
//!   or by the moment when somebody is in a hurry.
//! - A panic while serving ends that connection and nothing else.
//!
//! Above `connections_max`, or those of one address (`per_address`), a new connection is closed at once,
//! without an answer: a queue in the kernel would hide the overload. A head that is no HTTP, too long or too slow has an answer and a
//! record like any request, and the connection ends with it.
//!
//! On Linux each core has its own listener (`SO_REUSEPORT`); elsewhere the cores share one.
//!
//! A second server of one core, with [`redirect`], stands on a port without TLS beside one with it.
//!
//! Not here: what a request means (`pipeline`), limits on its body (`guard`).

mod accept;
pub mod background;
mod connection;
mod core;
mod entrance;
mod frames;
mod handover;
mod http2;
mod intake;
mod joined;
pub mod lag;
mod listen;
mod per_address;
pub mod proxy_protocol;
pub mod redirect;
mod rest;
#[cfg(test)]
mod tests;
pub mod tls;
mod transport;
mod watched;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use crate::body::BodyError;
use crate::guard::head::HeadLimits;
use crate::metric::{ConnectionEnd, Metrics, Tasks};
use crate::permit::Permits;
use crate::server::per_address::PerAddress;

pub use self::entrance::Entrance;
pub use self::handover::{ClientIo, Handover};
pub use self::intake::RefusedHead;
pub use self::transport::{Protocol, Transport};

/// Serves the requests of one core. It never leaves its thread.
pub trait Serve: 'static {
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin + 'static;

    /// Answers one request. It is dropped, unfinished, when the client hangs up.
    fn serve(
        &self,
        request: Request<Incoming>,
        transport: &Transport,
    ) -> impl Future<Output = Response<Self::Body>>;

    /// Answers what never became a request.
    fn refuse(&self, head: &RefusedHead, transport: &Transport) -> Response<Self::Body>;
}

/// The bounds of a server; each stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Threads that serve requests; 0: as many as the machine has cores.
    pub cores: usize,
    /// Open connections, all cores together.
    pub connections_max: u32,
    /// Those of one address; `None`: no bound but the one above.
    pub connections_per_address_max: Option<NonZeroU32>,
    /// Time for the head of a request, from its first byte; on a new connection from the start.
    pub head_timeout: Duration,
    /// How long a connection is kept that waits for a request, or whose client takes nothing of
    /// its answer.
    pub idle_timeout: Duration,
    /// The most that is read of a request's head.
    pub head_limits: HeadLimits,
    /// What holds for HTTP/2 alone.
    pub http2: Http2Settings,
    /// Time for requests in flight once a drain has begun.
    pub drain_timeout: Duration,
}

/// The bounds of HTTP/2 connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Settings {
    /// Requests in flight on one connection.
    pub streams_max: u32,
    /// Frames that carry nothing, at once; they come back within a minute.
    pub control_frames_max: u32,
}

/// A server that is bound, and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    shared: Shared,
    hurry: watch::Sender<bool>,
}

/// What the cores have in common.
#[derive(Debug, Clone)]
struct Shared {
    settings: Arc<ServerSettings>,
    entrance: Arc<Entrance>,
    connections: Arc<Permits>,
    per_address: Arc<PerAddress>,
    open: Gauge,
    resting: Gauge,
    ends: Family<ConnectionEnd, Counter>,
    tasks: Tasks,
    /// True once nobody shall be waited for any longer.
    hurries: watch::Receiver<bool>,
}

/// Why a server did not start or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum ServerFailed {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A core's thread or runtime could not be made.
    #[error("cannot start a core")]
    Core(#[source] io::Error),
    /// A core's thread ended by a panic.
    #[error("a core ended by a panic")]
    Panicked,
}

impl Server {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// [`ServerFailed::Bind`], also when another process listens there.
    pub fn bind(
        address: SocketAddr,
        settings: ServerSettings,
        metrics: &Metrics,
    ) -> Result<Self, ServerFailed> {
        let cores = match settings.cores {
            0 => thread::available_parallelism().map_or(1, usize::from),
            cores => cores,
        };
        let bind_failed = |source| ServerFailed::Bind { address, source };
        let (listeners, address) = listen::bind(address, cores).map_err(bind_failed)?;
        let (hurry, hurries) = watch::channel(false);
        let shared = Shared {
            hurries,
            connections: Permits::new(settings.connections_max),
            per_address: PerAddress::new(settings.connections_per_address_max),
            entrance: Arc::default(),
            settings: Arc::new(settings),
            open: metrics.connections.clone(),
            resting: metrics.resting_connections.clone(),
            ends: metrics.connection_ends.clone(),
            tasks: metrics.tasks.clone(),
        };
        Ok(Self { listeners, address, shared, hurry })
    }

    /// Lets connections in by this entrance instead of straight away.
    #[must_use]
    pub fn behind(mut self, entrance: Entrance) -> Self {
        self.shared.entrance = Arc::new(entrance);
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many cores will serve.
    #[must_use]
    pub const fn cores(&self) -> usize {
        self.listeners.len()
    }

    /// Starts the cores and returns once all of them accept.
    ///
    /// `make` is called once on each core's thread, inside its runtime, with the core's number.
    /// A drain begins when `drain` becomes true or its sender is gone.
    ///
    /// # Errors
    ///
    /// [`ServerFailed::Core`] or [`ServerFailed::Panicked`] when a core cannot start.
    pub fn start<F, S>(
        self,
        make: F,
        drain: &watch::Receiver<bool>,
    ) -> Result<Running, ServerFailed>
    where
        F: Fn(usize) -> S + Send + Sync + 'static,
        S: Serve,
    {
        let make = Arc::new(make);
        let (started, starts) = mpsc::channel();
        let cores = self.listeners.len();
        let mut threads = Vec::with_capacity(cores);
        for (core, listener) in self.listeners.into_iter().enumerate() {
            let (make, started) = (Arc::clone(&make), started.clone());
            let life = accept::Life {
                listener,
                shared: self.shared.clone(),
                drain: drain.clone(),
                started,
            };
            let thread = thread::Builder::new().name(format!("core-{core}"));
            threads
                .push(thread.spawn(move || life.run(|| make(core))).map_err(ServerFailed::Core)?);
        }
        drop(started);
        for _ in 0..cores {
            // A core that panics before it accepts says nothing; in the end the channel closes.
            starts.recv().unwrap_or(Err(ServerFailed::Panicked))?;
        }
        Ok(Running { threads, hurry: self.hurry })
    }
}

/// A server that serves.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<u32>>,
    hurry: watch::Sender<bool>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the drain time-out.
    pub cut: u32,
}

impl Running {
    /// What ends a drain at once when it is set: who is not done is cut.
    #[must_use]
    pub fn hurry(&self) -> watch::Sender<bool> {
        self.hurry.clone()
    }

    /// Waits until the server has drained. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`ServerFailed::Panicked`] when a core's thread has ended by a panic.
    pub fn join(self) -> Result<Drained, ServerFailed> {
        let ends: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        let cut = ends.into_iter().sum::<Result<u32, _>>().map_err(|_| ServerFailed::Panicked)?;
        Ok(Drained { cut })
    }
}
