//! Calls under way, and what becomes of those whose caller leaves before their end.
//!
//! A call is given up when its connection is closed while the service still works on the answer,
//! or still sends it: then the handler, or the answer's body, is dropped before its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;

/// What a service knows of its callers' patience.
#[derive(Debug)]
pub(super) struct Tally {
    given_up: watch::Sender<usize>,
    bytes_sent: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { given_up: watch::Sender::new(0), bytes_sent: AtomicU64::new(0) })
    }

    /// Calls that were given up.
    pub(super) fn given_up(&self) -> usize {
        *self.given_up.borrow()
    }

    /// Resolves once so many calls were given up.
    pub(super) async fn until_given_up(&self, count: usize) {
        let _ = self.given_up.subscribe().wait_for(|given_up| *given_up >= count).await;
    }

    /// Bytes of bodies that were handed to connections.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    /// A call that is being answered.
    pub(super) fn begin(self: &Arc<Self>) -> Unfinished {
        Unfinished { tally: Arc::clone(self), is_over: false }
    }
}

/// A call that counts as given up unless it comes to its end.
#[derive(Debug)]
pub(super) struct Unfinished {
    tally: Arc<Tally>,
    is_over: bool,
}

impl Unfinished {
    /// The service itself has ended it.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }

    /// The answer is ready; the call is over when its body is.
    pub(super) fn send(self, response: Response) -> Response {
        response.map(|body| Body::new(Sending { body, call: self }))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_over {
            self.tally.given_up.send_modify(|given_up| *given_up += 1);
        }
    }
}

/// The body of an answer.
struct Sending {
    body: Body,
    call: Unfinished,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len);
            this.call.tally.bytes_sent.fetch_add(length as u64, Ordering::Relaxed);
        }
        this.call.is_over |= matches!(polled, Poll::Ready(None)) || this.body.is_end_stream();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // A body that was empty from the start is never polled.
        self.call.is_over |= self.body.is_end_stream();
    }
}
