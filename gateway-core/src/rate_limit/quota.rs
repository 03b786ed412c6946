//! What is allowed: so many in a period, and so many at once.

use std::time::Duration;

/// A rate with a burst, in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    limit: u32,
    period: Duration,
    burst: u32,
    interval_us: u64,
    tolerance_us: u64,
}

/// A quota that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuota {
    /// Nothing is allowed at all.
    #[error("must allow at least one request, and at least one at once")]
    Nothing,
    /// More than one in a microsecond.
    #[error("must not allow more than one request in a microsecond")]
    TooFast,
    /// An empty bucket would fill for longer than any machine runs.
    #[error("must allow its whole burst again within {} years", Quota::FILLS_WITHIN_YEARS)]
    TooSlow,
}

impl Quota {
    /// Keeps every sum of a moment and a few waits far from overflowing.
    const FILLS_WITHIN_YEARS: u64 = 1_000;
    const FILLS_WITHIN_US: u64 = Self::FILLS_WITHIN_YEARS * 365 * 86_400 * 1_000_000;

    /// `limit` requests in `period`, up to `burst` of them at once.
    ///
    /// The interval between two is rounded up to a microsecond, so that no rounding ever allows
    /// more than was asked for.
    ///
    /// # Errors
    ///
    /// [`InvalidQuota`] when nothing would be allowed, or more or less than microseconds can count.
    pub fn build(limit: u32, period: Duration, burst: u32) -> Result<Self, InvalidQuota> {
        if limit == 0 || burst == 0 {
            return Err(InvalidQuota::Nothing);
        }
        let period_us = u64::try_from(period.as_micros()).map_err(|_| InvalidQuota::TooSlow)?;
        if period_us < u64::from(limit) {
            return Err(InvalidQuota::TooFast);
        }
        let interval_us = period_us.div_ceil(u64::from(limit));
        let tolerance_us = interval_us
            .checked_mul(u64::from(burst))
            .filter(|tolerance_us| *tolerance_us <= Self::FILLS_WITHIN_US)
            .ok_or(InvalidQuota::TooSlow)?;
        Ok(Self { limit, period, burst, interval_us, tolerance_us })
    }

    /// How many in a period.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The period.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Microseconds until one more is allowed: the emission interval T of GCRA.
    pub(super) const fn interval_us(&self) -> u64 {
        self.interval_us
    }

    /// Microseconds that an empty bucket takes to fill: GCRA's limit τ.
    pub(super) const fn tolerance_us(&self) -> u64 {
        self.tolerance_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_cannot_be_kept_is_refused() {
        let check = |limit, period, burst, expected| {
            assert_eq!(Quota::build(limit, period, burst).err(), expected, "{limit}/{period:?}");
        };
        let second = Duration::from_secs(1);
        check(1, second, 1, None);
        check(1_000_000, second, 1, None);
        check(1_000_001, second, 1, Some(InvalidQuota::TooFast));
        check(1, Duration::ZERO, 1, Some(InvalidQuota::TooFast));
        check(0, second, 1, Some(InvalidQuota::Nothing));
        check(1, second, 0, Some(InvalidQuota::Nothing));
        check(1, second, u32::MAX, None);
        check(1, Duration::MAX, 1, Some(InvalidQuota::TooSlow));
        check(1, Duration::from_secs(365 * 86_400), 1_001, Some(InvalidQuota::TooSlow));
    }

    #[test]
    fn an_interval_is_rounded_up_so_that_no_more_than_the_limit_is_allowed() {
        let quota = Quota::build(7, Duration::from_secs(60), 2).expect("a quota");
        assert_eq!((quota.interval_us(), quota.tolerance_us()), (8_571_429, 17_142_858));
    }
}
