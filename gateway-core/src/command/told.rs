//! Being told to stop: by a signal, by an operator, or by the end of the parent.

use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Time between two looks at who the parent is.
const PARENT_LOOK: Duration = Duration::from_millis(200);

/// Everybody who may tell a process to stop.
#[derive(Debug)]
pub(super) struct Told {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    parent: Option<u32>,
    operator: watch::Receiver<bool>,
    is_signalled: bool,
}

impl Told {
    /// Listens from now on. `parent` is the process whose end counts, `operator` is true once a
    /// drain was asked for. Call it inside a runtime.
    pub(super) fn listen(parent: Option<u32>, operator: watch::Receiver<bool>) -> Self {
        let listen = |kind| signal(kind).ok();
        let (terminate, interrupt) =
            (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
        Self { terminate, interrupt, parent, operator, is_signalled: false }
    }

    /// SIGTERM, Ctrl-C, an operator, or the end of the parent.
    pub(super) async fn first(&mut self) {
        let (parent, mut operator) = (self.parent, self.operator.clone());
        self.is_signalled = tokio::select! {
            () = self.signalled() => true,
            () = ended(parent) => false,
            () = asked(&mut operator) => false,
        };
    }

    /// The second signal: that means at once. Supervisors send one after a hook of theirs has had the
    /// process drain, and mean no more by it than the hook did.
    pub(super) async fn hurried(&mut self) {
        if !self.is_signalled {
            self.signalled().await;
            tracing::info!("told to stop, which has begun; one more signal cuts what is in flight");
        }
        self.signalled().await;
    }

    /// SIGTERM or Ctrl-C.
    async fn signalled(&mut self) {
        tokio::select! {
            () = received(self.terminate.as_mut()) => {}
            () = received(self.interrupt.as_mut()) => {}
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

async fn asked(operator: &mut watch::Receiver<bool>) {
    if operator.wait_for(|&is_asked| is_asked).await.is_err() {
        pending().await
    }
}

/// Until this process has another parent than that: an orphan is given to somebody else.
async fn ended(parent: Option<u32>) {
    let Some(parent) = parent else { return pending().await };
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(PARENT_LOOK).await;
    }
}
