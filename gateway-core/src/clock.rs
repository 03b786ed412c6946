//! Time: the one place of our code that reads it.
//!
//! [`Moment`] is monotonic and measures lengths; [`Timestamp`] is wall time and is written down.
//! Wall time is max(previous, system): a clock that steps back refunds no limit and revives no
//! expired credential. What that means after a wrong step, and after a suspend, for which the
//! monotonic time stands still, is said in docs/operations.md.
//!
//! Not here: timers (tokio's own), which tests pause.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic point in time: microseconds since an hour before the clock was made.
///
/// The hour keeps subtraction of ordinary windows away from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

const HOUR_US: u64 = 3_600_000_000;

impl Moment {
    /// The moment `micros` microseconds after the clock's fixed start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the clock's fixed start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `length` later; saturates in the far future.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(length)))
    }

    /// The length from `earlier` to this moment; zero when `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A wall-clock point in time: microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `seconds` after the Unix epoch.
    #[must_use]
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_nanos(self) -> u64 {
        self.0.saturating_mul(1_000)
    }

    /// The point `length` later; saturates in the far future.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(length)))
    }

    /// The length from `earlier` to this point; zero when `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A point in time as RFC 3339 writes it, in UTC with milliseconds: `2026-03-01T12:00:00.250Z`.
#[derive(Debug, Clone, Copy)]
pub struct TimestampText([u8; 24]);

impl TimestampText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn put(&mut self, start: usize, length: usize, mut number: u64) {
        for place in self.0.iter_mut().skip(start).take(length).rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
    }
}

impl Timestamp {
    /// The text of it. Of years after 9999 the last four digits are written.
    #[must_use]
    pub fn to_text(self) -> TimestampText {
        let seconds = self.unix_seconds();
        let (year, month, day) = civil_from_days(seconds / 86_400);
        let mut text = TimestampText(*b"0000-00-00T00:00:00.000Z");
        text.put(0, 4, year);
        text.put(5, 2, month);
        text.put(8, 2, day);
        text.put(11, 2, seconds / 3_600 % 24);
        text.put(14, 2, seconds / 60 % 60);
        text.put(17, 2, seconds % 60);
        text.put(20, 3, self.unix_millis() % 1_000);
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

/// Days since 1970-01-01 to year, month, day.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

fn micros_of(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// A source of time, cheap to clone. Every clone shows the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System { start: Instant, ratchet: AtomicU64 },
    Manual { monotonic: AtomicU64, wall: AtomicU64, ratchet: AtomicU64 },
}

impl Clock {
    /// The machine's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's time")]
    pub fn system() -> Self {
        Self(Arc::new(Source::System { start: Instant::now(), ratchet: AtomicU64::new(0) }))
    }

    /// A clock that stands still at `wall` until a test moves it.
    #[must_use]
    pub fn manual(wall: Timestamp) -> Self {
        Self(Arc::new(Source::Manual {
            monotonic: AtomicU64::new(HOUR_US),
            wall: AtomicU64::new(wall.0),
            ratchet: AtomicU64::new(0),
        }))
    }

    /// The monotonic time.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &*self.0 {
            Source::System { start, .. } => Moment(micros_of(start.elapsed()) + HOUR_US),
            Source::Manual { monotonic, .. } => Moment(monotonic.load(Ordering::SeqCst)),
        }
    }

    /// The wall time: never earlier than the last one that was read.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        let (read, ratchet) = match &*self.0 {
            Source::System { ratchet, .. } => (system_wall(), ratchet),
            Source::Manual { wall, ratchet, .. } => (wall.load(Ordering::SeqCst), ratchet),
        };
        Timestamp(ratchet.fetch_max(read, Ordering::Relaxed).max(read))
    }

    /// How far the wall time is ahead of the system's: for as long as that was set back and has not
    /// caught up. Looking moves nothing.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        // The latest first: another thread's newer one is then no distance.
        let (latest, system) = match &*self.0 {
            Source::System { ratchet, .. } => (ratchet.load(Ordering::SeqCst), system_wall()),
            Source::Manual { wall, ratchet, .. } => {
                (ratchet.load(Ordering::SeqCst), wall.load(Ordering::SeqCst))
            }
        };
        Duration::from_micros(latest.saturating_sub(system))
    }

    /// Moves a manual clock forward. The machine's clock takes no orders: there it does nothing.
    pub fn advance(&self, length: Duration) {
        if let Source::Manual { monotonic, wall, .. } = &*self.0 {
            monotonic.fetch_add(micros_of(length), Ordering::SeqCst);
            wall.fetch_add(micros_of(length), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock's wall time, backwards too, as an operator or NTP may do.
    pub fn set_wall(&self, to: Timestamp) {
        if let Source::Manual { wall, .. } = &*self.0 {
            wall.store(to.0, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's time")]
fn system_wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_shows_the_latest_time_it_ever_showed() {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_000));
        assert_eq!(clock.wall().unix_seconds(), 1_000);
        clock.set_wall(Timestamp::from_unix_seconds(700));
        assert_eq!(clock.wall().unix_seconds(), 1_000);
        clock.set_wall(Timestamp::from_unix_seconds(1_001));
        assert_eq!(clock.wall().unix_seconds(), 1_001);
    }

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_with_milliseconds() {
        let check = |seconds, expected: &str| {
            assert_eq!(Timestamp::from_unix_seconds(seconds).to_string(), expected);
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(1_735_689_599, "2024-12-31T23:59:59.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
    }
}
