//! When keys are fetched: a poll that nobody can hold up, and a small budget for those who ask.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::clock::Moment;

/// How long an issuer may ask to be left alone, whatever its `Cache-Control` says.
const FRESHNESS: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(24 * 60 * 60);

/// First wait after a failed fetch; doubled with each further one, up to the poll's interval.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// When the next fetch is due, and whether one out of turn is granted.
#[derive(Debug)]
pub(super) struct Schedule {
    poll_interval: Duration,
    refetch_cooldown: Duration,
    due_at: Moment,
    refetched_at: Option<Moment>,
    failures: u32,
}

impl Schedule {
    /// The first fetch is due at once.
    pub(super) fn new(now: Moment, poll_interval: Duration, refetch_cooldown: Duration) -> Self {
        // Never zero, which would poll without a pause.
        let poll_interval = poll_interval.max(Duration::from_millis(1));
        Self { poll_interval, refetch_cooldown, due_at: now, refetched_at: None, failures: 0 }
    }

    /// How long until the next poll.
    pub(super) const fn due_in(&self, now: Moment) -> Duration {
        self.due_at.since(now)
    }

    /// Whether somebody who misses a key may have the keys fetched now. Never moves the poll: who
    /// keeps this budget spent delays others by one poll at most.
    pub(super) fn grant_refetch(&mut self, now: Moment) -> bool {
        let is_granted =
            self.refetched_at.is_none_or(|before| now.since(before) >= self.refetch_cooldown);
        if is_granted {
            self.refetched_at = Some(now);
        }
        is_granted
    }

    /// A fetch succeeded, and its answer is fresh for so long, if it says so. Returns how many
    /// had failed before.
    pub(super) fn succeeded(&mut self, now: Moment, freshness: Option<Duration>) -> u32 {
        let wait = freshness
            .map_or(self.poll_interval, |asked| asked.clamp(*FRESHNESS.start(), *FRESHNESS.end()));
        self.due_at = now.after(wait);
        std::mem::take(&mut self.failures)
    }

    /// A fetch failed. Returns how many have failed in a row.
    pub(super) fn failed(&mut self, now: Moment) -> u32 {
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16));
        let retry_at = now.after(backoff.min(self.poll_interval));
        // Out of turn, a failure may bring the poll forward, never put it off.
        self.due_at = if self.due_at > now { self.due_at.min(retry_at) } else { retry_at };
        self.failures = self.failures.saturating_add(1);
        self.failures
    }
}

/// The `max-age` of a `Cache-Control` (RFC 9111 §5.2.2); nothing at all when the answer must not
/// be used unchecked.
pub(super) fn freshness(cache_control: &str) -> Option<Duration> {
    let mut max_age = None;
    for directive in cache_control.split(',').map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        let digits = value.trim_matches('"');
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if name.eq_ignore_ascii_case("max-age") && is_number {
            max_age = Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
        }
    }
    max_age
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_micros(3_600_000_000);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule() -> Schedule {
        Schedule::new(START, seconds(300), seconds(30))
    }

    #[test]
    fn what_an_issuer_says_of_freshness_is_kept_between_a_minute_and_a_day() {
        for (cache_control, expected) in [
            (None, 300),
            (Some("public"), 300),
            (Some("max-age=0"), 60),
            (Some("max-age=59"), 60),
            (Some("public, max-age=600, must-revalidate"), 600),
            (Some("Max-Age=\"600\""), 600),
            (Some("max-age=315360000"), 86_400),
            (Some("max-age=99999999999999999999999999"), 86_400),
            (Some("max-age=-1"), 300),
            (Some("max-age="), 300),
            (Some("no-store, max-age=600"), 60),
            (Some("no-cache"), 60),
        ] {
            let mut schedule = schedule();
            schedule.succeeded(START, cache_control.and_then(freshness));
            assert_eq!(schedule.due_in(START), seconds(expected), "{cache_control:?}");
        }
    }

    #[test]
    fn who_misses_a_key_is_granted_one_fetch_in_thirty_seconds() {
        let mut schedule = schedule();
        let mut granted = Vec::new();
        for second in 0..100 {
            // As many as a thousand unknown keys in each second.
            let now = START.after(seconds(second));
            let grants = (0..1_000).filter(|_| schedule.grant_refetch(now)).count();
            granted.extend(std::iter::repeat_n(second, grants));
        }
        assert_eq!(granted, [0, 30, 60, 90]);
    }

    #[test]
    fn a_budget_kept_spent_never_moves_the_poll() {
        let mut schedule = schedule();
        schedule.succeeded(START, None);
        for second in (0..300).step_by(30) {
            let now = START.after(seconds(second));
            assert!(schedule.grant_refetch(now));
            assert_eq!(now.after(schedule.due_in(now)), START.after(seconds(300)));
        }
    }

    #[test]
    fn failures_are_retried_ever_more_slowly_and_at_least_as_often_as_polls() {
        let mut schedule = schedule();
        let mut now = START;
        let mut waits = Vec::new();
        for _ in 0..11 {
            schedule.failed(now);
            waits.push(schedule.due_in(now).as_secs());
            now = now.after(schedule.due_in(now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(schedule.succeeded(now, None), 11);
        assert_eq!(schedule.failed(now), 1);
        assert_eq!(schedule.due_in(now), seconds(1), "a success starts the waits anew");
    }

    #[test]
    fn a_failure_out_of_turn_brings_the_poll_forward_and_never_puts_it_off() {
        let mut schedule = schedule();
        schedule.succeeded(START, None);
        schedule.failed(START.after(seconds(100)));
        assert_eq!(schedule.due_in(START.after(seconds(100))), seconds(1));
        for _ in 0..9 {
            schedule.failed(START.after(seconds(100)));
        }
        assert_eq!(schedule.due_in(START.after(seconds(100))), seconds(1));
    }
}
