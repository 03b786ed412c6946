//! The budget: how much load retries may add to a service, over all calls and all cores.
//!
//! Attempts per call bound what one call does; when a service is down every call retries, and only
//! a share of the calls keeps a platform from being taken down by its own retries.
//!
//! Source: the retry budget of Finagle and linkerd: a share of the requests of the last ten
//! seconds, and a few per second besides, so that retries exist where there is little traffic.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// Over so many seconds calls and retries are counted.
const WINDOW_S: usize = 10;

/// What retries may add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetShare {
    /// Retries for each hundred requests.
    pub percent: u32,
    /// Retries that there may be in a window, whatever the requests.
    pub floor: u64,
}

impl BudgetShare {
    /// A share of the requests, and a floor of so many retries in each second on average.
    #[must_use]
    pub fn new(percent: u32, floor_per_second: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a handful of seconds")]
        let floor = (floor_per_second * WINDOW_S as f64).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
        Self { percent, floor: floor as u64 }
    }

    fn of(self, requests: u64) -> u64 {
        self.floor + requests.saturating_mul(u64::from(self.percent)) / 100
    }
}

/// One service's budget. It survives a change of the site.
#[derive(Debug, Default)]
pub struct RetryBudget {
    requests: Window,
    retries: Window,
}

impl RetryBudget {
    /// Counts a call's first attempt.
    pub fn note_request(&self, now: Moment) {
        self.requests.add(now);
    }

    /// Takes one retry from the budget, until it is made or let go; `None` when the budget is used
    /// up.
    pub fn take(&self, share: BudgetShare, now: Moment) -> Option<Taken<'_>> {
        // Taken first and given back: two cores at the same time may both be refused the last
        // one, and can never both have it.
        let taken = Taken { retries: &self.retries, second: Some(self.retries.add(now)) };
        let is_within = self.retries.sum(now) <= share.of(self.requests.sum(now));
        is_within.then_some(taken)
    }
}

/// One retry out of the budget. Whoever lets go of it without making it, as when the client leaves
/// during the pause before, gives it back.
#[derive(Debug)]
#[must_use]
pub struct Taken<'a> {
    retries: &'a Window,
    /// In which it is counted, until it is made.
    second: Option<u64>,
}

impl<'a> Taken<'a> {
    /// The retry is made, and stays counted; unless it turns out that it was none.
    pub fn made(mut self) -> Option<Counted<'a>> {
        let second = self.second.take()?;
        Some(Counted { retries: self.retries, second })
    }
}

/// One retry that is counted as made.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    retries: &'a Window,
    second: u64,
}

impl Counted<'_> {
    /// It was turned away before it reached anybody: that adds nothing to a service's load.
    pub fn was_none(self) {
        self.retries.undo(self.second);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(second) = self.second {
            self.retries.undo(second);
        }
    }
}

/// Counts of the last ten seconds, one for each: the second in the upper half, the count in the
/// lower one, so that both change at once.
#[derive(Debug, Default)]
struct Window([AtomicU64; WINDOW_S]);

impl Window {
    /// Adds one; returns the second in which it is counted.
    fn add(&self, now: Moment) -> u64 {
        let second = second_of(now);
        let Some(slot) = self.slot(second) else { return second };
        let mut counted_in = second;
        let one_more = |packed: u64| {
            let (known, count) = unpacked(packed);
            // A core that is a moment behind counts into the later second.
            counted_in = known.max(second);
            let count = if known < second { 0 } else { count };
            Some(counted_in << 32 | (count + 1).min(u64::from(u32::MAX)))
        };
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted_in
    }

    fn undo(&self, second: u64) {
        let Some(slot) = self.slot(second) else { return };
        let one_less = |packed: u64| {
            let (known, count) = unpacked(packed);
            (known == second && count > 0).then(|| packed - 1)
        };
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    fn sum(&self, now: Moment) -> u64 {
        let second = second_of(now);
        let slots = self.0.iter().map(|slot| unpacked(slot.load(Ordering::Relaxed)));
        let recent = slots.filter(|(known, _)| known + WINDOW_S as u64 > second);
        recent.map(|(_, count)| count).sum()
    }

    fn slot(&self, second: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(second).ok()? % WINDOW_S)
    }
}

const fn second_of(now: Moment) -> u64 {
    (now.as_micros() / 1_000_000) & 0xffff_ffff
}

