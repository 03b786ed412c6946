//! An answer's way from its body to the wire.
//!
//! The library takes a piece of a body as soon as the client's windows have room for a byte of it, and
//! keeps the rest. Its task for the stream ends when it has been given the last piece, and with it
//! whoever would cancel the stream. So a request is being served until its last piece has gone out
//! ([`Piece`]), the last byte of a large piece is given only when there is room for everything before
//! it, and what is left over all the same is watched ([`LeftOver`]).
//!
//! Not here: a client that takes nothing while there is more to give (`Attended`).

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::server::http2::SEND_BUFFER_MAX;
use crate::server::watched::{Served, Serving};

/// What is no more than the smallest limit of a frame is not worth another one for its last byte.
const SMALL_MAX: usize = 16 * 1024;

/// A body in pieces of a bounded size. They are not copied.
pub(super) struct Pieces<B> {
    body: B,
    rest: Bytes,
    serving: Rc<Serving>,
    left_over: Rc<LeftOver>,
}

impl<B> Pieces<B> {
    pub(super) fn new(served: Served<B>, left_over: Rc<LeftOver>) -> Self {
        let Served { body, serving } = served;
        Self { body, rest: Bytes::new(), serving: Rc::new(serving), left_over }
    }
}

impl<B> Drop for Pieces<B> {
    fn drop(&mut self) {
        if Rc::strong_count(&self.serving) > 1 {
            self.left_over.add(Rc::downgrade(&self.serving));
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Pieces<B> {
    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)?).map(Frame::into_data) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(frame)) => {
                    // There are two kinds.
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                None => return Poll::Ready(None),
            }
        }
        let is_last = self.body.size_hint().lower() == 0;
        let bytes = self.rest.split_to(piece_size(self.rest.len(), is_last));
        let left_over = Rc::clone(&self.left_over);
        let piece = Piece { bytes, left_over, _serving: Rc::clone(&self.serving) };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = self.get_mut();
        let polled = this.poll_piece(context);
        this.serving.hears(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// How much of what is left of a body's frame goes next; the frame may be the last.
fn piece_size(rest: usize, is_last: bool) -> usize {
    let held_back = usize::from(is_last && rest > SMALL_MAX);
    SEND_BUFFER_MAX.min(rest - held_back)
}

/// A piece of an answer. Until the library has written it and lets it go, its request is being served.
pub(super) struct Piece {
    bytes: Bytes,
    left_over: Rc<LeftOver>,
    _serving: Rc<Serving>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.left_over.sent.set(self.left_over.sent.get() + count);
    }
}

/// Answers of one connection that the library has whole, and has not written yet.
///
/// There are no more of them than streams: they keep their places until they are gone.
#[derive(Default)]
pub(super) struct LeftOver {
    answers: RefCell<Vec<Left>>,
    /// Bytes that have gone out of all answers since they were last looked at and were many.
    sent: Cell<usize>,
}

struct Left {
    answer: Weak<Serving>,
    /// Since when it waits for its client's windows, and for nothing else.
    since: Option<Instant>,
}

impl LeftOver {
    fn add(&self, answer: Weak<Serving>) {
        self.answers.borrow_mut().push(Left { answer, since: None });
    }

    /// Since when the longest waits.
    ///
    /// While the client is slow to read what its windows have room for (`is_blocked`), whatever is new
    /// may be waiting for that.
    pub(super) fn waits_since(&self, is_blocked: bool) -> Option<Instant> {
        let mut left = self.answers.borrow_mut();
        left.retain(|left| left.answer.strong_count() > 0);
        if self.sent.get() >= SMALL_MAX {
            // They share the connection's window, and somebody's turn it was.
            self.sent.set(0);
            left.iter_mut().for_each(|left| left.since = None);
        }
        if !is_blocked {
            for left in left.iter_mut() {
                left.since.get_or_insert_with(Instant::now);
            }
        }
        left.iter().filter_map(|left| left.since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::watched::State;

    #[test]
    fn only_what_may_be_the_end_of_a_body_keeps_a_byte_back() {
        for (rest, is_last, expected) in [
            (0, true, 0),
            (SMALL_MAX, true, SMALL_MAX),
            (SMALL_MAX + 1, true, SMALL_MAX),
            (SMALL_MAX + 1, false, SMALL_MAX + 1),
            (SEND_BUFFER_MAX, false, SEND_BUFFER_MAX),
            (SEND_BUFFER_MAX, true, SEND_BUFFER_MAX - 1),
            (SEND_BUFFER_MAX + 1, true, SEND_BUFFER_MAX),
        ] {
            assert_eq!(piece_size(rest, is_last), expected, "{rest} {is_last}");
        }
    }

    #[test]
    fn what_is_left_waits_anew_when_its_connection_has_moved_much_and_not_for_a_trickle() {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(async {
                let left_over = LeftOver::default();
                let answer = Rc::new(State::new().begin());
                left_over.add(Rc::downgrade(&answer));
                let begun = left_over.waits_since(false);
                assert!(begun.is_some());
                tokio::time::advance(std::time::Duration::from_secs(70)).await;
                left_over.sent.set(SMALL_MAX - 1);
                assert_eq!(left_over.waits_since(false), begun, "a trickle");
                left_over.sent.set(SMALL_MAX);
                assert!(left_over.waits_since(false) > begun);
                drop(answer);
                assert_eq!(left_over.waits_since(false), None);
            });
    }
}
