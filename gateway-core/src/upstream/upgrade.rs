//! Leaving HTTP: a call that asks the service for its bare connection.
//!
//! It goes out over a connection of its own, which no other call has used or will use. An answer
//! other than 101 is an answer like any other.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{Request, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::body::Body;
use crate::upstream::client::{Answer, Client, answered, prepared, sorted};
use crate::upstream::connect::Connect;
use crate::upstream::failed::CallFailed;
use crate::upstream::target::Target;
use crate::upstream::wire::Switched;

/// A service's connection, whatever it is made of.
pub trait ServiceIo: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> ServiceIo for I {}

/// What asking for an upgrade came to.
pub enum Upgraded {
    /// The connection is the caller's.
    Switched {
        /// The head of the 101.
        head: response::Parts,
        /// The connection, from the byte behind that head.
        io: Box<dyn ServiceIo>,
    },
    /// The service answered in HTTP.
    Answered(Answer),
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switched { head, .. } => f.debug_tuple("Switched").field(head).finish(),
            Self::Answered(answer) => f.debug_tuple("Answered").field(answer).finish(),
        }
    }
}

impl<C: Connect> Client<C> {
    /// Sends a request without a body that asks for an upgrade. What it says in `Connection` and
    /// `Upgrade` is the caller's affair.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn upgrade(
        &self,
        target: &Arc<Target>,
        request: Request<Body>,
        time_left: Duration,
    ) -> Result<Upgraded, CallFailed> {
        let settings = target.settings();
        let Some(permit) = target.permit() else {
            return Err(CallFailed::Busy(settings.requests_in_flight_max));
        };
        let (head, body) = prepared(target, request);
        let request = Request::from_parts(head, body);
        let limit = settings.response_timeout.min(time_left);
        let home = self.home(target);
        let switched = timeout(limit, async {
            let wire = self.open(target, &home).await?;
            wire.switch(request).await.map_err(|error| sorted(target, error))
        });
        Ok(match switched.await.map_err(|_| CallFailed::ResponseTimedOut(limit))?? {
            Switched::To(head, io) => Upgraded::Switched { head, io: Box::new(io) },
            Switched::Not(response, wire) => {
                let response = answered(response, wire, permit, settings.read_timeout).await;
                Upgraded::Answered(Answer { response, attempts: 1 })
            }
        })
    }
}

/// A connection from which some bytes have been read too many: they come first.
#[derive(Debug)]
pub struct Rewound<I> {
    first: Bytes,
    io: I,
}

impl<I> Rewound<I> {
    /// The connection as it was before `first` was read from it.
    pub const fn new(first: Bytes, io: I) -> Self {
        Self { first, io }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.io).poll_read(context, buffer);
        }
        let count = this.first.len().min(buffer.remaining());
        buffer.put_slice(this.first.get(..count).unwrap_or_default());
        this.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
