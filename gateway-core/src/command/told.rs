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
        // A signal that came meanwhile is the one after whatever else was heard.
        self.is_signalled = tokio::select! {
            biased;
            () = asked(&mut operator) => false,
            () = ended(parent) => false,
            () = self.signalled() => true,
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A process that hears an operator, and of signals SIGUSR1 only.
    fn listening(operator: watch::Receiver<bool>) -> Told {
        let terminate = signal(SignalKind::user_defined1()).ok();
        Told { terminate, interrupt: None, parent: None, operator, is_signalled: false }
    }

    #[tokio::test]
    async fn a_signal_that_came_with_what_an_operator_asked_for_does_not_hurry() {
        let (stop, stops) = watch::channel(false);
        stop.send_replace(true);
        for round in 0..20 {
            let mut told = listening(stops.clone());
            let mut delivered = signal(SignalKind::user_defined1()).expect("a signal");
            let own = std::process::id().to_string();
            let sent = Command::new("kill").args(["-s", "USR1", &own]).status();
            assert!(sent.is_ok_and(|status| status.success()));
            delivered.recv().await;
            told.first().await;
            assert!(!told.is_signalled, "round {round}");
            let hurried = tokio::time::timeout(Duration::from_millis(1), told.hurried());
            assert!(hurried.await.is_err(), "round {round}: it was no second signal");
        }
    }
}
