//! A bound on the warnings that requests write: the log goes to a stream that blocks, and a core
//! that writes a line for each of a thousand failures a second has no time left to serve.
//!
//! Invariant: nothing is lost but the line. Each refusal is counted by its code and stands in the
//! access log, whether or not it is warned of.
//!
//! Not here: what is no warning at all (`Refusal::is_mass`), the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// Warnings that one core writes in a period.
const WARNINGS_MAX: u64 = 20;

const PERIOD: Duration = Duration::from_secs(1);

/// What one core has warned of lately. Only that core's thread writes it.
#[derive(Debug, Default)]
pub struct Warnings {
    /// When the period under way began, in microseconds; 0 before the first.
    began_us: AtomicU64,
    written: AtomicU64,
    left_out: AtomicU64,
}

impl Warnings {
    /// Whether one may be written `now`, and then how many were left out since the last one.
    pub(super) fn take(&self, now: Moment) -> Option<u64> {
        let began = Moment::from_micros(self.began_us.load(Ordering::Relaxed));
        if now.since(began) >= PERIOD {
            self.began_us.store(now.as_micros(), Ordering::Relaxed);
            self.written.store(0, Ordering::Relaxed);
        }
        if self.written.fetch_add(1, Ordering::Relaxed) < WARNINGS_MAX {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_a_few_are_written_and_the_next_one_says_how_many_were_not() {
        let warnings = Warnings::default();
        let at = |ms: u64| Moment::from_micros(3_600_000_000 + ms * 1_000);
        let written = |from: u64| (0..500).filter_map(|ms| warnings.take(at(from + ms))).count();
        assert_eq!(written(0), 20);
        assert_eq!(warnings.take(at(1_000)), Some(480));
        assert_eq!(warnings.take(at(1_001)), Some(0));
        assert_eq!(written(1_002), 18);
        assert_eq!(warnings.take(at(5_000)), Some(482));
    }
}
