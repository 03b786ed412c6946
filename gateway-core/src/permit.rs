//! Permits: a bound on how many of something exist at once, over all cores of the process.
//!
//! Who waits is refused: a gateway that queues hides the overload and adds to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A number of permits, shared by all cores.
#[derive(Debug)]
pub struct Permits {
    max: u32,
    taken: AtomicU32,
}

impl Permits {
    /// `max` permits, none of them taken.
    #[must_use]
    pub fn new(max: u32) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicU32::new(0) })
    }

    /// One permit, until it is dropped; `None` when all are taken.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        let one_more = |taken: u32| (taken < self.max).then(|| taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Permit(Arc::clone(self)))
    }

    /// How many are taken now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there are.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }
}

/// The right to be one of so many. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit(Arc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_permits_than_the_bound_and_a_dropped_one_is_taken_again() {
        let permits = Permits::new(2);
        let first = permits.take();
        let second = permits.take();
        assert!(first.is_some() && second.is_some());
        assert!(permits.take().is_none());
        assert_eq!(permits.taken(), 2, "a refusal takes nothing");
        drop(first);
        assert!(permits.take().is_some());
        assert_eq!(permits.taken(), 1);
    }
}
