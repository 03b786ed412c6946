//! Closing a record: what is counted and written once, whichever way a request ended.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Moment;
use crate::pipeline::{Worker, request_span};
use crate::record::Record;
use crate::site::RouteMetrics;
use crate::trace_context::OpenSpan;

/// A record that is to be closed, and what closing it needs.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) worker: Arc<Worker>,
    pub(super) record: Record,
    pub(super) started: Moment,
    /// When the answer's head was ready, if its body comes from a service: what follows is the
    /// service's time (and the client's), not the gateway's.
    pub(super) streams_since: Option<Moment>,
    pub(super) metrics: Arc<RouteMetrics>,
    /// The request's span; it ends with the record.
    pub(super) span: OpenSpan,
}

impl Closing {
    /// Closes it; `broke_off` is why the answer did not reach its end.
    pub(super) fn close(mut self, broke_off: Option<&'static str>) {
        let core = &self.worker.core;
        let now = core.clock.now();
        let record = &mut self.record;
        record.settle();
        record.latency = now.since(self.started);
        if let Some(since) = self.streams_since {
            record.upstream += now.since(since);
        }
        record.code = record.code.or(broke_off);
        core.metrics.active_requests.dec();
        core.metrics.overhead.observe(record.overhead().as_secs_f64());
        self.metrics.observe(&core.metrics, record.status, record.latency);
        self.worker.lines.write(record);
        request_span::close(self.span, record);
    }
}

/// A record that outlives its answer: that of a connection which goes on after its 101.
#[derive(Debug, Clone, Default)]
pub(super) struct LateClosing(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept(Mutex<Option<Box<Closing>>>);

impl LateClosing {
    /// Keeps the record until it is closed.
    pub(super) fn keep(&self, closing: Box<Closing>) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(closing);
    }

    /// Closes it, after so many bytes to the client.
    pub(super) fn close(&self, bytes_out: u64, broke_off: Option<&'static str>) {
        self.0.close(bytes_out, broke_off);
    }
}

impl Kept {
    fn close(&self, bytes_out: u64, broke_off: Option<&'static str>) {
        let closing = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut closing) = closing {
            closing.record.bytes_out = bytes_out;
            closing.close(broke_off);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Nobody came to use the connection.
        self.close(0, Some("client_disconnected"));
    }
}
