//! Retries: whether what came of an attempt is worth another one, and when that begins.
//!
//! [`RetryPolicy`] decides on one call, and [`RetryBudget`] on what all calls to a service may
//! add to its load. Whoever makes the calls (`pipeline`) asks both, in this order.
//!
//! Invariants
//! - Pure: no clock, no I/O; time and chance are the caller's.
//! - A request is repeated only where the second one changes nothing: its method is idempotent
//!   (RFC 9110 §9.2.2), or it says itself by its `Idempotency-Key` that it may come twice.
//! - No retry begins that is not expected to end before the deadline.
//!
//! Not here: a reused connection that turns out to be dead (`client`): its request goes out once
//! more without any policy, where nothing of it was sent or it is idempotent.

mod budget;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use rand::{Rng, RngExt as _};

use crate::header::IDEMPOTENCY_KEY;
use crate::upstream::client::Answer;
use crate::upstream::failed::CallFailed;

pub use budget::{BudgetShare, RetryBudget, Taken};

/// How calls are repeated; there is none where they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at one call, the first included.
    pub attempts_max: u32,
    /// Statuses that are worth another attempt.
    pub statuses: Vec<StatusCode>,
    /// Methods that are repeated, as far as they may be; `None`: all.
    pub methods: Option<Vec<Method>>,
    /// The longest wait before the second attempt; it doubles with each further one.
    pub backoff_base: Duration,
    /// The longest wait before any.
    pub backoff_max: Duration,
    /// Time for one attempt; what takes longer is repeated. `None`: it is not, and has all that is
    /// left.
    pub per_try_timeout: Option<Duration>,
    /// Bytes of a request's body that are kept for another attempt; a longer one is sent once.
    pub replay_size_max: usize,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// What came of it is the answer, good or bad.
    Settled,
    /// It may have gone better again, and there were attempts enough.
    UsedUp,
    /// Another attempt would not end in time.
    NoTime,
    /// Another attempt, after so long.
    After(Duration),
}

/// An attempt that is over.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Its number; the first is 1.
    pub attempt: u32,
    /// What came of it.
    pub outcome: &'a Result<Answer, CallFailed>,
    /// What is left until the deadline.
    pub time_left: Duration,
    /// How long an attempt at the service takes that goes well, as far as is known.
    pub typical: Duration,
}

impl RetryPolicy {
    /// Whether a request of this head may be sent more than once.
    #[must_use]
    pub fn may_repeat(&self, method: &Method, headers: &HeaderMap) -> bool {
        self.repeats(method) && (method.is_idempotent() || headers.contains_key(IDEMPOTENCY_KEY))
    }

    /// Whether requests of this method are repeated, as far as they may be.
    #[must_use]
    pub fn repeats(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    /// Whether there is another attempt after `made`, and when.
    ///
    /// The wait is chance's, from nothing to a bound that doubles with each attempt ("full
    /// jitter"), but at least as long as the service asks for by `Retry-After`.
    ///
    /// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    pub fn next(&self, made: &Made<'_>, chance: &mut impl Rng) -> Next {
        let Some(asked) = self.asks_again(made.outcome) else { return Next::Settled };
        if made.attempt >= self.attempts_max {
            return Next::UsedUp;
        }
        let wait = self.backoff(made.attempt, chance).max(asked);
        if wait.saturating_add(made.typical) >= made.time_left {
            Next::NoTime
        } else {
            Next::After(wait)
        }
    }

    /// Time for an attempt with so much left.
    #[must_use]
    pub fn time_of(&self, time_left: Duration) -> Duration {
        self.per_try_timeout.map_or(time_left, |timeout| timeout.min(time_left))
    }

    /// Whether another attempt may go better, and how long the service wants to be left alone.
    fn asks_again(&self, outcome: &Result<Answer, CallFailed>) -> Option<Duration> {
        match outcome {
            Ok(answer) if self.statuses.contains(&answer.response.status()) => {
                retry_after(answer.response.headers())
            }
            Err(CallFailed::ResponseTimedOut(_)) => self.per_try_timeout.map(|_| Duration::ZERO),
            Err(
                CallFailed::Unreachable(_) | CallFailed::ConnectTimedOut(_) | CallFailed::Broken(_),
            ) => Some(Duration::ZERO),
            // The rest is an answer, or would be the same again; and to repeat what was turned
            // away for want of room would be no help.
            _ => None,
        }
    }

    /// Whether an attempt came to what was hoped for: an answer that is neither the service's failure
    /// nor listed as worth another attempt.
    #[must_use]
    pub fn has_succeeded(&self, outcome: &Result<Answer, CallFailed>) -> bool {
        outcome.as_ref().is_ok_and(|answer| {
            let status = answer.response.status();
            !status.is_server_error() && !self.statuses.contains(&status)
        })
    }

    fn backoff(&self, attempt: u32, chance: &mut impl Rng) -> Duration {
        let doubled = self.backoff_base.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let longest = u64::try_from(doubled.min(self.backoff_max).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(chance.random_range(0..=longest))
    }
}

/// `Retry-After` in seconds, nothing without one; `None` for a date, which no attempt of this
/// request would live to see more often than not.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let Some(value) = headers.get(header::RETRY_AFTER) else { return Some(Duration::ZERO) };
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// How long an attempt at a service takes that goes well: an average of the last few, over all
/// cores.
#[derive(Debug, Default)]
pub struct TypicalTime(AtomicU64);

impl TypicalTime {
    /// Takes an attempt in: an eighth of the new average. Of two at the same time one may be lost.
    pub fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let known = self.0.load(Ordering::Relaxed);
        let average = if known == 0 { took } else { known - known / 8 + took / 8 };
        self.0.store(average, Ordering::Relaxed);
    }

    /// The average; nothing while there was no attempt.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
