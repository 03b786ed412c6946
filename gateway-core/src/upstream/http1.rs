//! HTTP/1.1 to services: one connection, one request at a time.
//!
//! Read in this order: [`Connection`] sends a request and reads its answer, `request` writes what
//! is sent, `head` reads the answer's head, `decode` its body, [`Failed`] is what can go wrong.
//!
//! It speaks as RFC 9112 has clients speak, and believes less than that allows: an answer whose
//! end could be read in two ways (a length beside a transfer coding, two lengths) is refused, and
//! a connection on which more came than the answer carries no further request.
//!
//! Invariants
//! - No task stands behind a connection: whoever waits for it moves its bytes.
//! - What is read ahead is bounded by the head's bound and one read.
//! - An answer's small pieces are copied out, so that the buffer stays with the connection.
//!
//! Not here: which connection is used, and how often a request is sent (`client`, `wire`); HTTP/2.

mod decode;
mod failed;
mod head;
mod request;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::body::{Body, BodyError};

use self::decode::Decoder;
pub(super) use self::failed::{Failed, NotSent};
use self::head::Head;
use self::request::Upload;

/// Bytes that a read asks for at first, and at most.
const READ_SIZE_MIN: usize = 8 * 1024;
const READ_SIZE_MAX: usize = 64 * 1024;

/// Bytes of written requests that a connection keeps room for.
const WRITE_SIZE_KEPT: usize = 16 * 1024;

/// 1xx answers before the one that counts.
const INTERIM_ANSWERS_MAX: u8 = 16;

/// A connection to a service.
#[derive(Debug)]
pub(super) struct Connection<S> {
    io: S,
    head_size_max: usize,
    /// Read, and not yet used.
    unread: BytesMut,
    read_size: usize,
    /// To be written.
    unwritten: BytesMut,
    /// Whether the stream may hold back what was written.
    is_unflushed: bool,
    /// What is left of the request's body.
    upload: Option<Upload>,
    /// How far the end of the answer's head has been looked for.
    searched: usize,
    interim_answers: u8,
    /// Whether the request asks for another protocol.
    may_switch: bool,
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
            read_size: READ_SIZE_MIN,
            unwritten: BytesMut::new(),
            is_unflushed: false,
            upload: None,
            searched: 0,
            interim_answers: 0,
            may_switch: false,
            decoder: Decoder::Done,
            is_persistent: true,
            has_answered: false,
        }
    }

    /// Sends a request and waits for its answer's head. The rest of a long body is sent while the
    /// answer is read.
    ///
    /// # Errors
    ///
    /// [`NotSent`], with the request where nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<()>, Box<NotSent>> {
        let (parts, body) = request.into_parts();
        self.unwritten.clear();
        (self.read_size, self.searched, self.interim_answers) = (READ_SIZE_MIN, 0, 0);
        let mut upload = request::write(&parts, body, &mut self.unwritten);
        if let Err(failed) = poll_fn(|context| self.poll_begin(context)).await {
            let body = upload.take_body();
            return Err(Box::new(NotSent {
                failed,
                request: Some(Request::from_parts(parts, body)),
            }));
        }
        self.upload = upload.unfinished();
        let is_head = parts.method == Method::HEAD;
        let answer = poll_fn(|context| self.poll_answer(is_head, context)).await;
        answer.map_err(|failed| Box::new(NotSent { failed, request: None }))
    }

    /// The same for a request that asks for another protocol. After an answer of 101 nothing more may
    /// be sent here; what the service says from then on is in the parts.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    pub(super) async fn send_upgrade(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<()>, Box<NotSent>> {
        self.may_switch = true;
        let answer = self.send(request).await;
        self.may_switch = false;
        answer
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
    fn poll_answer(
        &mut self,
        is_head: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Failed>> {
        // A service that wants no more of a body may say why before it hangs up.
        let broken = match self.poll_upload(context) {
            Poll::Ready(Err(Failed::Body(error))) => return Poll::Ready(Err(Failed::Body(error))),
            Poll::Ready(Err(failed)) => {
                // Nothing more of the body is sent: the wait for the answer begins.
                self.upload = None;
                Some(failed)
            }
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        loop {
            let size_max = self.head_size_max;
            match head::read(&mut self.unread, &mut self.searched, size_max, is_head)? {
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
        self.may_switch
            && head.response.status() == StatusCode::SWITCHING_PROTOCOLS
            && self.unwritten.is_empty()
            && !self.is_unflushed
            && self.upload.is_none()
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
            (self.upload, self.is_persistent) = (None, false);
        }
        loop {
            match self.decoder.decode(&mut self.unread) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
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

    /// Whether the next request may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.is_persistent
            && self.decoder.is_done()
            && self.upload.is_none()
            && self.unwritten.is_empty()
            && !self.is_unflushed
            && self.unread.is_empty()
    }

    /// Sends what there is to send of the request; ready when all of it is sent.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        loop {
            while !self.unwritten.is_empty() {
                ready!(self.poll_write(context)).map_err(Failed::Io)?;
            }
            let Some(upload) = &mut self.upload else { return self.poll_flush(context) };
            match upload.poll_next(&mut self.unwritten, context) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.upload = None,
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
        match ready!(Pin::new(&mut self.io).poll_write(context, &self.unwritten))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => self.unwritten.advance(written),
        }
        self.is_unflushed = true;
        if self.unwritten.is_empty() && self.unwritten.capacity() > WRITE_SIZE_KEPT {
            self.unwritten = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.unread.reserve(self.read_size);
        let room = self.unread.capacity() - self.unread.len();
        let read = ready!(pin!(self.io.read_buf(&mut self.unread)).poll(context))?;
        if read == room {
            self.read_size = (self.read_size * 2).min(READ_SIZE_MAX);
        }
        Poll::Ready(Ok(read))
    }
}
