//! What a connection waits for, learnt from its bytes.
//!
//! The HTTP library does not say whether a client is between requests or inside the head of one.
//! But bytes that arrive while no request is being served belong to a head; and a request is
//! being served from the call of the service until the body of its answer is dropped; with HTTP/2,
//! until all of it has gone out.
//!
//! The bytes pass through `intake` or `frames` here, on their way to the library.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::server::Handover;
use crate::server::frames::Frames;
use crate::server::intake::{Intake, RefusedHead};
use crate::server::joined::{Joined, join};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has arrived yet; of HTTP/2, no request.
    New,
    /// Between requests.
    Idle,
    /// The head of a request is arriving.
    Head,
    /// At least one request is being served.
    Serving,
}

/// The phase of one connection, shared by its watchers, and what they tell each other.
#[derive(Debug)]
pub(super) struct State {
    phase: Cell<Phase>,
    /// When the phase was first seen; short phases never ask for the time.
    since: Cell<Option<Instant>>,
    blocked_since: Cell<Option<Instant>>,
    /// Requests being served.
    serving: Cell<u32>,
    /// Requests that began to be served so far, and heads that arrived.
    begun: Cell<u64>,
    heads: Cell<u64>,
    /// Part of the next head is here already.
    is_inside_head: Cell<bool>,
    /// Part of a message is not here yet.
    is_inside_message: Cell<bool>,
    /// Everything has gone out, and the connection is not being closed.
    is_flushed: Cell<bool>,
    /// The head that is arriving is to be refused.
    gives_up: Cell<bool>,
    refused: RefCell<Option<RefusedHead>>,
    /// Who takes the connection over after its 101.
    heir: RefCell<Option<Handover>>,
    is_http2: Cell<bool>,
    is_flooded: Cell<bool>,
    has_ended: Cell<bool>,
    heard: Cell<Heard>,
    /// Frames of HTTP/2 that the client may still send for nothing.
    owed: Cell<u32>,
    /// Small frames of data that have been read in this turn of an HTTP/2 connection.
    small_frames: Cell<u32>,
}

/// After so many the streams of a connection get their turn. With what one more read may bring it
/// stays below the two thousand that the library lets lie unread.
const SMALL_FRAMES_MAX: u32 = 256;

/// What was heard of a stream's service while the stream was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nobody asked it: if anybody is waited for, it is the client.
    Nothing,
    /// It has given something.
    Progress,
    /// It is waited for.
    Wait,
}

impl State {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::New),
            since: Cell::default(),
            blocked_since: Cell::default(),
            serving: Cell::default(),
            begun: Cell::default(),
            heads: Cell::default(),
            is_inside_head: Cell::default(),
            is_inside_message: Cell::default(),
            is_flushed: Cell::default(),
            gives_up: Cell::default(),
            refused: RefCell::default(),
            heir: RefCell::default(),
            is_http2: Cell::default(),
            is_flooded: Cell::default(),
            has_ended: Cell::default(),
            heard: Cell::new(Heard::Nothing),
            owed: Cell::default(),
            small_frames: Cell::default(),
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

    /// Whether the connection is between two messages, and nothing of it is left in the library.
    ///
    /// A request may be answered before its body is here.
    pub(super) fn may_rest(&self) -> bool {
        self.phase.get() == Phase::Idle
            && !self.is_inside_message.get()
            && self.is_flushed.get()
            && self.blocked_since.get().is_none()
            // The library takes a breath now and then between requests that came together.
            && self.begun.get() >= self.heads.get()
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

    /// A request begins to be served, until what comes back is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> Serving {
        self.serving.set(self.serving.get() + 1);
        self.begun.set(self.begun.get() + 1);
        self.enter(Phase::Serving);
        Serving(Rc::clone(self))
    }

    fn finish(&self) {
        self.serving.set(self.serving.get().saturating_sub(1));
        if self.serving.get() == 0 {
            // The next head may have begun to arrive behind the last one's body.
            self.enter(if self.is_inside_head.get() { Phase::Head } else { Phase::Idle });
        }
    }

    /// Has the head that is arriving refused. Whether this is news.
    pub(super) fn give_up(&self) -> bool {
        !self.gives_up.replace(true)
    }

    /// The head that was refused, for whoever serves its substitute.
    pub(super) fn take_refused(&self) -> Option<RefusedHead> {
        self.refused.take()
    }

    /// Whether the client has opened HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.get()
    }

    /// Whether the client makes work for nothing.
    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.get()
    }

    /// Whether the client has ended its side, in order or not.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// What was heard since the last call.
    pub(super) fn take_heard(&self) -> Heard {
        self.heard.replace(Heard::Nothing)
    }

    /// Notes what a service said when it was polled.
    pub(super) fn hears<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.heard.set(if polled.is_ready() { Heard::Progress } else { Heard::Wait });
        polled
    }

    /// Lets an HTTP/2 client acknowledge with so many frames what it has been sent.
    pub(super) fn owe(&self, frames: u32) {
        self.owed.set(self.owed.get().saturating_add(frames));
    }

    /// A turn of an HTTP/2 connection begins: its streams have had theirs.
    pub(super) fn begin_turn(&self) {
        self.small_frames.set(0);
    }

    fn has_read(&self) {
        if matches!(self.phase.get(), Phase::New | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// Notes where the messages stand after what was just read.
    fn has_taken(&self, intake: &Intake) {
        self.is_inside_head.set(intake.is_inside_head());
        self.is_inside_message.set(intake.is_inside_message());
        self.heads.set(intake.heads());
        self.is_http2.set(intake.is_http2());
        if intake.is_over() {
            self.refused.replace(intake.refused().cloned());
        }
    }

    /// TLS may say that it has written what the client has not taken: then it is the flush that waits.
    fn has_written<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.blocked_since.set(None);
        } else if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(Instant::now()));
        }
        polled
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Serving(Rc<State>);

