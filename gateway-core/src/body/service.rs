//! The body of a service's answer: how long it may pause, and the permit that it holds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::body::{Body, BodyError};
use crate::permit::Permit;

/// The connection over which an answer comes.
pub trait Carry: Send {
    /// The next frame of the answer's body; `None` at its end.
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Whether the answer has ended.
    fn is_end(&self) -> bool;

    /// How much is to come, as far as it is known.
    fn size_hint(&self) -> SizeHint;

    /// The answer has ended: the connection is free for the next request.
    fn release(self: Box<Self>);
}

/// The body of a service's answer.
///
/// Reading it reads the connection, which is released at its end; dropping it before hangs up. It
/// fails with [`ReadTimedOut`] when nothing arrives for as long as the time-out, and gives its
/// permit back when it ends, fails or is dropped. While bytes are there no timer is touched.
pub struct ServiceBody {
    /// `None` once the answer has ended.
    connection: Option<Box<dyn Carry>>,
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
    /// Times what comes over `connection`, and keeps `permit` for as long as it takes.
    #[must_use]
    pub fn new(connection: Box<dyn Carry>, permit: Permit, read_timeout: Duration) -> Self {
        let (connection, permit) = (Some(connection), Some(permit));
        Self { connection, permit, read_timeout, paused_at: None, alarm: Alarm::default() }
    }

    /// Lets it pause for so long: a stream is silent for longer than an answer.
    pub const fn set_read_timeout(&mut self, read_timeout: Duration) {
        self.read_timeout = read_timeout;
    }

    /// The body is over: nothing need hold the permit, and the connection is free.
    fn end(&mut self) {
        self.permit = None;
        if let Some(connection) = self.connection.take() {
            connection.release();
        }
    }

    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<ReadTimedOut> {
        let paused_at = *self.paused_at.get_or_insert_with(Instant::now);
        ready!(self.alarm.poll_at(paused_at + self.read_timeout, context));
        Poll::Ready(ReadTimedOut(self.read_timeout))
    }
}

impl From<ServiceBody> for Body {
    fn from(body: ServiceBody) -> Self {
        Self::Service(body)
    }
}

impl std::fmt::Debug for ServiceBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceBody")
            .field("has_ended", &self.connection.is_none())
            .finish_non_exhaustive()
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
        let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
        match connection.poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.paused_at = None;
                if connection.is_end() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                (this.permit, this.connection) = (None, None);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                let timed_out = ready!(this.poll_timeout(context));
                (this.permit, this.connection) = (None, None);
                Poll::Ready(Some(Err(timed_out.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.connection.as_ref().map(|connection| connection.size_hint());
        left.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}
