//! Durations: `250ms`, `30s`, `5m`, `1h`, `7d`.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time;

use super::{largest_unit, split_number, written_as_text};

/// A length of time, in whole milliseconds, of at most 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// A text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Not a number and a unit.
    #[error("must be a whole number and a unit: ms, s, m, h or d, such as \"250ms\" or \"5m\"")]
    Shape,
    /// Longer than [`Duration::MAX`].
    #[error("must be at most \"{}\" (100 years)", Duration::MAX)]
    TooLong,
}

/// In milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Duration {
    /// 100 years: far beyond what a bound can mean, and safe to add to any point in time.
    pub const MAX: Self = Self(time::Duration::from_secs(36_500 * 86_400));

    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(time::Duration::from_secs(seconds as u64))
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u32) -> Self {
        Self(time::Duration::from_millis(millis as u64))
    }

    /// A length of the standard library's type: whole milliseconds of it, [`Duration::MAX`] at
    /// most.
    #[must_use]
    pub fn of(length: time::Duration) -> Self {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self(time::Duration::from_millis(millis)).min(Self::MAX)
    }

    /// The standard library's type.
    #[must_use]
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let (number, unit) = split_number(text).ok_or(InvalidDuration::Shape)?;
        let (_, size) =
            UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidDuration::Shape)?;
        let milliseconds = number.checked_mul(*size).ok_or(InvalidDuration::TooLong)?;
        let duration = Self(time::Duration::from_millis(milliseconds));
        if duration > Self::MAX { Err(InvalidDuration::TooLong) } else { Ok(duration) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (number, unit) = largest_unit(milliseconds, &UNITS);
        write!(f, "{number}{unit}")
    }
}

impl Deref for Duration {
    type Target = time::Duration;

    fn deref(&self) -> &time::Duration {
        &self.0
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

written_as_text!(Duration, "duration", "A duration: \"250ms\", \"30s\", \"5m\", \"1h\", \"7d\".");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let cases = [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
            ("36500d", 36_500 * 86_400_000),
        ];
        for (text, milliseconds) in cases {
            let duration: Duration = text.parse().expect(text);
            assert_eq!(duration.as_millis(), milliseconds, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        let cases = ["", "5", "s", "1.5s", "-1s", "+1s", " 5s", "5 s", "5S", "5min", "1h30m", "٣s"];
        for text in cases {
            assert_eq!(text.parse::<Duration>(), Err(InvalidDuration::Shape), "{text:?}");
        }
        for text in ["36501d", "18446744073709551615d"] {
            assert_eq!(text.parse::<Duration>(), Err(InvalidDuration::TooLong), "{text}");
        }
    }

    #[test]
    fn it_is_written_in_the_largest_unit_that_needs_no_fraction() {
        for (text, written) in [("60s", "1m"), ("90s", "90s"), ("0d", "0ms"), ("24h", "1d")] {
            assert_eq!(text.parse::<Duration>().expect(text).to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(milliseconds in 0..=36_500 * 86_400_000_u64) {
            let duration = Duration(time::Duration::from_millis(milliseconds));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
