//! The condition of a target: whether it takes calls, and how it has done of late.
//!
//! Three things may keep calls away. Its *breaker* refuses them, alone or not. Its *ejection* and
//! failed *checks* make a service's balance pass it over, as long as another is left.
//!
//! All of it is atomics that every core shares; a call of a target in good condition takes no lock.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::upstream::breaker::{Breaker, BreakerRules, BreakerState};
use crate::upstream::dice::Dice;

/// What failures lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureRules {
    /// When the target's breaker opens; `None`: never.
    pub breaker: Option<BreakerRules>,
    /// Statuses that count as failures to the breaker, beside calls without an answer.
    pub breaker_statuses: Vec<u16>,
    /// When it leaves the balance for a while; `None`: never.
    pub ejection: Option<BreakerRules>,
}

/// How a target does.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) breaker: Option<Breaker>,
    pub(super) ejection: Option<Breaker>,
    pub(super) health: Health,
    latency_us: AtomicU64,
}

impl Condition {
    pub(super) fn new(rules: &FailureRules) -> Self {
        let breaker = |rules: &BreakerRules| Breaker::new(rules.clone(), Dice::random());
        Self {
            breaker: rules.breaker.as_ref().map(breaker),
            ejection: rules.ejection.as_ref().map(breaker),
            health: Health::default(),
            latency_us: AtomicU64::new(0),
        }
    }

    /// Whether its breaker would let a call through.
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        self.breaker.as_ref().is_none_or(|breaker| breaker.would_admit(now))
    }

    /// Whether the balance may choose it: nothing that is known speaks against it.
    pub(super) fn is_good(&self, now: Moment) -> bool {
        self.health.is_good()
            && self.ejection.as_ref().is_none_or(|ejection| ejection.would_admit(now))
            && self.is_usable(now)
    }

    /// How long until its breaker lets a call through, at the earliest.
    pub(super) fn wait(&self, now: Moment) -> Duration {
        match self.breaker.as_ref().map(Breaker::state) {
            Some(BreakerState::Open(until)) => until.since(now),
            _ => Duration::ZERO,
        }
    }

    /// Takes in how long an answer took: a moving average in which the last eight weigh most.
    pub(super) fn note_latency(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let known = self.latency_us.load(Ordering::Relaxed);
        // Two cores at once lose one of two samples: an average need not be exact.
        let next = if known == 0 { took } else { known - known / 8 + took / 8 };
        self.latency_us.store(next, Ordering::Relaxed);
    }

    /// How long answers take, on average; zero before the first one.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }
}

/// What active checks say of a target. Until they have said otherwise, it is good.
#[derive(Debug, Default)]
pub(super) struct Health {
    is_bad: AtomicBool,
    /// Checks in a row that contradict what is held to be so.
    contradictions: AtomicU32,
}

impl Health {
    pub(super) fn is_good(&self) -> bool {
        !self.is_bad.load(Ordering::Relaxed)
    }

    /// Takes in one check; `in_a_row` is how many it takes to believe that things have changed.
    /// Says whether they have. One task calls this.
    pub(super) fn note(&self, has_passed: bool, in_a_row: u32) -> bool {
        if has_passed == self.is_good() {
            self.contradictions.store(0, Ordering::Relaxed);
            return false;
        }
        let contradictions = self.contradictions.fetch_add(1, Ordering::Relaxed) + 1;
        if contradictions < in_a_row {
            return false;
        }
        self.contradictions.store(0, Ordering::Relaxed);
        self.is_bad.store(!has_passed, Ordering::Relaxed);
        true
    }

    /// Nothing checks it any longer: nothing is known against it.
    pub(super) fn forget(&self) {
        self.contradictions.store(0, Ordering::Relaxed);
        self.is_bad.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_in_a_row_change_what_is_held_to_be_so() {
        // `+` passes, `-` fails; three failures in a row make it bad, two passes good.
        let check = |script: &str, expected: bool| {
            let health = Health::default();
            for one in script.chars() {
                let has_passed = one == '+';
                health.note(has_passed, if has_passed { 2 } else { 3 });
            }
            assert_eq!(health.is_good(), expected, "{script}");
        };
        check("", true);
        check("--", true);
        check("---", false);
        check("--+--", true);
        check("---+", false);
        check("---++", true);
        check("---+-+", false);
    }

    #[test]
    fn the_average_latency_follows_what_it_sees() {
        let condition = Condition::new(&FailureRules::default());
        let millis = Duration::from_millis;
        assert_eq!(condition.latency(), Duration::ZERO);
        condition.note_latency(millis(80));
        assert_eq!(condition.latency(), millis(80));
        condition.note_latency(millis(160));
        assert_eq!(condition.latency(), millis(90));
        (0..100).for_each(|_| condition.note_latency(millis(10)));
        assert!(condition.latency().abs_diff(millis(10)) < millis(1), "{:?}", condition.latency());
    }
}
