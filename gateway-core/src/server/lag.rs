//! Lag: how far a core is behind, and whom it turns away for that.
//!
//! One timer per core wakes a task twenty times a second. How late it runs is how long everything
//! else on this core waits for its turn: the event loop's lag. A quarter of each measurement goes
//! into the average, so that one stall of the machine refuses nobody for long.
//!
//! | average above | turned away |
//! |---|---|
//! | half of `lag_max` | parts that answers can do without |
//! | `lag_max` | batch requests |
//! | twice `lag_max` | partners' requests |
//! | four times `lag_max` | everybody |
//!
//! Bounded flapping: a class is let in again when the average has been below half of its threshold
//! for five measurements in a row, and then one class at a time.
//!
//! A request pays for this one load of an atomic byte. Without `lag_max` there is no timer.
//!
//! Not here: the refusal (`pipeline`); probes and operators, who have a listener and a runtime of
//! their own and are never turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::priority::Priority;

/// Between two measurements.
const PERIOD: Duration = Duration::from_millis(50);

/// Measurements below half of a threshold before a class is let in again.
const CALM_TICKS: u8 = 5;

/// One core's lag, as requests see it. Without a meter nobody is turned away.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<AtomicU8>);

impl Lag {
    /// Measures the lag of the core whose runtime this is called in, as long as anybody looks at
    /// it; `show` is told each average.
    #[must_use]
    pub fn measured(lag_max: Duration, show: impl Fn(Duration) + Send + 'static) -> Self {
        let lag = Self::default();
        let level = Arc::downgrade(&lag.0);
        let mut meter = Meter::new(lag_max);
        tokio::spawn(async move {
            loop {
                let due = Instant::now() + PERIOD;
                sleep_until(due).await;
                let Some(level) = level.upgrade() else { return };
                level.store(meter.note(due.elapsed()), Ordering::Relaxed);
                show(meter.average);
            }
        });
        lag
    }

    /// Whether those of this priority are turned away now.
    #[must_use]
    pub fn turns_away(&self, priority: Priority) -> bool {
        self.0.load(Ordering::Relaxed) > priority as u8
    }
}

/// The arithmetic: measurements in, how many classes are turned away out.
#[derive(Debug)]
struct Meter {
    lag_max: Duration,
    average: Duration,
    level: u8,
    calm: u8,
}

impl Meter {
    const fn new(lag_max: Duration) -> Self {
        Self { lag_max, average: Duration::ZERO, level: 0, calm: 0 }
    }

    /// The level after one more measurement.
    fn note(&mut self, lag: Duration) -> u8 {
        self.average = self.average * 3 / 4 + lag / 4;
        let reached = (1..=4).filter(|&level| self.average > self.threshold(level)).count();
        let reached = u8::try_from(reached).unwrap_or(u8::MAX);
        if reached > self.level {
            (self.level, self.calm) = (reached, 0);
        } else if self.level > 0 && self.average < self.threshold(self.level) / 2 {
            self.calm += 1;
            if self.calm == CALM_TICKS {
                (self.level, self.calm) = (self.level - 1, 0);
            }
        } else {
            self.calm = 0;
        }
        self.level
    }

    /// Above which so many classes are turned away.
    fn threshold(&self, level: u8) -> Duration {
        self.lag_max * (1 << level) / 4
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds lags in ms to a meter with a `lag_max` of 40 ms, and compares the levels.
    #[track_caller]
    fn check(lags_ms: &[u64], expected: &[u8]) {
        let mut meter = Meter::new(Duration::from_millis(40));
        let levels: Vec<u8> =
            lags_ms.iter().map(|&lag| meter.note(Duration::from_millis(lag))).collect();
        assert_eq!(levels, expected, "{lags_ms:?}");
    }

    #[test]
    fn classes_are_turned_away_one_after_the_other_as_the_lag_grows() {
        check(&[0, 20, 20, 20], &[0, 0, 0, 0]);
        check(&[30, 30, 30, 30, 30], &[0, 0, 0, 1, 1]);
        check(&[100, 100, 100, 100, 100, 100], &[1, 2, 2, 2, 2, 3]);
        check(&[1_000], &[4]);
        // One stall of 100 ms drops what answers can do without, and refuses nobody.
        check(&[100, 0, 0, 0], &[1, 1, 1, 1]);
    }

    #[test]
    fn they_are_let_in_again_one_at_a_time_and_only_after_a_while() {
        let mut calm = vec![1_000];
        calm.extend([0; 27]);
        let levels = [
            vec![4; 8], // until the average is below 80 ms, and four more
            vec![3; 5],
            vec![2; 5],
            vec![1; 5],
        ];
        let mut meter = Meter::new(Duration::from_millis(40));
        let seen: Vec<u8> =
            calm.iter().map(|&lag| meter.note(Duration::from_millis(lag))).collect();
        assert_eq!(seen[..23], levels.concat()[..], "{seen:?}");
        assert_eq!(seen[23..], [0; 5]);
    }

    #[test]
    fn a_level_turns_away_whoever_stands_below_it() {
        let lag = Lag::default();
        let all = [Priority::Spare, Priority::Batch, Priority::Partner, Priority::Interactive];
        for level in 0..=4 {
            lag.0.store(level, Ordering::Relaxed);
            let turned_away = all.iter().filter(|priority| lag.turns_away(**priority)).count();
            assert_eq!(turned_away, usize::from(level));
            assert!(all[..turned_away].iter().all(|priority| lag.turns_away(*priority)));
        }
    }

    #[tokio::test]
    async fn a_core_that_is_blocked_finds_out() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let lag = Lag::measured(Duration::from_millis(20), move |average| {
            let _ = tell.send(average);
        });
        told.recv().await.expect("measured");
        // This is the load, not a wait: the thread that all tasks share is held up.
        std::thread::sleep(PERIOD + Duration::from_millis(400));
        told.recv().await.expect("measured");
        assert!(lag.turns_away(Priority::Interactive));
        drop(lag);
        while told.recv().await.is_some() {}
    }

    proptest! {
        #[test]
        fn the_level_falls_at_most_once_in_five_measurements(
            lags in prop::collection::vec(0..400_u64, 1..200)
        ) {
            let mut meter = Meter::new(Duration::from_millis(40));
            let (mut last, mut since_fall) = (0, u32::MAX);
            for lag in lags {
                let level = meter.note(Duration::from_millis(lag));
                since_fall = since_fall.saturating_add(1);
                if level < last {
                    prop_assert!(last - level == 1 && since_fall >= 5);
                    since_fall = 0;
                }
                last = level;
            }
        }
    }
}
