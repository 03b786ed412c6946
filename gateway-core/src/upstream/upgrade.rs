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
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::body::Body;
use crate::permit::Permit;
use crate::upstream::client::{Answer, Client, answered, prepared};
use crate::upstream::connect::Connect;
use crate::upstream::failed::CallFailed;
use crate::upstream::slots::Slot;
use crate::upstream::target::Target;
use crate::upstream::wire::Switched;

/// A service's connection, whatever it is made of.
pub trait ServiceIo: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> ServiceIo for I {}

/// Room for a connection that is one call's alone.
#[derive(Debug)]
pub struct Room {
    permit: Permit,
    slot: Option<Slot>,
}

impl Room {
    /// At once or after a while. Until then the target has nothing to do with the call.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Busy`] where there is none within the time that the call has left.
    pub async fn at(target: &Target, time_left: Duration) -> Result<Self, CallFailed> {
        let busy = || CallFailed::Busy(target.settings().requests_in_flight_max);
        let permit = target.permit().ok_or_else(busy)?;
        Ok(Self { permit, slot: target.slot(time_left).await? })
    }
}

/// What asking for an upgrade came to.
pub struct Upgraded {
    /// The 101, or whatever else the service answered.
    pub answer: Answer,
    /// After a 101 the connection, from the byte behind its head: it is the caller's now.
    pub io: Option<Box<dyn ServiceIo>>,
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Upgraded");
        shown.field("answer", &self.answer).field("has_switched", &self.io.is_some()).finish()
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
        (request, Room { permit, slot }): (Request<Body>, Room),
        time_left: Duration,
    ) -> Result<Upgraded, CallFailed> {
        let settings = target.settings();
        let request = prepared(target, request);
        let limit = settings.response_timeout.min(time_left);
        let home = self.home(target);
        let switched = timeout(limit, async {
            let wire = self.open(target, &home, slot).await?;
            wire.switch(request).await.map_err(CallFailed::of_connection)
        });
        let (response, io) =
            match switched.await.map_err(|_| CallFailed::ResponseTimedOut(limit))?? {
                Switched::To(head, io) => {
                    let io: Box<dyn ServiceIo> = Box::new(io);
                    (Response::from_parts(head, Body::empty()), Some(io))
                }
                Switched::Not(response, wire) => {
                    (answered(response, wire, permit, settings.read_timeout), None)
                }
            };
        Ok(Upgraded { answer: Answer { response, attempts: 1 }, io })
    }
}

/// A connection from which some bytes have been read too many: they come first. It may hold
/// something for as long as it is there.
#[derive(Debug)]
pub struct Rewound<I, H = ()> {
    first: Bytes,
    io: I,
    _held: H,
}

impl<I> Rewound<I> {
    /// The connection as it was before `first` was read from it.
    pub const fn new(first: Bytes, io: I) -> Self {
        Self::holding(first, io, ())
    }
}

impl<I, H> Rewound<I, H> {
    pub(super) const fn holding(first: Bytes, io: I, held: H) -> Self {
        Self { first, io, _held: held }
    }
}

impl<I: AsyncRead + Unpin, H: Unpin> AsyncRead for Rewound<I, H> {
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

impl<I: AsyncWrite + Unpin, H: Unpin> AsyncWrite for Rewound<I, H> {
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