const fn unpacked(packed: u64) -> (u64, u64) {
    (packed >> 32, packed & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn at_ms(ms: u64) -> Moment {
        Moment::from_micros(3_600_000_000 + ms * 1_000)
    }

    /// Whether there is a retry to be had, which is then made.
    fn takes(budget: &RetryBudget, share: BudgetShare, ms: u64) -> bool {
        budget.take(share, at_ms(ms)).map(Taken::made).is_some()
    }

    #[test]
    fn a_retry_that_is_not_made_is_given_back_to_the_second_it_was_taken_in() {
        let budget = RetryBudget::default();
        let share = BudgetShare { percent: 0, floor: 1 };
        let taken = budget.take(share, at_ms(0));
        assert!(taken.is_some());
        assert!(!takes(&budget, share, 3_000), "somebody has it");
        drop(taken);
        assert!(takes(&budget, share, 3_000), "it was not made");
        assert!(!takes(&budget, share, 12_999), "it was made");
        let made = budget.take(share, at_ms(13_001)).and_then(Taken::made).expect("its turn");
        assert!(!takes(&budget, share, 13_002), "as far as is known, it is made");
        made.was_none();
        assert!(takes(&budget, share, 13_003), "it was turned away");
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried_and_a_few_without_any() {
        for (requests, floor, expected) in
            [(100, 0, 20), (4, 0, 0), (5, 0, 1), (0, 3, 3), (50, 2, 12)]
        {
            let budget = RetryBudget::default();
            let share = BudgetShare { percent: 20, floor };
            (0..requests).for_each(|_| budget.note_request(at_ms(0)));
            let taken = (0..1_000).filter(|_| takes(&budget, share, 1)).count();
            assert_eq!(taken, expected, "{requests} requests, floor {floor}");
        }
    }

    #[test]
    fn what_is_older_than_ten_seconds_neither_gives_nor_takes() {
        let budget = RetryBudget::default();
        let share = BudgetShare { percent: 20, floor: 0 };
        (0..10).for_each(|_| budget.note_request(at_ms(0)));
        assert!(takes(&budget, share, 9_999));
        assert!(takes(&budget, share, 9_999));
        assert!(!takes(&budget, share, 9_999), "used up");
        assert!(!takes(&budget, share, 10_000), "the requests are forgotten");
        (0..15).for_each(|_| budget.note_request(at_ms(15_000)));
        assert!(takes(&budget, share, 15_000));
        assert!(!takes(&budget, share, 18_999), "two of before still count");
        assert!(takes(&budget, share, 19_999), "and no longer");
    }

    #[test]
    fn a_floor_is_a_rate() {
        assert_eq!(BudgetShare::new(20, 1.0), BudgetShare { percent: 20, floor: 10 });
        assert_eq!(BudgetShare::new(0, 1.0 / 60.0), BudgetShare { percent: 0, floor: 0 });
        assert_eq!(BudgetShare::new(0, 0.5).floor, 5);
    }

    #[test]
    fn cores_together_never_take_more_than_there_is() {
        let budget = Arc::new(RetryBudget::default());
        let share = BudgetShare { percent: 20, floor: 7 };
        (0..500).for_each(|_| budget.note_request(at_ms(0)));
        let cores = [0; 4].map(|_| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || (0..100).filter(|_| takes(&budget, share, 10)).count())
        });
        let taken: usize = cores.into_iter().map(|core| core.join().expect("no panic")).sum();
        assert!(taken <= 107, "{taken}");
        let rest = (0..200).filter(|_| takes(&budget, share, 10)).count();
        assert_eq!(taken + rest, 107, "what was refused is still there");
    }

    proptest! {
        #[test]
        fn no_window_holds_more_retries_than_its_share(
            steps in prop::collection::vec((0..900_u64, any::<bool>()), 1..400)
        ) {
            let budget = RetryBudget::default();
            let share = BudgetShare { percent: 20, floor: 3 };
            let (mut now, mut requests, mut retries) = (0, Vec::new(), Vec::new());
            for (pause, is_request) in steps {
                now += pause;
                if is_request {
                    budget.note_request(at_ms(now));
                    requests.push(now);
                } else if takes(&budget, share, now) {
                    retries.push(now);
                    // Whole seconds are counted, so the window is nine to ten of them long.
                    let first = (now / 1_000).saturating_sub(9) * 1_000;
                    let within = |all: &[u64]| all.iter().filter(|&&at| at >= first).count() as u64;
                    prop_assert!(within(&retries) <= 3 + within(&requests) / 5);
                }
            }
        }
    }
}
