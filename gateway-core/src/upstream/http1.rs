//! HTTP/1.1 to services: one connection, one request at a time.
//!
//! Read in this order: [`Connection`] sends a request and reads its answer, [`Outgoing`] is the
//! request as it is sent, `head` reads the answer's head, `decode` its body, [`Failed`] is what can go wrong.
//!
//! It speaks as RFC 9112 has clients speak, and believes less than that allows: an answer whose
//! end could be read in two ways (a length beside a transfer coding, two lengths) is refused, and
//! a connection on which more came than the answer carries no further request.
//!
//! Invariants
//! - No task stands behind a connection: whoever waits for it moves its bytes.
//! - What is read ahead is bounded by the head's bound and one read.
//! - An answer's small pieces are copied out, so that the buffer can be used again, by whichever
//!   connection reads next (`spare`).
//!
//! Not here: which connection is used, and how often a request is sent (`client`, `wire`); HTTP/2.

mod decode;
mod failed;
mod head;
mod request;
mod spare;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::body::BodyError;

use self::decode::Decoder;
pub(super) use self::failed::Failed;
pub(crate) use self::head::AnswerFields;
use self::head::Head;
pub(super) use self::request::{Outgoing, write_fields};

/// Bytes that a read asks for at first, and at most.
const READ_SIZE_MIN: usize = 8 * 1024;
const READ_SIZE_MAX: usize = 64 * 1024;

/// 1xx answers before the one that counts.
const INTERIM_ANSWERS_MAX: u8 = 16;

/// A connection to a service.
#[derive(Debug)]
pub(super) struct Connection<S> {
    io: S,
    head_size_max: usize,
    /// Read, and not yet used.
    unread: BytesMut,
    /// Whether somebody holds a piece of the memory that is read into.
    is_shared: bool,
    read_size: usize,
    /// The request under way, or the last one.
    outgoing: Outgoing,
    /// Whether any of it was sent.
    has_begun: bool,
    /// Whether the stream may hold back what was written.
    is_unflushed: bool,
    /// How far the end of the answer's head has been looked for.
    searched: usize,
    interim_answers: u8,
    /// What is left of the answer.
    decoder: Decoder,
    is_persistent: bool,
    has_answered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection that has just been opened. Heads of answers may have `head_size_max` bytes.
    pub(super) fn new(io: S, head_size_max: usize) -> Self {
        Self {
            io,
            head_size_max,
            unread: BytesMut::new(),
            is_shared: false,
            read_size: READ_SIZE_MIN,
            outgoing: Outgoing::default(),
            has_begun: false,
            is_unflushed: false,
            searched: 0,
            interim_answers: 0,
            decoder: Decoder::Done,
            is_persistent: true,
            has_answered: false,
        }
    }

    /// Begins a request; [`Connection::poll_head`] sends it.
    pub(super) fn begin(&mut self, outgoing: Outgoing) {
        (self.outgoing, self.has_begun) = (outgoing, false);
        (self.read_size, self.searched, self.interim_answers) = (READ_SIZE_MIN, 0, 0);
    }

