//! The connections of one core that nobody uses, to all targets.
//!
//! Not here: those to one target (`wire`), how many there may be (`slots`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::upstream::by_address::ByAddress;
use crate::upstream::target::Target;
use crate::upstream::wire::Home;

const SWEEP_PERIOD_MIN: Duration = Duration::from_millis(100);
const SWEEP_PERIOD_MAX: Duration = Duration::from_secs(60);

/// The unused connections to all targets, by the targets' addresses in memory.
pub(super) struct Pools<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    by_target: Mutex<ByAddress<Pool<S>>>,
    is_swept: AtomicBool,
}

/// One target's. The weak pointer keeps the key from being given to another target.
struct Pool<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    target: Weak<Target>,
    home: Arc<Home<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Pools<S> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { by_target: Mutex::default(), is_swept: AtomicBool::new(false) })
    }

    /// Where the connections to a target go.
    pub(super) fn home(&self, target: &Arc<Target>) -> Arc<Home<S>> {
        let key = Arc::as_ptr(target).addr();
        let mut pools = self.by_target();
        if let Some(pool) = pools.get(&key) {
            return Arc::clone(&pool.home);
        }
        // A new target is rare (a reload): the time to let go of those that are gone.
        pools.retain(|_, pool| pool.target.strong_count() > 0);
        let home = Home::new(target.settings(), target.slots());
        let pool = Pool { target: Arc::downgrade(target), home: Arc::clone(&home) };
        pools.insert(key, pool);
        home
    }

    fn by_target(&self) -> MutexGuard<'_, ByAddress<Pool<S>>> {
        self.by_target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that connections which nobody uses are hung up, as long as there is the client.
    pub(super) fn keep_swept(self: &Arc<Self>) {
        if self.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let pools = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(period) = pools.upgrade().map(|pools| pools.sweep()) else { return };
                sleep(period).await;
            }
        });
    }

    /// Hangs up on what is unused for too long; says when to look again.
    fn sweep(&self) -> Duration {
        let homes: Vec<_> = self.by_target().values().map(|pool| Arc::clone(&pool.home)).collect();
        homes.iter().for_each(|home| home.sweep());
        let shortest = homes.iter().map(|home| home.idle_timeout()).min();
        // Half of it: none is kept for more than one and a half times as long as it may be.
        let period = shortest.map_or(SWEEP_PERIOD_MAX, |shortest| shortest / 2);
        period.clamp(SWEEP_PERIOD_MIN, SWEEP_PERIOD_MAX)
    }
}
