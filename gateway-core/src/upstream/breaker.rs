//! Breakers: who has failed too often is left alone for a while, and then tried with care.
//!
//! Closed: calls pass and are counted. Open: none passes until a pause is over. Half-open: a few
//! pass as probes; all of them must succeed for the breaker to close, and one that fails opens it
//! again, for longer. One kind of breaker serves two ends (docs/adr/0020): a target's own, which
//! refuses calls, and its ejection, which only makes the balance pass it over.
//!
//! Invariants
//! - A closed breaker takes no lock.
//! - What a call came to counts only in the era in which it was let through: no late answer of a
//!   call from before an opening closes or opens anything.
//! - A probe that is given up gives its place back, and one that takes longer than the first pause
//!   (an upload may take an hour) keeps no other call from trying.
//!
//! Not here: what counts as a failure (`targets`).

mod window;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::window::Window;
use crate::clock::Moment;
use crate::upstream::dice::Dice;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures without a success between them that open it.
    pub consecutive_failures: u32,
    /// The share of failures that opens it, if that counts as well.
    pub failure_share: Option<FailureShare>,
    /// The first pause; each further one is twice as long.
    pub open_time: Duration,
    /// The longest pause, and how long a breaker must stay closed for its pauses to be forgotten.
    pub open_time_max: Duration,
    /// Calls that may try at once after a pause, and that must succeed.
    pub probes: u32,
}

/// A share of failures that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureShare {
    /// Failed calls of a hundred.
    pub percent: u32,
    /// Fewer calls than this in the window say nothing.
    pub requests_min: u32,
    /// How far back calls count.
    pub window: Duration,
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was served.
    Succeeded,
    /// It failed, and that is the target's.
    Failed,
    /// It says nothing of the target.
    Unknown,
}

/// The right to make one call; it must be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    era: u32,
    is_probe: bool,
}

/// What a report has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The breaker is open, for so long.
    Opened(Duration),
    /// The breaker is closed again.
    Closed,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerState {
    /// Calls pass.
    Closed,
    /// None passes before then.
    Open(Moment),
    /// A few pass, to try.
    HalfOpen,
}

