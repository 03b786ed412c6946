//! The body of a service's answer: how long it may pause, and the permit that it holds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::body::{Body, BodyError};
use crate::permit::Permit;

/// The body of a service's answer.
///
/// It fails with [`ReadTimedOut`] when nothing arrives for as long as the time-out, and gives its
/// permit back when it ends, fails or is dropped. While bytes are there no timer is touched.
#[derive(Debug)]
pub struct ServiceBody {
    incoming: Incoming,
    permit: Option<Permit>,
    read_timeout: Duration,
    paused_at: Option<Instant>,
    alarm: Alarm,
}

/// A service stopped sending in the middle of its answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing more of the answer's body arrived for {0:?}")]
pub struct ReadTimedOut(pub Duration);

impl ServiceBody {
    /// Times `incoming`, and keeps `permit` for as long as it takes.
    #[must_use]
    pub fn new(incoming: Incoming, permit: Permit, read_timeout: Duration) -> Self {
        let permit = Some(permit);
        Self { incoming, permit, read_timeout, paused_at: None, alarm: Alarm::default() }
    }

    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<ReadTimedOut> {
        let paused_at = *self.paused_at.get_or_insert_with(Instant::now);
        ready!(self.alarm.poll_at(paused_at + self.read_timeout, context));
        Poll::Ready(ReadTimedOut(self.read_timeout))
    }
}

impl From<ServiceBody> for Body {
    fn from(body: ServiceBody) -> Self {
        // An answer without a body is over: nothing would poll it, nothing need hold the permit.
        if body.is_end_stream() { Self::empty() } else { Self::Service(body) }
    }
}

impl HttpBody for ServiceBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.paused_at = None;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(end) => end.map(|failed| failed.map_err(Into::into)),
            Poll::Pending => Some(Err(ready!(this.poll_timeout(context)).into())),
        };
        this.permit = None;
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
