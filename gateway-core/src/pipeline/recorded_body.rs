//! Step 14: the record is closed when the answer's body has ended, or was dropped before.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::closing::Closing;
use crate::body::{Body, BodyError};

/// An answer's body that counts its bytes and closes the record exactly once.
#[derive(Debug)]
pub struct RecordedBody {
    body: Body,
    closing: Option<Box<Closing>>,
}

impl RecordedBody {
    pub(super) fn new(body: Body, closing: Box<Closing>) -> Self {
        Self { body, closing: Some(closing) }
    }

    /// The body of an answer whose record is closed by somebody else.
    pub(super) const fn unrecorded(body: Body) -> Self {
        Self { body, closing: None }
    }

    /// Whatever it was that sent them: no trailers go out as they came.
    fn strip(&self, trailers: &mut HeaderMap) {
        match &self.closing {
            Some(closing) => closing.worker.core.site.load().strip_trailers(trailers),
            None => trailers.clear(),
        }
    }

    fn warn(&self, error: &BodyError) {
        let Some(closing) = &self.closing else { return };
        let request_id = closing.record.request_id.as_str();
        match closing.worker.warnings.take(closing.worker.core.clock.now()) {
            Some(left_out) => {
                tracing::warn!(request_id, %error, left_out, "an answer broke off");
            }
            None => tracing::debug!(request_id, %error, "an answer broke off"),
        }
    }

    fn close(&mut self, broke_off: Option<&'static str>) {
        if let Some(closing) = self.closing.take() {
            closing.close(broke_off);
        }
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
        let mut polled = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            this.strip(trailers);
        }
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
                this.warn(error);
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
