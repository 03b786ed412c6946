//! Slots: how many connections a target has at once, all cores together.
//!
//! A connection holds its slot until it is closed, unused ones as well. Who needs one and finds none
//! makes some core hang up on an unused connection, and waits in line otherwise: first come, first
//! served, whichever the core, so that none starves another. The line is short and the wait has an
//! end: a gateway that queues for long hides the overload and adds to it.
//!
//! Invariant: while somebody waits no connection becomes unused; it is closed, and its slot passes
//! on. So no wait can miss one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::upstream::failed::CallFailed;

/// So long before a call is due, its wait for a slot is over: whoever has the call has a timer too,
/// which must not ring first, or nobody would hear that it was the gateway that had it wait.
const LAST_MOMENT: Duration = Duration::from_millis(2);

/// A bound on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRules {
    /// Connections to the target, all cores together.
    pub connections_max: u32,
    /// Calls that may wait for one.
    pub pending_max: u32,
    /// How long they may.
    pub pending_timeout: Duration,
}

/// The slots of one target, shared by all cores.
#[derive(Debug)]
pub(super) struct Slots {
    rules: SlotRules,
    free: Arc<Semaphore>,
    waiting: AtomicU32,
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
}

/// Who keeps unused connections.
pub(super) trait Keeper: std::fmt::Debug + Send + Sync {
    /// Hangs up on one; says whether there was one.
    fn let_go(&self) -> bool;
}

/// The right to one connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(rules: SlotRules) -> Arc<Self> {
        let count = usize::try_from(rules.connections_max).unwrap_or(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { rules, free, waiting: AtomicU32::new(0), keepers: Mutex::default() })
    }

    /// Makes known who keeps unused connections that take up slots.
    pub(super) fn register(&self, keeper: Weak<dyn Keeper>) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|keeper| keeper.strong_count() > 0);
        keepers.push(keeper);
    }

    /// One slot, where one is free and nobody waits for it.
    pub(super) fn try_take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Slot { _permit: permit })
    }

    /// One slot, at once or after a while, for a call that has so much time left.
    pub(super) async fn take(&self, time_left: Duration) -> Result<Slot, CallFailed> {
        if let Some(slot) = self.try_take() {
            return Ok(slot);
        }
        let busy = || CallFailed::Busy(self.rules.connections_max);
        let _waiting = Waiting::begin(self).ok_or_else(busy)?;
        self.ask_for_one();
        let limit = self.rules.pending_timeout.min(time_left.saturating_sub(LAST_MOMENT));
        match timeout(limit, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Slot { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Whether somebody waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    fn ask_for_one(&self) {
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let _found = keepers.iter().filter_map(Weak::upgrade).any(|keeper| keeper.let_go());
    }
}

/// A place in the line.
struct Waiting<'a>(&'a Slots);

impl<'a> Waiting<'a> {
    fn begin(slots: &'a Slots) -> Option<Self> {
        let one_more = |waiting| (waiting < slots.rules.pending_max).then(|| waiting + 1);
        let begun = slots.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        begun.ok().map(|_| Self(slots))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn slots(connections_max: u32, pending_max: u32) -> Arc<Slots> {
        let pending_timeout = Duration::from_secs(2);
        Slots::new(SlotRules { connections_max, pending_max, pending_timeout })
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_in_turn_and_a_line_that_is_full_takes_nobody() {
        let slots = slots(1, 2);
        let held = slots.take(LONG).await.expect("the first");
        let (mut second, mut third) = (Box::pin(slots.take(LONG)), Box::pin(slots.take(LONG)));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(slots.waiting(), 2);
        assert!(matches!(slots.take(LONG).await, Err(CallFailed::Busy(1))));
        drop(held);
        assert!(third.as_mut().now_or_never().is_none(), "not its turn");
        let held = second.await.expect("its turn");
        assert_eq!(slots.waiting(), 1);
        drop(held);
        third.await.expect("its turn");
        assert!(!slots.is_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_has_an_end_and_one_that_is_given_up_leaves_the_line() {
        let slots = slots(1, 2);
        let held = slots.take(LONG).await.expect("the first");
        assert!(slots.take(LONG).now_or_never().is_none());
        assert_eq!(slots.waiting(), 0, "given up");
        let began = Instant::now();
        assert!(matches!(slots.take(LONG).await, Err(CallFailed::Busy(1))));
        assert_eq!(began.elapsed().as_secs(), 2);
        assert_eq!(slots.waiting(), 0);
        drop(held);
        assert!(slots.take(LONG).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_due_sooner_hears_before_that_that_it_waited_in_vain() {
        let slots = slots(1, 2);
        let _held = slots.take(LONG).await.expect("the first");
        let in_time = |ms| {
            let time_left = Duration::from_millis(ms);
            timeout(time_left, slots.take(time_left))
        };
        for ms in [1, 300, 1_999] {
            let began = Instant::now();
            assert!(matches!(in_time(ms).await, Ok(Err(CallFailed::Busy(1)))), "{ms}");
            assert!(began.elapsed() <= Duration::from_millis(ms), "{ms}");
            assert_eq!(slots.waiting(), 0);
        }
    }

    /// Keeps some slots as unused connections would.
    #[derive(Debug, Default)]
    struct Shelf(Mutex<Vec<Slot>>);

    impl Keeper for Shelf {
        fn let_go(&self) -> bool {
            self.0.lock().expect("no panic").pop().is_some()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unused_connections_make_room_one_for_each_who_needs_one() {
        let slots = slots(3, 8);
        let shelves = [Arc::new(Shelf::default()), Arc::new(Shelf::default())];
        for shelf in &shelves {
            let keeper: Arc<dyn Keeper> = Arc::clone(shelf) as _;
            slots.register(Arc::downgrade(&keeper));
        }
        for shelf in [0, 1, 1] {
            let slot = slots.take(LONG).await.expect("free");
            shelves[shelf].0.lock().expect("no panic").push(slot);
        }
        let kept = || shelves.iter().map(|shelf| shelf.0.lock().expect("no panic").len()).sum();
        let taken = [slots.take(LONG).await, slots.take(LONG).await];
        assert!(taken.iter().all(Result::is_ok));
        let kept: usize = kept();
        assert_eq!(kept, 1);
    }
}
