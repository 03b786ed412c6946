//! An open WebSocket: bytes both ways in constant memory, until somebody ends it.
//!
//! The gateway itself ends it when nothing has passed for too long, when whoever opened it is not
//! who they were any more, and when it drains. Then both sides get a Close frame, each where a frame
//! has just ended in its direction, so that neither sees half of one. An identity that has ended
//! does not wait for that: nothing more passes, and a side in the middle of a frame is cut.
//!
//! A WebSocket has no half: when one side ends, what it has sent is delivered, and the other side is
//! closed. A client's stream of HTTP/2 is reset when the service's connection was.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout};

use super::frames::{self, Frames};
use crate::alarm::Alarm;
use crate::body::ByteCount;
use crate::permit::Permit;
use crate::pipeline::closing::LateClosing;
use crate::pipeline::forward::events::IDLE_CODE;
use crate::pipeline::{EndedBy, OpenStream};
use crate::server::{ClientIo, Handover};
use crate::upstream::ServiceIo;

/// Bytes on their way, in each direction.
const BUFFER_SIZE: usize = 16 * 1024;

/// How long a frame that has begun may take to its end once the gateway wants to say goodbye.
const FRAME_GRACE: Duration = Duration::from_secs(1);

/// How long the sides get to hang up by themselves once they were told. A connection that is closed
/// while bytes come in is reset, and the goodbye lost.
const LINGER: Duration = Duration::from_secs(1);

/// RFC 6455 §7.4.1: the endpoint goes away.
const GOING_AWAY: u16 = 1001;
/// RFC 6455 §7.4.1: the endpoint's policy is violated.
const POLICY: u16 = 1008;

/// What an open WebSocket is made of, but for the client's connection.
pub(super) struct Tunnel {
    pub(super) service: Box<dyn ServiceIo>,
    pub(super) open: OpenStream,
    pub(super) idle_timeout: Duration,
    pub(super) bytes_in: ByteCount,
    pub(super) record: LateClosing,
    pub(super) permit: Permit,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client {
        in_order: bool,
    },
    /// In order: a Close frame has passed.
    Service {
        in_order: bool,
        is_reset: bool,
    },
    Idle,
    Ended(EndedBy),
}

impl End {
    /// For the record.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Client { in_order: true } | Self::Service { in_order: true, .. } => None,
            Self::Client { .. } => Some("client_disconnected"),
            Self::Service { .. } => Some("upstream_broke_off"),
            Self::Idle => Some(IDLE_CODE),
            Self::Ended(why) => Some(why.code()),
        }
    }
}

impl Tunnel {
    /// Takes the client's connection over once the handshake has been answered.
    pub(super) fn into_handover(self) -> Handover {
        Handover::new(move |client| self.run(client))
    }

    /// Moves bytes until the end, and closes the record.
    async fn run(self, mut client: Box<dyn ClientIo>) {
        let Self { mut service, open, idle_timeout, bytes_in, record, permit } = self;
        let mut both = Both::new(bytes_in);
        let end = both.until_end(&mut *client, &mut *service, &open, idle_timeout).await;
        if let End::Idle | End::Ended(_) = end {
            both.say_goodbye(&mut *client, &mut *service, end).await;
        }
        record.close(both.down.bytes, end.code());
        drop((open, permit));
        let is_broken = matches!(end, End::Service { in_order: false, is_reset: true });
        if !is_broken || !client.breaks_off() {
            hang_up(&mut *client, &mut *service).await;
        }
    }
}

/// Both directions.
struct Both {
    up: Direction,
    down: Direction,
    bytes_in: ByteCount,
    quiet_since: Option<Instant>,
    alarm: Alarm,
}

impl Both {
    fn new(bytes_in: ByteCount) -> Self {
        let (up, down) = (Direction::new(), Direction::new());
        Self { up, down, bytes_in, quiet_since: None, alarm: Alarm::default() }
    }

    async fn until_end(
        &mut self,
        client: &mut dyn ClientIo,
        service: &mut dyn ServiceIo,
        open: &OpenStream,
        idle_timeout: Duration,
    ) -> End {
        poll_fn(|context| {
            if let Poll::Ready(why) = open.poll_ended(context) {
                return Poll::Ready(End::Ended(why));
            }
            if let Poll::Ready(end) = self.poll(context, client, service, false) {
                return Poll::Ready(end);
            }
            let quiet_since = *self.quiet_since.get_or_insert_with(Instant::now);
            ready!(self.alarm.poll_at(quiet_since + idle_timeout, context));
            Poll::Ready(End::Idle)
        })
        .await
    }

