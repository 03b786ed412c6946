//! One connection to a service, which notices when it dies at the wrong moment.
//!
//! A service may close an unused connection just as the gateway sends on it. Only the connection
//! can tell that case from a service that fails on a request: it has answered before, a request
//! has been written, and not one byte has come back. Then it fails with [`DiedUnanswered`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A reused connection ended between a request and the first byte of its answer.
#[derive(Debug, thiserror::Error)]
#[error("a reused connection ended before the first byte of the answer")]
pub(super) struct DiedUnanswered;

/// A connection and where it stands between request and answer.
#[derive(Debug)]
pub(super) struct ServiceStream<S> {
    io: S,
    has_answered: bool,
    awaits_answer: bool,
}

impl<S> ServiceStream<S> {
    pub(super) const fn new(io: S) -> Self {
        Self { io, has_answered: false, awaits_answer: false }
    }

    /// The bare connection.
    pub(super) fn into_inner(self) -> S {
        self.io
    }

    /// What an end of the connection means now, in place of `plain`.
    fn ended<T>(&self, plain: io::Result<T>) -> Poll<io::Result<T>> {
        if self.has_answered && self.awaits_answer {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, DiedUnanswered)));
        }
        Poll::Ready(plain)
    }

    fn written(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        self.awaits_answer = true;
        if result.is_ok() { Poll::Ready(result) } else { self.ended(result) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ServiceStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut this.io).poll_read(context, buffer));
        if result.is_err() || buffer.filled().len() == before {
            return this.ended(result);
        }
        this.has_answered = true;
        this.awaits_answer = false;
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ServiceStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.io).poll_write(context, bytes));
        this.written(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.io).poll_write_vectored(context, bytes));
        this.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