    /// Sends the request, and is ready with its answer's head. The rest of a long body is sent
    /// while the answer is read. After an answer of 101 nothing more may be sent here; what the
    /// service says from then on is in the parts.
    ///
    /// # Errors
    ///
    /// [`Failed`]; [`Connection::take_outgoing`] has the request.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Failed>> {
        if !self.has_begun {
            ready!(self.poll_begin(context))?;
            self.has_begun = true;
        }
        self.poll_answer(context)
    }

    /// The request, after a failure.
    pub(super) fn take_outgoing(&mut self) -> Outgoing {
        std::mem::take(&mut self.outgoing)
    }

    /// Memory for the next request to be written into.
    pub(super) fn room(&mut self) -> Vec<u8> {
        self.take_outgoing().into_room()
    }

    /// The bare connection, and what has been read of it behind the last head.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        (self.io, self.unread.freeze())
    }

    /// Writes the first bytes, unless the connection has ended, or has something to say unasked.
    fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Err(Failed::Unasked));
        }
        match self.poll_read(context) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(Failed::Ended)),
            Poll::Ready(Ok(_)) => return Poll::Ready(Err(Failed::Unasked)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Failed::Io(error))),
            Poll::Pending => {}
        }
        self.poll_write(context).map_err(Failed::Io)
    }

    /// The answer's head; sends what is left of the request meanwhile.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<()>, Failed>> {
        // A service that wants no more of a body may say why before it hangs up.
        let broken = match self.poll_upload(context) {
            Poll::Ready(Err(Failed::Body(error))) => return Poll::Ready(Err(Failed::Body(error))),
            Poll::Ready(Err(failed)) => {
                // Nothing more of the body is sent: the wait for the answer begins.
                self.outgoing.drop_body();
                Some(failed)
            }
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        loop {
            let (size_max, asked) = (self.head_size_max, self.outgoing.asked());
            match head::read(&mut self.unread, &mut self.searched, size_max, asked)? {
                Some(head) if self.switches(&head) => return Poll::Ready(Ok(self.answered(head))),
                Some(head) if head.response.status().is_informational() => {
                    self.pass_over(&head)?;
                    continue;
                }
                Some(head) => return Poll::Ready(Ok(self.answered(head))),
                None => {}
            }
            match ready!(self.poll_read(context)) {
                Ok(1..) => {}
                _ if self.is_reused_and_silent() => {
                    return Poll::Ready(Err(Failed::DiedUnanswered));
                }
                Ok(0) => return Poll::Ready(Err(broken.unwrap_or(Failed::Ended))),
                Err(error) => return Poll::Ready(Err(Failed::Io(error))),
            }
        }
    }

    /// Whether the service speaks another protocol from here on: it must have been asked to, and have
    /// heard all of the request.
    fn switches(&self, head: &Head) -> bool {
        self.outgoing.may_switch()
            && head.response.status() == StatusCode::SWITCHING_PROTOCOLS
            && self.outgoing.is_sent()
            && !self.is_unflushed
    }

    /// An answer before the one that counts.
    fn pass_over(&mut self, head: &Head) -> Result<(), Failed> {
        self.searched = 0;
        self.interim_answers += 1;
        if head.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failed::Malformed("another protocol, which nobody asked for"));
        }
        if self.interim_answers > INTERIM_ANSWERS_MAX {
            return Err(Failed::Malformed("too many interim answers"));
        }
        Ok(())
    }

    fn answered(&mut self, head: Head) -> Response<()> {
        self.has_answered = true;
        self.decoder = head.decoder;
        self.is_persistent = head.is_persistent;
        self.outgoing.shrink();
        head.response
    }

    /// A service may close an unused connection just as the gateway sends on it. Only that it has
    /// answered before, and has not begun to now, tells this from a service that fails.
    fn is_reused_and_silent(&self) -> bool {
        self.has_answered && self.interim_answers == 0 && self.unread.is_empty()
    }

    /// The next frame of the answer's body; `None` at its end.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(Err(_)) = self.poll_upload(context) {
            // The answer has begun, so it counts; the connection cannot be used again.
            self.outgoing.stop();
            self.is_persistent = false;
        }
        loop {
            match self.decoder.decode(&mut self.unread) {
                Ok(Some(frame)) => {
                    let size = frame.data_ref().map_or(0, Bytes::len);
                    self.is_shared |= size > decode::COPIED_MAX;
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if self.decoder.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(failed) => return Poll::Ready(Some(Err(failed.into()))),
            }
            match ready!(self.poll_read(context)) {
                Ok(0) if self.decoder.ends_with_connection() => self.decoder = Decoder::Done,
                Ok(0) => return Poll::Ready(Some(Err(Failed::Ended.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(Failed::Io(error).into()))),
            }
        }
    }

    /// Whether the answer has ended.
    pub(super) fn is_end(&self) -> bool {
        self.decoder.is_done()
    }

    /// How much of the answer's body is to come, as far as its head told.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }

    /// Lets go of what is not needed between two requests; whether the next one may be sent.
    pub(super) fn rest(&mut self) -> bool {
        self.outgoing.shrink();
        self.give_back();
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        self.is_persistent
            && self.decoder.is_done()
            && self.outgoing.is_sent()
            && !self.is_unflushed
            && self.unread.is_empty()
    }

    /// Sends what there is to send of the request; ready when all of it is sent.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        loop {
            while !self.outgoing.unsent().is_empty() {
                ready!(self.poll_write(context)).map_err(Failed::Io)?;
            }
            if self.outgoing.has_no_more() {
                return self.poll_flush(context);
            }
            match self.outgoing.poll_next(context) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failed::Body(error))),
                Poll::Pending => {
                    // What there is goes out before the rest is waited for.
                    ready!(self.poll_flush(context))?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Streams that are encrypted take what does not fit into the socket, and keep it.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        if self.is_unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(context)).map_err(Failed::Io)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.io).poll_write(context, self.outgoing.unsent()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => self.outgoing.has_sent(written),
        }
        self.is_unflushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.unread.capacity() == 0 {
            self.unread = spare::take();
        }
        self.unread.reserve(self.read_size);
        let room = self.unread.capacity() - self.unread.len();
        let Poll::Ready(read) = pin!(self.io.read_buf(&mut self.unread)).poll(context) else {
            self.give_back();
            return Poll::Pending;
        };
        let read = read?;
        if read == room {
            self.read_size = (self.read_size * 2).min(READ_SIZE_MAX);
        }
        Poll::Ready(Ok(read))
    }

    /// Memory in which nothing is unread is for whoever reads next.
    fn give_back(&mut self) {
        if !self.unread.is_empty() {
            return;
        }
        let memory = std::mem::take(&mut self.unread);
        if !std::mem::take(&mut self.is_shared) {
            spare::give_back(memory);
        }
    }
}
