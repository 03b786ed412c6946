//! A request's body while it is being sent: how long a service may take to take it.
//!
//! Not here: bodies that are at hand, which are sent with their heads (`http1`).

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::body::{Body, BodyError};
use crate::upstream::failed::CallFailed;
use crate::upstream::target::TargetSettings;

/// An answer to a body that must be taken piece by piece within the target's write time-out; it may
/// take the response time-out once all of it has been sent, and `time_left` in all.
pub(super) async fn after_sending<T>(
    sent: Sent,
    answer: impl Future<Output = Result<T, CallFailed>>,
    settings: &TargetSettings,
    time_left: Duration,
) -> Result<T, CallFailed> {
    let too_late = pin!(sent.too_late(settings));
    match timeout(time_left, select(pin!(answer), too_late)).await {
        Ok(Either::Left((result, _))) => result,
        Ok(Either::Right((failed, _))) => Err(failed),
        Err(_) => Err(CallFailed::ResponseTimedOut(time_left)),
    }
}

/// A client's body that tells when the connection holds a piece of it, and is dropped, its channel
/// with it, when it has been sent.
pub(super) struct UntilSent {
    body: Body,
    held: Held,
    _end: oneshot::Sender<()>,
}

/// Since when the connection holds a piece and has not asked for the next; `None` while it waits for
/// the client.
type Held = Arc<Mutex<Option<Instant>>>;

/// How far a body has been sent.
pub(super) struct Sent {
    held: Held,
    /// Ready once the body has been sent, or dropped.
    end: oneshot::Receiver<()>,
}

impl UntilSent {
    pub(super) fn of(body: Body, settings: &TargetSettings) -> (Body, Sent) {
        let (end, sent) = oneshot::channel();
        // Opening a connection has time-outs of its own.
        let open_at = Instant::now() + settings.connect_timeout;
        let held = Held::new(Mutex::new(Some(open_at)));
        let sent = Sent { held: Arc::clone(&held), end: sent };
        (Body::boxed(Self { body, held, _end: end }), sent)
    }
}

impl Sent {
    /// Ready when the service has stopped taking the body, or has it and does not answer.
    async fn too_late(mut self, settings: &TargetSettings) -> CallFailed {
        let write_timeout = settings.write_timeout;
        loop {
            let held_since = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held_since.is_some_and(|since| since.elapsed() >= write_timeout) {
                return CallFailed::WriteTimedOut(write_timeout);
            }
            let due = held_since.unwrap_or_else(Instant::now) + write_timeout;
            // The other end is never used, only dropped, together with the body.
            if timeout_at(due, &mut self.end).await.is_ok() {
                break;
            }
        }
        sleep(settings.response_timeout).await;
        CallFailed::ResponseTimedOut(settings.response_timeout)
    }
}

impl HttpBody for UntilSent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        let held_since = polled.is_ready().then(Instant::now);
        *this.held.lock().unwrap_or_else(PoisonError::into_inner) = held_since;
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
