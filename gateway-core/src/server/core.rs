//! What the connections of one core share. All of it stays on that core's thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use hyper::server::conn::http1;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::permit::Permit;
use crate::server::ServerSettings;

/// The library holds this many header fields without allocating.
const HEADERS_FOR_FREE: usize = 100;

/// The library allows no buffer below this.
const BUFFER_MIN: usize = 8_192;

/// One core.
pub(super) struct Core<S> {
    pub(super) serve: S,
    pub(super) http: http1::Builder,
    pub(super) settings: Arc<ServerSettings>,
    draining_since: Cell<Option<Instant>>,
    connections: RefCell<HashMap<u64, Option<Waker>>>,
    connections_seen: Cell<u64>,
    emptied: Notify,
}

impl<S> Core<S> {
    pub(super) fn new(serve: S, settings: Arc<ServerSettings>) -> Rc<Self> {
        Rc::new(Self {
            serve,
            http: http(&settings),
            settings,
            draining_since: Cell::default(),
            connections: RefCell::default(),
            connections_seen: Cell::default(),
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

/// Our own time-outs stand in `connection`: the library's would arm a timer for each request.
fn http(settings: &ServerSettings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        .max_header_size(settings.head_size_max)
        .max_buf_size(settings.head_size_max.max(BUFFER_MIN));
    if settings.header_count_max > HEADERS_FOR_FREE {
        http.max_headers(settings.header_count_max);
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