impl Serving {
    /// Notes what its service said when it was polled.
    pub(super) fn hears<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.0.hears(polled)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// What a connection's bytes pass through.
#[derive(Debug)]
pub(super) enum Arrival {
    /// HTTP/1.1's, and whatever else a client may open with.
    Messages(Intake),
    /// HTTP/2's. What was read of them before they were known as such comes first.
    Frames(Frames, Vec<u8>),
}

/// A connection's bytes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) io: S,
    pub(super) state: Rc<State>,
    pub(super) arrival: Arrival,
}

impl<S> Watched<S> {
    /// Whether somebody has to act on what is held.
    pub(super) fn has_arrived(&mut self) -> bool {
        self.refuse_what_is_given_up();
        match &self.arrival {
            Arrival::Messages(intake) => !intake.released().is_empty() || intake.is_http2(),
            // The library of HTTP/2 never gives a connection back.
            Arrival::Frames(..) => true,
        }
    }

    /// Takes what was just read of messages, and holds all of it.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        if let Arrival::Messages(intake) = &mut self.arrival {
            self.state.has_read();
            intake.hold(bytes);
            self.state.has_taken(intake);
        }
    }

    fn refuse_what_is_given_up(&mut self) {
        if !self.state.gives_up.get() {
            return;
        }
        if let Arrival::Messages(intake) = &mut self.arrival
            && !intake.is_over()
        {
            intake.give_up();
            self.state.refused.replace(intake.refused().cloned());
        }
    }

    /// Hands over what has been held, as far as it may pass. Whether there was anything.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        self.refuse_what_is_given_up();
        let held = match &mut self.arrival {
            Arrival::Messages(intake) => intake.released(),
            Arrival::Frames(_, held) => held,
        };
        let size = held.len().min(buffer.remaining());
        if size == 0 {
            return false;
        }
        buffer.put_slice(held.get(..size).unwrap_or_default());
        match &mut self.arrival {
            Arrival::Messages(intake) => intake.passed(size),
            Arrival::Frames(_, held) => {
                held.drain(..size);
                if held.is_empty() {
                    *held = Vec::new();
                }
            }
        }
        true
    }

    /// Whether the library will get nothing more. The connection ends as soon as it has answered, or
    /// is somebody else's then, and its bytes with it.
    fn is_over(&self) -> bool {
        match &self.arrival {
            Arrival::Messages(intake) => intake.is_over() || self.state.heir.borrow().is_some(),
            Arrival::Frames(..) => self.state.is_flooded(),
        }
    }

    fn broken(&self) -> Option<io::Error> {
        match &self.arrival {
            Arrival::Messages(intake) => intake.broken().map(io::Error::other),
            Arrival::Frames(..) => None,
        }
    }

    /// Lets pass what was just read. How much of it the library may have as it lies there.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let state = &self.state;
        match &mut self.arrival {
            Arrival::Messages(intake) => {
                state.has_read();
                let passed = intake.take(bytes);
                state.has_taken(intake);
                passed
            }
            Arrival::Frames(frames, _) => {
                frames.earn(state.owed.take());
                let is_paid = frames.take(bytes);
                state.small_frames.set(state.small_frames.get() + frames.take_small());
                state.has_ended.set(frames.says_goodbye());
                if is_paid {
                    return bytes.len();
                }
                state.is_flooded.set(true);
                0
            }
        }
    }

    fn has_written(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Arrival::Frames(frames, _), Poll::Ready(Ok(size))) = (&mut self.arrival, &polled) {
            frames.sent(*size);
        }
        self.state.has_written(polled)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.hand_over(buffer) {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.broken() {
                return Poll::Ready(Err(error));
            }
            if this.is_over() {
                return Poll::Pending;
            }
            if this.state.small_frames.get() >= SMALL_FRAMES_MAX {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            if let Err(error) = ready!(Pin::new(&mut this.io).poll_read(context, buffer)) {
                this.state.has_ended.set(true);
                return Poll::Ready(Err(error));
            }
            let new = buffer.filled().get(before..).unwrap_or_default();
            if new.is_empty() {
                this.state.has_ended.set(true);
                return Poll::Ready(Ok(()));
            }
            let passed = this.take(new);
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(context, bytes);
        this.has_written(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let io = Pin::new(&mut this.io);
        let mut whole = Joined::new();
        let polled = if join(bytes, &mut whole) {
            io.poll_write(context, &whole)
        } else {
            io.poll_write_vectored(context, bytes)
        };
        this.has_written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_flush(context);
        this.state.is_flushed.set(polled.is_ready());
        this.state.has_written(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.state.is_flushed.set(false);
        let polled = Pin::new(&mut this.io).poll_shutdown(context);
        this.state.has_written(polled)
    }
}

/// An answer's body: when it is dropped, the request has been served.
#[derive(Debug)]
pub(super) struct Served<B> {
    pub(super) body: B,
    pub(super) serving: Serving,
}

impl<B: Body + Unpin> Body for Served<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        this.serving.hears(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