    /// Moves what can be moved. Ready when a side has ended, and all that it sent is delivered; where
    /// `stops` says so, also once both directions stand between two frames.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        client: &mut dyn ClientIo,
        service: &mut dyn ServiceIo,
        stops: bool,
    ) -> Poll<End> {
        let before = (self.up.bytes, self.down.bytes);
        let up = self.up.poll(context, Pin::new(&mut *client), Pin::new(&mut *service), stops);
        let down = self.down.poll(context, Pin::new(&mut *service), Pin::new(&mut *client), stops);
        self.bytes_in.add(usize::try_from(self.up.bytes - before.0).unwrap_or(usize::MAX));
        if before != (self.up.bytes, self.down.bytes) {
            self.quiet_since = None;
        }
        let (up_over, down_over) = (self.up.frames.has_closed(), self.down.frames.has_closed());
        let in_order = up_over || down_over;
        match (up, down) {
            (Poll::Ready(Moved::Ended | Moved::CannotRead), _)
            | (_, Poll::Ready(Moved::CannotWrite)) => Poll::Ready(End::Client { in_order }),
            (_, Poll::Ready(Moved::Ended)) => {
                Poll::Ready(End::Service { in_order, is_reset: false })
            }
            (_, Poll::Ready(Moved::CannotRead)) | (Poll::Ready(Moved::CannotWrite), _) => {
                Poll::Ready(End::Service { in_order, is_reset: true })
            }
            // Nobody asks who has ended it, since it is the gateway.
            (Poll::Ready(Moved::Between), Poll::Ready(Moved::Between)) => Poll::Ready(End::Idle),
            _ => Poll::Pending,
        }
    }

    /// Tells each side that has no half of a frame before it.
    async fn say_goodbye(
        &mut self,
        client: &mut dyn ClientIo,
        service: &mut dyn ServiceIo,
        end: End,
    ) {
        let is_over = end == End::Ended(EndedBy::Identity);
        let status = if is_over { POLICY } else { GOING_AWAY };
        let _ = timeout(LINGER, self.tell(client, service, status)).await;
        if is_over || (self.up.is_told && self.down.is_told) {
            return;
        }
        let between = poll_fn(|context| self.poll(context, client, service, true));
        let _ = timeout(FRAME_GRACE, between).await;
        let _ = timeout(LINGER, self.tell(client, service, status)).await;
    }

    /// Sends the Close frames that can be sent now, each once.
    async fn tell(&mut self, client: &mut dyn ClientIo, service: &mut dyn ServiceIo, status: u16) {
        if self.down.may_be_told() {
            let _ = client.write_all(&frames::close(status)).await;
            let _ = client.flush().await;
        }
        if self.up.may_be_told() {
            let frame = frames::masked_close(status, rand::random());
            let _ = service.write_all(&frame).await;
            let _ = service.flush().await;
        }
    }
}

/// Ends both connections in order: what was sent arrives.
async fn hang_up(client: &mut dyn ClientIo, service: &mut dyn ServiceIo) {
    let both = async {
        let _ = tokio::join!(client.shutdown(), service.shutdown());
        let (mut of_client, mut of_service) = ([0; 1_024], [0; 1_024]);
        tokio::join!(
            async { while matches!(client.read(&mut of_client).await, Ok(1..)) {} },
            async { while matches!(service.read(&mut of_service).await, Ok(1..)) {} },
        );
    };
    let _ = timeout(LINGER, both).await;
}

/// One direction: one buffer, and where in the frames it stands.
struct Direction {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    bytes: u64,
    frames: Frames,
    is_flushed: bool,
    /// Its reader has been sent a Close frame of ours.
    is_told: bool,
}

/// Why nothing more moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// The reading side has ended, and all it sent is delivered.
    Ended,
    CannotRead,
    CannotWrite,
    /// A frame has ended, and the next was not begun.
    Between,
}

impl Direction {
    fn new() -> Self {
        let buffer = vec![0; BUFFER_SIZE].into_boxed_slice();
        Self {
            buffer,
            start: 0,
            end: 0,
            bytes: 0,
            frames: Frames::default(),
            is_flushed: true,
            is_told: false,
        }
    }

    /// Whether a Close frame of ours may stand here; true once.
    fn may_be_told(&mut self) -> bool {
        let may = !self.is_told && self.frames.is_between() && !self.frames.has_closed();
        self.is_told |= self.frames.is_between();
        may
    }

    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
        stops: bool,
    ) -> Poll<Moved>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        loop {
            if stops && self.frames.is_between() {
                return Poll::Ready(Moved::Between);
            }
            if self.start == self.end {
                match self.poll_fill(context, from.as_mut()) {
                    Poll::Ready(Ok(0)) => {
                        return self.poll_flush(context, to).map(|()| Moved::Ended);
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Moved::CannotRead),
                    Poll::Pending => {
                        ready!(self.poll_flush(context, to));
                        return Poll::Pending;
                    }
                }
            }
            let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
            let count = if stops { self.frames.rest(waiting) } else { waiting.len() };
            let waiting = waiting.get(..count).unwrap_or_default();
            match ready!(to.as_mut().poll_write(context, waiting)) {
                Ok(count @ 1..) => {
                    self.frames.pass(waiting.get(..count).unwrap_or_default());
                    self.start += count;
                    self.bytes += u64::try_from(count).unwrap_or(u64::MAX);
                    self.is_flushed = false;
                }
                Ok(0) | Err(_) => return Poll::Ready(Moved::CannotWrite),
            }
        }
    }

    fn poll_fill<R: AsyncRead + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        from: Pin<&mut R>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(from.poll_read(context, &mut buffer))?;
        (self.start, self.end) = (0, buffer.filled().len());
        Poll::Ready(Ok(self.end))
    }

    /// TLS and the like hold bytes back until they are told not to.
    fn poll_flush<W: AsyncWrite + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        to: Pin<&mut W>,
    ) -> Poll<()> {
        if !self.is_flushed {
            // That it cannot be flushed is found out by whoever writes or reads next.
            let _ = ready!(to.poll_flush(context));
            self.is_flushed = true;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
