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

/// What moves an answer's bytes: the connection over which it comes.
pub trait Drive: Send {
    /// Moves what can be moved; ready when the connection is over.
    fn poll_drive(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// The answer has ended: the connection is free for the next request.
    fn release(self: Box<Self>, context: &mut Context<'_>);
}

/// The body of a service's answer.
///
/// Reading it drives the connection, which is released at its end; dropping it before hangs up. It
/// fails with [`ReadTimedOut`] when nothing arrives for as long as the time-out, and gives its
/// permit back when it ends, fails or is dropped. While bytes are there no timer is touched.
pub struct ServiceBody {
    incoming: Incoming,
    /// `None` once the answer has ended.
    connection: Option<Box<dyn Drive>>,
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
    /// Times `incoming`, which comes over `connection`, and keeps `permit` for as long as it takes.
    #[must_use]
    pub fn new(
        incoming: Incoming,
        connection: Box<dyn Drive>,
        permit: Permit,
        read_timeout: Duration,
    ) -> Self {
        let (connection, permit) = (Some(connection), Some(permit));
        let alarm = Alarm::default();
        Self { incoming, connection, permit, read_timeout, paused_at: None, alarm }
    }

    /// Lets it pause for so long: a stream is silent for longer than an answer.
    pub const fn set_read_timeout(&mut self, read_timeout: Duration) {
        self.read_timeout = read_timeout;
    }

    /// The next frame: what is there, or what the connection brings.
    fn poll_incoming(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if let Some(connection) = &mut self.connection
            && connection.poll_drive(context).is_ready()
        {
            self.connection = None;
        }
        Pin::new(&mut self.incoming).poll_frame(context)
    }

    /// The body is over: nothing need hold the permit, and the connection is free.
    fn end(&mut self, context: &mut Context<'_>) {
        self.permit = None;
        if let Some(connection) = self.connection.take() {
            connection.release(context);
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
        f.debug_struct("ServiceBody").field("incoming", &self.incoming).finish_non_exhaustive()
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
        match this.poll_incoming(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.paused_at = None;
                if this.incoming.is_end_stream() {
                    this.end(context);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.end(context);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                (this.permit, this.connection) = (None, None);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => {
                let timed_out = ready!(this.poll_timeout(context));
                (this.permit, this.connection) = (None, None);
                Poll::Ready(Some(Err(timed_out.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
