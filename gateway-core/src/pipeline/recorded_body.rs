//! Step 14: the record is closed when the answer's body has ended, or was dropped before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError};
use crate::clock::Moment;
use crate::pipeline::Worker;
use crate::record::Record;
use crate::site::RouteMetrics;

/// An answer's body that counts its bytes and closes the record exactly once.
#[derive(Debug)]
pub struct RecordedBody {
    body: Body,
    closing: Option<Box<Closing>>,
}

/// What closing a record needs.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) worker: Arc<Worker>,
    pub(super) record: Record,
    pub(super) started: Moment,
    /// When the answer's head was ready, if its body comes from a service: what follows is the
    /// service's time (and the client's), not the gateway's.
    pub(super) streams_since: Option<Moment>,
    pub(super) metrics: Arc<RouteMetrics>,
}

impl RecordedBody {
    pub(super) fn new(body: Body, closing: Box<Closing>) -> Self {
        Self { body, closing: Some(closing) }
    }

    fn close(&mut self, broke_off: Option<&'static str>) {
        let Some(mut closing) = self.closing.take() else { return };
        let core = &closing.worker.core;
        let now = core.clock.now();
        let record = &mut closing.record;
        record.latency = now.since(closing.started);
        if let Some(since) = closing.streams_since {
            record.upstream += now.since(since);
        }
        record.code = record.code.or(broke_off);
        core.metrics.active_requests.dec();
        core.metrics.overhead.observe(record.overhead().as_secs_f64());
        closing.metrics.observe(&core.metrics, record.status, record.latency);
        closing.worker.lines.write(record);
    }
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(closing)) = (frame.data_ref(), &mut this.closing) {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    closing.record.bytes_out += length;
                }
                if this.body.is_end_stream() {
                    this.close(None);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let request_id = this.closing.as_ref().map(|closing| closing.record.request_id);
                tracing::warn!(?request_id, error = %error, "an answer broke off");
                this.close(Some("upstream_broke_off"));
            }
            Poll::Ready(None) => this.close(None),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RecordedBody {
    fn drop(&mut self) {
        // A body that has nothing more to give is dropped without being polled to its end.
        let broke_off = (!self.body.is_end_stream()).then_some("client_disconnected");
        self.close(broke_off);
    }
}
