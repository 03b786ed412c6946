//! What the connections of one core share. All of it stays on that core's thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use hyper::server::conn::http1;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::guard::head::HeadLimits;
use crate::metric::ConnectionEnd;
use crate::permit::Permit;
use crate::server::ServerSettings;
use crate::server::per_address::{PerAddress, Seat};

/// The library holds this many header fields without allocating.
const HEADERS_FOR_FREE: usize = 100;

/// The library reads a head only when the `intake` has found it sound, so its own bounds are never
/// met: they lie this far beyond ours, for what is read along with a head. It allows no less.
const BUFFER_SLACK: usize = 8 * 1024;

/// The longest target and the most header fields that the library can take in.
const TARGET_SIZE_MAX: usize = 65_534;
const HEADER_COUNT_MAX: usize = 10_000;

/// One core.
pub(super) struct Core<S> {
    pub(super) serve: S,
    pub(super) http1: http1::Builder,
    pub(super) settings: Arc<ServerSettings>,
    pub(super) head_limits: HeadLimits,
    pub(super) ends: Family<ConnectionEnd, Counter>,
    per_address: Arc<PerAddress>,
    draining_since: Cell<Option<Instant>>,
    connections: RefCell<HashMap<u64, Option<Waker>>>,
    connections_seen: Cell<u64>,
    /// Those that are not at rest.
    awake: Cell<usize>,
    resting: Gauge,
    emptied: Notify,
}

impl<S> Core<S> {
    pub(super) fn new(
        serve: S,
        settings: Arc<ServerSettings>,
        ends: Family<ConnectionEnd, Counter>,
        (resting, per_address): (Gauge, Arc<PerAddress>),
    ) -> Rc<Self> {
        let limits = settings.head_limits;
        let head_limits = HeadLimits {
            target_size_max: limits.target_size_max.min(TARGET_SIZE_MAX),
            header_count_max: limits.header_count_max.min(HEADER_COUNT_MAX),
            ..limits
        };
        Rc::new(Self {
            serve,
            http1: http1(&head_limits),
            settings,
            head_limits,
            ends,
            per_address,
            draining_since: Cell::default(),
            connections: RefCell::default(),
            connections_seen: Cell::default(),
            awake: Cell::default(),
            resting,
            emptied: Notify::new(),
        })
    }

    /// Adds a connection, until the place is dropped.
    pub(super) fn enter(self: &Rc<Self>, permit: Permit, open: Gauge) -> Place<S> {
        let id = self.connections_seen.get();
        self.connections_seen.set(id + 1);
        self.connections.borrow_mut().insert(id, None);
        open.inc();
        Place { core: Rc::clone(self), id, open, _permit: permit }
    }

    /// Counts a connection as one of its address's, until this is dropped; `None` when that has all that
    /// it may have.
    pub(super) fn seat(&self, peer: SocketAddr) -> Option<Seat> {
        let seat = self.per_address.take(peer.ip());
        if seat.is_none() {
            self.ends.get_or_create(&ConnectionEnd { reason: "address_full" }).inc();
            tracing::debug!(%peer, "all connections of an address are in use");
        }
        seat
    }

    /// The HTTP library has a connection, until this is dropped.
    pub(super) fn wake_up(&self) -> Awake<'_> {
        self.awake.set(self.awake.get() + 1);
        Awake(&self.awake)
    }

    /// A connection is at rest, until this is dropped.
    pub(super) fn rest(&self) -> Resting<'_> {
        self.resting.inc();
        Resting(&self.resting)
    }

    pub(super) fn awake(&self) -> usize {
        self.awake.get()
    }

    /// Tells every connection that the core will end.
    pub(super) fn drain(&self) {
        self.draining_since.set(Some(Instant::now()));
        for waker in self.connections.borrow().values().flatten() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.draining_since.get()
    }

    pub(super) fn open(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Ready once there is no connection.
    pub(super) async fn emptied(&self) {
        while self.open() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A connection at rest.
pub(super) struct Resting<'a>(&'a Gauge);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A connection that is not at rest.
pub(super) struct Awake<'a>(&'a Cell<usize>);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Our own time-outs stand in `connection`: the library's would arm a timer for each request.
fn http1(limits: &HeadLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        .max_header_size(limits.head_size_max.saturating_add(BUFFER_SLACK))
        .max_buf_size(limits.head_size_max.saturating_add(BUFFER_SLACK));
    if limits.header_count_max > HEADERS_FOR_FREE {
        http.max_headers(limits.header_count_max);
    }
    http
}

/// One connection among those of its core.
pub(super) struct Place<S> {
    pub(super) core: Rc<Core<S>>,
    id: u64,
    open: Gauge,
    _permit: Permit,
}

impl<S> Place<S> {
    /// Remembers who must be woken when the core drains.
    pub(super) fn wakes(&self, waker: &Waker) {
        if let Some(known) = self.core.connections.borrow_mut().get_mut(&self.id) {
            *known = Some(waker.clone());
        }
    }
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.open.dec();
        self.core.connections.borrow_mut().remove(&self.id);
        self.core.emptied.notify_one();
    }
}
