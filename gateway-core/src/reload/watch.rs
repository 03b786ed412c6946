//! Who asks for a reload by themselves: SIGHUP, and files that say something else.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::{Reloader, Trigger};
use crate::observability::access_log::Reopener;

/// Has the access log's file opened again and reloads with every SIGHUP, for ever.
pub async fn on_hangup(reloader: Arc<Reloader>, access_log: Reopener) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return tracing::warn!(%error, "SIGHUP cannot be listened for"),
    };
    while hangups.recv().await.is_some() {
        access_log.reopen();
        let reloader = Arc::clone(&reloader);
        // Not waited for: a reload may take its time, and with the next signal lines go to a file that
        // somebody wants to have. Its outcome is noted where every outcome is.
        tokio::spawn(async move { reloader.reload(Trigger::Signal).await });
    }
}

/// Has a watcher look every `interval`, for ever.
pub async fn on_change(reloader: Arc<Reloader>, interval: Duration) {
    let Some(mut watcher) = Watcher::begin(reloader).await else { return };
    loop {
        sleep(interval).await;
        if watcher.look().await.is_none() {
            return;
        }
    }
}

/// Who has looked at the files.
///
/// Two looks in a row must see the same: whoever saves several files, or one slowly, is not
/// overtaken. What they see is compared with what was last read by anybody, so that what an operator
/// has put in force is not read again, and is not left in force when the files are put back. What was
/// refused is tried again only when the files have changed again; unless an issuer has not given its
/// keys, which it may do later.
pub(super) struct Watcher {
    reloader: Arc<Reloader>,
    seen: u64,
}

impl Watcher {
    /// The first look. `None` without files, or when the runtime is going down.
    pub(super) async fn begin(reloader: Arc<Reloader>) -> Option<Self> {
        if !reloader.files.exist() {
            return None;
        }
        let seen = look(&reloader).await?;
        reloader.files.begin(seen);
        // What was saved between the start's reading and the first look.
        if reloader.is_behind().await {
            let _ = reloader.reload(Trigger::Files).await;
        }
        Some(Self { reloader, seen })
    }

    /// One more look, and a reload where it is due. `None` when the runtime is going down.
    pub(super) async fn look(&mut self) -> Option<()> {
        let now = look(&self.reloader).await?;
        if now == std::mem::replace(&mut self.seen, now) {
            self.reloader.follow(now).await;
        }
        Some(())
    }
}

/// Reads files, which blocks. `None` when the runtime is going down.
async fn look(reloader: &Arc<Reloader>) -> Option<u64> {
    let reloader = Arc::clone(reloader);
    tokio::task::spawn_blocking(move || reloader.files.look()).await.ok()
}
