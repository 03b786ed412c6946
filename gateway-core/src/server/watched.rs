//! What a connection waits for, learnt from its bytes.
//!
//! The HTTP library does not say whether a client is between requests or inside the head of one.
//! But bytes that arrive while no request is being served belong to a head; and a request is
//! being served from the call of the service until the body of its answer is dropped.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::server::Handover;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has arrived yet.
    New,
    /// Between requests.
    Idle,
    /// The head of a request is arriving.
    Head,
    /// A request is being served.
    Serving,
}

/// The phase of one connection, shared by its three watchers.
#[derive(Debug)]
pub(super) struct State {
    phase: Cell<Phase>,
    /// When the phase was first seen; short phases never ask for the time.
    since: Cell<Option<Instant>>,
    blocked_since: Cell<Option<Instant>>,
    /// Who takes the connection over after its 101.
    heir: RefCell<Option<Handover>>,
}

impl State {
    pub(super) fn new() -> Rc<Self> {
        let phase = Cell::new(Phase::New);
        Rc::new(Self {
            phase,
            since: Cell::default(),
            blocked_since: Cell::default(),
            heir: RefCell::default(),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Since when, to the caller's knowledge.
    pub(super) fn since(&self) -> Instant {
        let since = self.since.get().unwrap_or_else(Instant::now);
        self.since.set(Some(since));
        since
    }

    /// Since when the client has taken nothing, though there is something for it.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since.get()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(None);
    }

    /// Leaves the connection to somebody.
    pub(super) fn leave_to(&self, heir: Handover) {
        self.heir.replace(Some(heir));
    }

    /// Whom it was left to.
    pub(super) fn heir(&self) -> Option<Handover> {
        self.heir.take()
    }

    fn has_read(&self) {
        if matches!(self.phase.get(), Phase::New | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    fn has_written<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.blocked_since.set(None);
        } else if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(Instant::now()));
        }
        polled
    }
}

/// A connection's bytes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) io: S,
    pub(super) state: Rc<State>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.state.has_read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state.has_written(Pin::new(&mut this.io).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state.has_written(Pin::new(&mut this.io).poll_write_vectored(context, bytes))
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

/// An answer's body: when it is dropped, the request has been served.
#[derive(Debug)]
pub(super) struct Served<B> {
    pub(super) body: B,
    pub(super) state: Rc<State>,
}

impl<B> Drop for Served<B> {
    fn drop(&mut self) {
        self.state.enter(Phase::Idle);
    }
}

impl<B: Body + Unpin> Body for Served<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
