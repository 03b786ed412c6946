//! The server: connections in, requests out to whoever serves them, one thread for each core.
//!
//! Read in this order: [`Server`] binds and starts the cores, `accept` is one core's life,
//! `connection` is one connection's, `watched` is how a connection knows what it waits for, `core`
//! is what the connections of one core share.
//! [`background`] is the runtime for everything beside the hot path, [`lag`] how far a core is behind.
//!
//! Invariants
//! - Nothing on a core is shared or moved to another one, except the two process-wide counts: open
//!   connections, and whatever the [`Serve`] chooses to share.
//! - Every wait on a client has a bound: for the head of a request, between requests, and for a
//!   client that takes nothing of its answer.
//! - A drain loses nothing: requests in flight are answered, requests that arrive while it begins
//!   too, and only who is not done by the drain time-out is cut.
//! - A panic while serving ends that connection and nothing else.
//!
//! Above `connections_max` a new connection is closed at once, without an answer: a queue in the
//! kernel would hide the overload. What is no HTTP is answered by the HTTP library itself, with an
//! empty body and no record: 400, and 431 for a head that is too long. A head that is too slow is
//! answered 408 in the same way.
//!
//! On Linux each core has its own listener (`SO_REUSEPORT`); elsewhere the cores share one.
//!
//! Not here: what a request means (`pipeline`), limits on its body (`guard`).

mod accept;
pub mod background;
mod connection;
mod core;
pub mod lag;
mod listen;
#[cfg(test)]
mod tests;
mod watched;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::body::BodyError;
use crate::metric::Metrics;
use crate::permit::Permits;

/// Serves the requests of one core. It never leaves its thread.
pub trait Serve: 'static {
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin + 'static;

    /// Answers one request. It is dropped, unfinished, when the client hangs up.
    fn serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>>;
}

/// The bounds of a server; each stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Threads that serve requests; 0: as many as the machine has cores.
    pub cores: usize,
    /// Open connections, all cores together.
    pub connections_max: u32,
    /// Time for the head of a request, from its first byte; on a new connection from the start.
    pub head_timeout: Duration,
    /// How long a connection is kept that waits for a request, or whose client takes nothing of
    /// its answer.
    pub idle_timeout: Duration,
    /// Bytes of a request's head; a longer one is answered 431. At least 8192 are buffered.
    pub head_size_max: usize,
    /// Header fields of a request; more are answered 431. Below 100 the `guard` counts them.
    pub header_count_max: usize,
    /// Time for requests in flight once a drain has begun.
    pub drain_timeout: Duration,
}

/// A server that is bound, and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    shared: Shared,
}

/// What the cores have in common.
#[derive(Debug, Clone)]
struct Shared {
    settings: Arc<ServerSettings>,
    connections: Arc<Permits>,
    open: prometheus_client::metrics::gauge::Gauge,
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
        let shared = Shared {
            connections: Permits::new(settings.connections_max),
            settings: Arc::new(settings),
            open: metrics.connections.clone(),
        };
        Ok(Self { listeners, address, shared })
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
        Ok(Running { threads })
    }
}

/// A server that serves.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<u32>>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the drain time-out.
    pub cut: u32,
}

impl Running {
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
