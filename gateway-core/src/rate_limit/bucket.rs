//! The arithmetic of one bucket.
//!
//! Source: the generic cell rate algorithm (ITU-T I.371 annex A, virtual scheduling), with a cost:
//! a call of cost `c` is admitted when `max(full_at, now) + c · interval − tolerance ≤ now`.

use std::time::Duration;

use super::{BucketKey, Quota};
use crate::clock::Moment;

/// One bucket: the moment at which it will be full again (GCRA's theoretical arrival time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    full_at_us: u64,
}

/// What is taken from one bucket.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'a> {
    /// Whose bucket.
    pub key: BucketKey,
    /// What it allows.
    pub quota: &'a Quota,
    /// How much is taken.
    pub cost: u32,
}

/// A bucket after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketState {
    /// Whether the call was within it.
    pub is_admitted: bool,
    /// How many more would be admitted now.
    pub remaining: u32,
    /// How long until the bucket is full.
    pub reset_after: Duration,
    /// How long until this call would be admitted; `None` when it was, or never will be.
    pub retry_after: Option<Duration>,
    /// How long until one more would be admitted; `None` when the bucket is full.
    pub grows_after: Option<Duration>,
}

impl Bucket {
    /// Whether a call of this cost is within the bucket at `now`, and what would be left. Takes
    /// nothing.
    #[must_use]
    pub fn peek(self, quota: &Quota, cost: u32, now: Moment) -> BucketState {
        let now_us = now.as_micros();
        let debt = self.full_at_us.saturating_sub(now_us);
        let debt_after = debt.saturating_add(quota.interval_us().saturating_mul(cost.into()));
        let tolerance = quota.tolerance_us();
        if debt_after <= tolerance {
            return state(quota, debt_after, true, None);
        }
        let wait = debt_after - tolerance;
        // A call that costs more than the burst is above the tolerance of an empty bucket too.
        let retry_after = (cost <= quota.burst()).then_some(Duration::from_micros(wait));
        state(quota, debt, false, retry_after)
    }

    /// Takes a call of this cost, which [`Bucket::peek`] has admitted.
    pub fn take(&mut self, quota: &Quota, cost: u32, now: Moment) {
        let start = self.full_at_us.max(now.as_micros());
        self.full_at_us = start.saturating_add(quota.interval_us().saturating_mul(cost.into()));
    }

    /// Whether nothing is missing from it: forgetting it changes nothing.
    #[must_use]
    pub const fn is_full(self, now: Moment) -> bool {
        self.full_at_us <= now.as_micros()
    }

    /// When it will be full, to compare buckets by.
    #[must_use]
    pub const fn full_at(self) -> Moment {
        Moment::from_micros(self.full_at_us)
    }
}

/// The state of a bucket that is `debt` microseconds from being full.
///
/// After a reload that lowered a limit, an old debt may exceed what the bucket now holds.
fn state(
    quota: &Quota,
    debt: u64,
    is_admitted: bool,
    retry_after: Option<Duration>,
) -> BucketState {
    let (interval, tolerance) = (quota.interval_us(), quota.tolerance_us());
    let remaining = tolerance.saturating_sub(debt) / interval;
    let grows_after = (debt > 0).then(|| {
        let debt_with_one_more = tolerance.saturating_sub((remaining + 1) * interval);
        Duration::from_micros(debt - debt_with_one_more)
    });
    BucketState {
        is_admitted,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        reset_after: Duration::from_micros(debt),
        retry_after,
        grows_after,
    }
}
