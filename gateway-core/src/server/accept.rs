//! One core's life: start, accept, drain, end.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::metric::ConnectionEnd;
use crate::server::core::Core;
use crate::server::{Serve, ServerFailed, Shared};

/// How long a core accepts nothing when the machine is out of what a connection takes.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How a core tells the server that it accepts, or why it cannot.
type Started = mpsc::Sender<Result<(), ServerFailed>>;

/// What a core's thread is born with.
pub(super) struct Life {
    pub(super) listener: std::net::TcpListener,
    pub(super) shared: Shared,
    pub(super) drain: watch::Receiver<bool>,
    pub(super) started: Started,
}

impl Life {
    /// Lives it, on this thread. Returns how many connections were cut in the end.
    pub(super) fn run<S: Serve>(self, make: impl FnOnce() -> S) -> u32 {
        let Self { listener, shared, drain, started } = self;
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return not_started(&started, error),
        };
        runtime.block_on(async {
            shared.tasks.count("core", Handle::current().metrics());
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return not_started(&started, error),
            };
            let Shared { settings, ends, resting, per_address, .. } = &shared;
            let counts = (resting.clone(), Arc::clone(per_address));
            let core = Core::new(make(), Arc::clone(settings), ends.clone(), counts);
            let door = Door { core, shared, is_full: Cell::new(false) };
            let _ = started.send(Ok(()));
            // Each core's end closes, so that the server notices one that says nothing.
            drop(started);
            door.stand_open(&listener, drain).await;
            door.close(listener).await
        })
    }
}

/// Tells the server, which is still waiting. No connection was cut.
fn not_started(started: &Started, error: io::Error) -> u32 {
    let _ = started.send(Err(ServerFailed::Core(error)));
    0
}

/// Where connections come in.
struct Door<S> {
    core: Rc<Core<S>>,
    shared: Shared,
    is_full: Cell<bool>,
}

impl<S: Serve> Door<S> {
    async fn stand_open(&self, listener: &TcpListener, mut drain: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = drain.wait_for(|&begins| begins) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    /// Drains the core. Returns how many connections are not done in time.
    async fn close(self, listener: TcpListener) -> u32 {
        self.core.drain();
        if let Ok(listener) = listener.into_std() {
            // Who is in the queue has already got through to this gateway.
            while let Ok((stream, peer)) = listener.accept() {
                let stream =
                    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                stream.into_iter().for_each(|stream| self.admit(stream, peer));
            }
        }
        let mut hurries = self.shared.hurries.clone();
        let emptied = async {
            tokio::select! {
                () = self.core.emptied() => {}
                // An error: whoever could be in a hurry waits for nothing more.
                Ok(_) = hurries.wait_for(|&is_now| is_now) => {}
            }
        };
        let _ = timeout(self.shared.settings.drain_timeout, emptied).await;
        u32::try_from(self.core.open()).unwrap_or(u32::MAX)
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(permit) = self.shared.connections.take() else {
            self.shared.ends.get_or_create(&ConnectionEnd { reason: "full" }).inc();
            if !self.is_full.replace(true) {
                let max = self.shared.connections.max();
                tracing::warn!(max, "all connections are in use: new ones are closed");
            }
            return;
        };
        self.is_full.set(false);
        // An answer is one write and must not wait for the last one's ACK. A socket that is
        // already dead says no, and then it does not matter.
        let _ = stream.set_nodelay(true);
        let place = self.core.enter(permit, self.shared.open.clone());
        let entrance = Arc::clone(&self.shared.entrance);
        tokio::task::spawn_local(async move {
            let served = AssertUnwindSafe(entrance.serve(&place, stream, peer));
            if served.catch_unwind().await.is_err() {
                tracing::error!(%peer, "a panic ended a connection");
            }
        });
    }
}

/// One connection's failure is nothing to wait for; a machine without file descriptors is.
async fn pause_after(error: &io::Error) {
    if is_of_one_connection(error) {
        return;
    }
    tracing::warn!(%error, "no connection can be accepted");
    sleep(EXHAUSTED_PAUSE).await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_an_exhausted_machine_makes_a_core_pause() {
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        for (error, paused_ms) in [
            (io::ErrorKind::ConnectionAborted.into(), 0),
            (io::ErrorKind::ConnectionReset.into(), 0),
            (io::ErrorKind::Interrupted.into(), 0),
            (io::Error::from_raw_os_error(ENFILE), 100),
            (io::Error::from_raw_os_error(EMFILE), 100),
        ] {
            let before = Instant::now();
            pause_after(&error).await;
            assert_eq!(before.elapsed().as_millis() / 100 * 100, paused_ms, "{error}");
        }
    }
}
