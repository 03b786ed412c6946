//! Rates: `5/s`, `100/min`, `1000/h`, `50000/d`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::{split_number, written_as_text};

/// So many requests in such a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    requests: NonZeroU32,
    period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Period {
    Second,
    Minute,
    Hour,
    Day,
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    /// Not a number, a slash and a period.
    #[error("must be a whole number, `/` and a period: s, min, h or d, such as \"100/min\"")]
    Shape,
    /// Nothing, or more than [`Rate::REQUESTS_MAX`].
    #[error("must allow from 1 to {} requests", Rate::REQUESTS_MAX)]
    Requests,
}

impl Rate {
    /// A billion: one request in a nanosecond, the finest a bucket counts.
    pub const REQUESTS_MAX: u32 = 1_000_000_000;

    /// The requests that one period allows.
    #[must_use]
    pub const fn requests(self) -> NonZeroU32 {
        self.requests
    }

    /// The period: a second, a minute, an hour or a day.
    #[must_use]
    pub const fn period(self) -> Duration {
        let seconds = match self.period {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3_600,
            Period::Day => 86_400,
        };
        Duration::from_secs(seconds)
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (number, rest) = split_number(text).ok_or(InvalidRate::Shape)?;
        let period = match rest {
            "/s" => Period::Second,
            "/min" => Period::Minute,
            "/h" => Period::Hour,
            "/d" => Period::Day,
            _ => return Err(InvalidRate::Shape),
        };
        let requests =
            u32::try_from(number).ok().filter(|&requests| requests <= Self::REQUESTS_MAX);
        let requests = requests.and_then(NonZeroU32::new).ok_or(InvalidRate::Requests)?;
        Ok(Self { requests, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => "s",
            Period::Minute => "min",
            Period::Hour => "h",
            Period::Day => "d",
        };
        write!(f, "{}/{period}", self.requests)
    }
}

written_as_text!(Rate, "rate", "A rate: \"5/s\", \"100/min\", \"1000/h\", \"50000/d\".");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_number_of_requests_and_a_period() {
        let cases =
            [("5/s", 5, 1), ("100/min", 100, 60), ("1000/h", 1_000, 3_600), ("1/d", 1, 86_400)];
        for (text, requests, seconds) in cases {
            let rate: Rate = text.parse().expect(text);
            assert_eq!((rate.requests().get(), rate.period().as_secs()), (requests, seconds));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in ["", "5", "/min", "5/m", "5 / min", "5/minute", "-5/min", "1.5/s", "5/MIN"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate::Shape), "{text:?}");
        }
        for text in ["0/min", "1000000001/s", "18446744073709551615/d"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate::Requests), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(
            requests in 1..=Rate::REQUESTS_MAX, period in prop::sample::select(vec!["s", "min", "h", "d"])
        ) {
            let text = format!("{requests}/{period}");
            prop_assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()), Ok(text));
        }
    }
}