/// A breaker, shared by all cores.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: BreakerRules,
    /// Grows with each change between closed and not; even while closed.
    era: AtomicU32,
    failures_in_a_row: AtomicU32,
    window: Option<Window>,
    inner: Mutex<Inner>,
    dice: Dice,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Openings without a long closed time between them.
    openings: u32,
    closed_at: Moment,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open {
        until: Moment,
    },
    /// After `stale_at` a further probe is let through, whatever became of those under way.
    HalfOpen {
        probes: u32,
        succeeded: u32,
        stale_at: Moment,
    },
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub(super) fn new(rules: BreakerRules, dice: Dice) -> Self {
        let closed_at = Moment::from_micros(0);
        Self {
            window: rules.failure_share.map(|share| Window::new(share.window)),
            rules,
            era: AtomicU32::new(0),
            failures_in_a_row: AtomicU32::new(0),
            inner: Mutex::new(Inner { state: State::Closed, openings: 0, closed_at }),
            dice,
        }
    }

    /// Whether it is closed: the look that every call pays.
    #[must_use]
    pub(super) fn is_closed(&self) -> bool {
        self.era.load(Ordering::Acquire).is_multiple_of(2)
    }

    /// Whether [`Breaker::admit`] would let a call through; takes nothing.
    #[must_use]
    pub(super) fn would_admit(&self, now: Moment) -> bool {
        self.is_closed()
            || match self.inner().state {
                State::Closed => true,
                State::Open { until } => now >= until,
                State::HalfOpen { probes, stale_at, .. } => {
                    probes < self.rules.probes || now >= stale_at
                }
            }
    }

    /// Lets a call through, or not.
    pub(super) fn admit(&self, now: Moment) -> Option<Pass> {
        let era = self.era.load(Ordering::Acquire);
        if era.is_multiple_of(2) {
            return Some(Pass { era, is_probe: false });
        }
        let mut inner = self.inner();
        let era = self.era.load(Ordering::Acquire);
        match &mut inner.state {
            State::Closed => return Some(Pass { era, is_probe: false }),
            State::Open { until } if now < *until => return None,
            State::Open { .. } => {
                let stale_at = now.after(self.rules.open_time);
                inner.state = State::HalfOpen { probes: 1, succeeded: 0, stale_at };
            }
            State::HalfOpen { probes, stale_at, .. }
                if *probes < self.rules.probes || now >= *stale_at =>
            {
                *probes = probes.saturating_add(1);
                *stale_at = now.after(self.rules.open_time);
            }
            State::HalfOpen { .. } => return None,
        }
        Some(Pass { era, is_probe: true })
    }

    /// Takes in what a call came to. `may_open` is asked before a closed breaker opens.
    pub(super) fn report(
        &self,
        pass: Pass,
        verdict: Verdict,
        now: Moment,
        may_open: impl FnOnce() -> bool,
    ) -> Option<Change> {
        if pass.is_probe {
            return self.report_probe(pass, verdict, now);
        }
        if pass.era != self.era.load(Ordering::Acquire) {
            return None;
        }
        match verdict {
            Verdict::Unknown => None,
            Verdict::Succeeded => {
                // A store only where it changes something: the line is shared by all cores.
                if self.failures_in_a_row.load(Ordering::Relaxed) > 0 {
                    self.failures_in_a_row.store(0, Ordering::Relaxed);
                }
                self.window.iter().for_each(|window| window.count(now, false));
                None
            }
            Verdict::Failed => {
                let in_a_row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
                self.window.iter().for_each(|window| window.count(now, true));
                let is_due = in_a_row.saturating_add(1) >= self.rules.consecutive_failures
                    || self.is_share_too_large(now);
                if is_due && may_open() { self.open(pass, now) } else { None }
            }
        }
    }

    /// How it stands.
    #[must_use]
    pub(super) fn state(&self) -> BreakerState {
        match self.inner().state {
            State::Closed => BreakerState::Closed,
            State::Open { until } => BreakerState::Open(until),
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_share_too_large(&self, now: Moment) -> bool {
        let (Some(share), Some(window)) = (self.rules.failure_share, &self.window) else {
            return false;
        };
        let (requests, failures) = window.sums(now);
        requests >= u64::from(share.requests_min)
            && failures * 100 >= requests * u64::from(share.percent)
    }

    /// Opens a closed breaker, unless another call has done so.
    fn open(&self, pass: Pass, now: Moment) -> Option<Change> {
        let mut inner = self.inner();
        if pass.era != self.era.load(Ordering::Acquire) {
            return None;
        }
        if now.since(inner.closed_at) >= self.rules.open_time_max {
            inner.openings = 0;
        }
        self.era.fetch_add(1, Ordering::AcqRel);
        Some(self.pause(&mut inner, now))
    }

    fn report_probe(&self, pass: Pass, verdict: Verdict, now: Moment) -> Option<Change> {
        let mut inner = self.inner();
        let State::HalfOpen { probes, succeeded, .. } = &mut inner.state else { return None };
        if pass.era != self.era.load(Ordering::Acquire) {
            return None;
        }
        match verdict {
            Verdict::Unknown => {
                *probes = probes.saturating_sub(1);
                None
            }
            Verdict::Failed => {
                // A further era, as odd as this one: its other probes count no more.
                self.era.fetch_add(2, Ordering::AcqRel);
                Some(self.pause(&mut inner, now))
            }
            Verdict::Succeeded => {
                *succeeded += 1;
                if *succeeded < self.rules.probes {
                    *probes = probes.saturating_sub(1);
                    return None;
                }
                inner.state = State::Closed;
                inner.closed_at = now;
                self.failures_in_a_row.store(0, Ordering::Relaxed);
                self.window.iter().for_each(Window::clear);
                self.era.fetch_add(1, Ordering::AcqRel);
                Some(Change::Closed)
            }
        }
    }

    /// Begins a pause, twice as long as the last one.
    fn pause(&self, inner: &mut Inner, now: Moment) -> Change {
        let doubled = self.rules.open_time.saturating_mul(1 << inner.openings.min(16));
        let length = self.dice.stretch(doubled.min(self.rules.open_time_max));
        inner.openings = inner.openings.saturating_add(1);
        inner.state = State::Open { until: now.after(length) };
        Change::Opened(length)
    }
}

#[cfg(test)]
mod tests;
