//! A stream that is handed over: what it becomes once its extended CONNECT has been accepted.
//!
//! The bytes of its DATA frames are the bytes of a connection then, and go to whoever made the
//! [`Handover`]. It stays one of its connection's streams: it counts as a request being served, and
//! others are served beside it. When the connection ends, each of them is told, and waited for.
//!
//! Not here: which requests are accepted (`guard`, `pipeline`).

use std::cell::{OnceCell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{AbortHandle, JoinSet};

use crate::server::handover::{ClientIo, Handover};
use crate::server::watched::{Serving, State};

/// The task of the library's that sends what is written; known once the library has started it.
pub(super) type Sender = Rc<OnceCell<AbortHandle>>;

/// Frames with which a client may acknowledge a piece that was sent to it, however small: for the
/// stream and for the connection.
const ACKNOWLEDGEMENTS: u32 = 2;

/// Bytes that are written at once. The library would take any number, and holds a few such pieces
/// until the client takes them.
const PIECE_SIZE_MAX: usize = 16 * 1024;

/// Those of one connection.
#[derive(Clone, Default)]
pub(super) struct HandedOver {
    served: Rc<RefCell<JoinSet<()>>>,
    starts: Rc<RefCell<Option<Sender>>>,
}

impl HandedOver {
    /// Leaves a stream to its heir as soon as the library has sent the answer.
    pub(super) fn leave_to(&self, heir: Handover, accepted: OnUpgrade, state: &Rc<State>) {
        let sender = Sender::default();
        self.starts.replace(Some(Rc::clone(&sender)));
        let (state, serving) = (Rc::clone(state), state.begin());
        let mut served = self.served.borrow_mut();
        served.spawn_local(async move {
            // An error: the client left before.
            let Ok(io) = accepted.await else { return };
            let io = StreamIo { _serving: serving, state, sender, io: TokioIo::new(io) };
            heir.take(Box::new(io)).await;
        });
        while let Some(ended) = served.try_join_next() {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!("a panic ended a stream that was handed over");
            }
        }
    }

    /// Whose sender it is that the library starts now, if it starts one: it does so while it polls
    /// the stream that has just been accepted.
    pub(super) fn starts(&self) -> Option<Sender> {
        self.starts.take()
    }

    /// Waits for them, once the connection is gone.
    pub(super) async fn finish(&self) {
        let mut served = self.served.take();
        while served.join_next().await.is_some() {}
    }
}

/// A stream's bytes.
struct StreamIo {
    // Goes first: whoever ends the stream wakes its connection, which then looks what it still serves.
    _serving: Serving,
    state: Rc<State>,
    sender: Sender,
    io: TokioIo<Upgraded>,
}

impl ClientIo for StreamIo {
    /// Dropped as it is, the stream is reset: RFC 8441 §5.
    fn breaks_off(&mut self) -> bool {
        true
    }
}

impl Drop for StreamIo {
    /// What was shut down has ended in order by now, unless its client does not take the rest: the
    /// library would wait for it as long as there is the connection. Without its sender, the stream is
    /// reset (CANCEL).
    fn drop(&mut self) {
        if let Some(sender) = self.sender.get() {
            sender.abort();
        }
    }
}

impl AsyncRead for StreamIo {
    /// Reads all frames that are there and have room: each may be small, and they are not to lie
    /// unread.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let first = buffer.filled().len();
        loop {
            let before = buffer.filled().len();
            let polled = Pin::new(&mut this.io).poll_read(context, buffer);
            let is_more = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().len() > before;
            if is_more && buffer.remaining() > 0 {
                continue;
            }
            // An end or an error that follows bytes is said again.
            return if buffer.filled().len() > first { Poll::Ready(Ok(())) } else { polled };
        }
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let piece = bytes.get(..PIECE_SIZE_MAX).unwrap_or(bytes);
        let written = Pin::new(&mut this.io).poll_write(context, piece);
        if written.is_ready() {
            this.state.owe(ACKNOWLEDGEMENTS);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
