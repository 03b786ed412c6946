//! Who asks for a reload by themselves: SIGHUP, and files that say something else.

use std::sync::Arc;
use std::time::Duration;

use shared_config::Watched;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::{Reloader, Trigger};

/// Reloads with every SIGHUP, for ever.
pub async fn on_hangup(reloader: Arc<Reloader>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return tracing::warn!(%error, "SIGHUP cannot be listened for"),
    };
    while hangups.recv().await.is_some() {
        // Its outcome is noted where every outcome is.
        let _ = reloader.reload(Trigger::Signal).await;
    }
}

/// Looks at the files every `interval`, and reloads when they say something else, for ever.
///
/// Two looks in a row must see the same: whoever saves several files, or one slowly, is not
/// overtaken. What was refused is tried again only when the files have changed again.
pub async fn on_change(reloader: Arc<Reloader>, watched: Watched, interval: Duration) {
    let Some((mut watched, mut tried)) = look(watched).await else { return };
    let mut seen = tried;
    // What was saved between the start's reading and the first look.
    if reloader.is_behind().await {
        let _ = reloader.reload(Trigger::Files).await;
    }
    loop {
        sleep(interval).await;
        let Some((again, now)) = look(watched).await else { return };
        watched = again;
        if now == seen && now != tried {
            tried = now;
            let _ = reloader.reload(Trigger::Files).await;
        }
        seen = now;
    }
}

/// Reads files, which blocks. `None` when the runtime is going down.
async fn look(mut watched: Watched) -> Option<(Watched, u64)> {
    let looking = tokio::task::spawn_blocking(move || {
        let seen = watched.look();
        (watched, seen)
    });
    looking.await.ok()
}
