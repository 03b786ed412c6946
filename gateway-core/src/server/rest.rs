//! A connection at rest: nobody asks for anything, and nothing is kept of it but its bytes' way in.
//!
//! For as long as the HTTP library has a connection, it holds two buffers and the room in which a
//! request is served: ten times what is kept here. So the library gets a connection only once there
//! is something for it to read, and gives it back when nothing has been asked for a while; at once
//! where many others have not given theirs back. Elsewhere one that is asked
//! again and again does not rest, and pays nothing.
//!
//! Invariants
//! - A connection comes to rest between messages, with everything written: nothing is lost.
//! - What wakes it is bytes, not their announcement: TLS may have read them long before.
//! - Until a head is whole, it is waited for here: a slow one costs what has arrived of it.
//!
//! Not here: how long each wait may be (`connection`).

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use crate::alarm::Alarm;
use crate::server::connection::{Connected, End};
use crate::server::watched::Watched;

/// How long nothing is asked of a connection before it rests.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Connections of one core that wait for a request and are not at rest, with those that serve one:
/// some 15 MiB. Beyond it a connection rests as soon as it has answered, which makes its next
/// request dearer by the few microseconds that the library needs to begin.
pub(super) const AWAKE_MAX: usize = 512;

/// What is read at once of what wakes a connection; as much as the library begins with.
const READ_SIZE: usize = 8 * 1024;

/// Waits until there is something to read for the library, or for that of HTTP/2.
pub(super) async fn until_asked<S, I>(
    on: &Connected<S>,
    watched: &mut Watched<I>,
    alarm: &mut Alarm,
) -> Result<(), End>
where
    I: AsyncRead + Unpin,
{
    let _resting = on.core.rest();
    poll_fn(|context| {
        loop {
            match poll_arrival(watched, context) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(End::Left)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Broken(error))),
                Poll::Pending => {}
            }
            let Some((due, end)) = on.due() else { return Poll::Pending };
            ready!(alarm.poll_at(due, context));
            // The head is refused at the next look.
            if !matches!(end, End::SlowHead) || !on.state.give_up() {
                return Poll::Ready(Err(end));
            }
        }
    })
    .await
}

/// Reads until somebody has to act on it; false when the client has ended its side before.
fn poll_arrival<I>(watched: &mut Watched<I>, context: &mut Context<'_>) -> Poll<io::Result<bool>>
where
    I: AsyncRead + Unpin,
{
    while !watched.has_arrived() {
        let mut room = [const { MaybeUninit::uninit() }; READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut watched.io).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        watched.hold(buffer.filled());
    }
    Poll::Ready(Ok(true))
}
