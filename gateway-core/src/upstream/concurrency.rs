//! Adaptive concurrency: how many calls a service is given at a time, found out from how long it
//! takes, so that queues stand nowhere and those are refused who can best be.
//!
//! Additive increase, multiplicative decrease: the limit grows by one for each round of calls that
//! were answered in time; when half of a round or more was not, it falls below what was in flight by
//! half of the share that was late. A round is as many calls as the limit, from 8 to 64. Calls that
//! began before the limit fell say nothing about the new one.
//!
//! Sources: D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
//! Avoidance in Computer Networks", 1989 (why additive and multiplicative); K. K. Ramakrishnan and
//! R. Jain, "A Binary Feedback Scheme for Congestion Avoidance in Computer Networks", ACM TOCS 8(2),
//! 1990 (half of a window decides); RFC 8257 §3.3 (the decrease, by the share that is marked);
//! RFC 5681 §3.1 (it starts from what is in flight, not from a limit that nobody used).
//!
//! Invariants
//! - Shared by all cores, without a lock: a handful of atomic operations for each call.
//! - The limit starts at its maximum: a gateway that has just started refuses nobody of a service
//!   that is well.
//! - Who waits is refused; nothing queues here.
//!
//! Not here: the hard bound on requests in flight (`target`), which holds until a body has ended;
//! this one counts calls until the head of their answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::priority::Priority;

/// Calls of one round, at least and at most.
const ROUND: std::ops::RangeInclusive<u32> = 8..=64;

/// What a service's limit may be, and who may use how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcurrencySettings {
    /// The limit never falls below.
    pub min: u32,
    /// The limit never grows above.
    pub max: u32,
    /// What takes longer until the head of its answer is too late.
    pub latency_max: Duration,
    /// How much of the limit may be in flight, in percent, for a partner's call to be let in.
    pub partner_percent: u32,
    /// The same for batch calls.
    pub batch_percent: u32,
    /// The same for parts that an answer can do without.
    pub spare_percent: u32,
}

impl ConcurrencySettings {
    const fn percent(&self, priority: Priority) -> u32 {
        match priority {
            Priority::Interactive => 100,
            Priority::Partner => self.partner_percent,
            Priority::Batch => self.batch_percent,
            Priority::Spare => self.spare_percent,
        }
    }
}

/// One service's limit.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    settings: ConcurrencySettings,
    limit: AtomicU32,
    in_flight: AtomicU32,
    /// The most in flight in this round.
    peak: AtomicU32,
    /// Calls of this round in the upper half, those that were too late in the lower one.
    round: AtomicU64,
    /// How often the limit has fallen.
    falls: AtomicU32,
}

const ONE_CALL: u64 = 1 << 32;

impl ConcurrencyLimit {
    /// A limit at its maximum, with nothing in flight.
    #[must_use]
    pub fn new(settings: ConcurrencySettings) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU32::new(settings.max),
            settings,
            in_flight: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            round: AtomicU64::new(0),
            falls: AtomicU32::new(0),
        })
    }

    /// A place for one call; `None` when those of this priority have to stay out.
    #[must_use]
    pub fn enter(self: &Arc<Self>, priority: Priority) -> Option<Place> {
        let room = u64::from(self.limit()) * u64::from(self.settings.percent(priority));
        // The first call of whatever priority is let in: its share may round to nothing.
        let has_room = |taken: u32| taken == 0 || u64::from(taken) * 100 + 100 <= room;
        let one_more = |taken: u32| has_room(taken).then(|| taken + 1);
        let before =
            self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        self.peak.fetch_max(before + 1, Ordering::Relaxed);
        let falls = self.falls.load(Ordering::Relaxed);
        Some(Place { limit: Arc::clone(self), falls, since: Instant::now(), has_told: false })
    }

    /// What it may be.
    #[must_use]
    pub const fn settings(&self) -> &ConcurrencySettings {
        &self.settings
    }

    /// The limit now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Calls whose answers have not begun.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn note(&self, is_late: bool) {
        let added = ONE_CALL + u64::from(is_late);
        let round = self.round.fetch_add(added, Ordering::Relaxed).wrapping_add(added);
        let (calls, late) = (round >> 32, round & (ONE_CALL - 1));
        if calls < u64::from(self.limit().clamp(*ROUND.start(), *ROUND.end())) {
            return;
        }
        // Whoever ends the round decides; one that comes between lets the next one do it.
        let ended = self.round.compare_exchange(round, 0, Ordering::Relaxed, Ordering::Relaxed);
        if ended.is_ok() {
            self.end_round(calls, late);
        }
    }

    fn end_round(&self, calls: u64, late: u64) {
        let is_late = late * 2 >= calls;
        let peak = self.peak.swap(self.in_flight(), Ordering::Relaxed);
        let ConcurrencySettings { min, max, .. } = self.settings;
        let limit = self.limit();
        let adapted = if is_late {
            let used = u64::from(limit.min(peak));
            let fall = used * late / (calls * 2);
            u32::try_from(used - fall).unwrap_or(limit).max(min)
        } else if peak.saturating_mul(2) >= limit {
            (limit + 1).min(max)
        } else {
            // Nobody came near it: nothing was learned.
            limit
        };
        if is_late {
            self.falls.fetch_add(1, Ordering::Relaxed);
        }
        self.limit.store(adapted, Ordering::Relaxed);
    }
}

/// One call's place, until its answer begins or it is given up.
///
/// Dropped, it tells nothing, unless it was held for too long: whoever gave up has waited.
#[derive(Debug)]
pub struct Place {
    limit: Arc<ConcurrencyLimit>,
    falls: u32,
    since: Instant,
    has_told: bool,
}

/// What a call tells about its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// It was answered after so long.
    Answered(Duration),
    /// The service says itself that it has too much to do.
    Overloaded,
    /// Nothing: it failed for another reason.
    Nothing,
}

impl Place {
    /// The place of a call from which nothing can be learned.
    #[must_use]
    pub const fn mute(mut self) -> Self {
        self.has_told = true;
        self
    }

    /// The place of a call that begins only now, mute while the gateway itself has had it wait.
    #[must_use]
    pub fn from_now(mut self) -> Self {
        self.falls = self.limit.falls.load(Ordering::Relaxed);
        (self.since, self.has_told) = (Instant::now(), false);
        self
    }

    /// Gives the place back with what was learned.
    pub fn leave(mut self, sample: Sample) {
        if std::mem::replace(&mut self.has_told, true) {
            return;
        }
        match sample {
            Sample::Answered(took) => self.tell(took > self.limit.settings.latency_max),
            Sample::Overloaded => self.tell(true),
            Sample::Nothing => {}
        }
    }

    fn tell(&self, is_late: bool) {
        if self.falls == self.limit.falls.load(Ordering::Relaxed) {
            self.limit.note(is_late);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.has_told && self.since.elapsed() > self.limit.settings.latency_max {
            self.tell(true);
        }
        self.limit.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const LATENCY_MAX: Duration = Duration::from_millis(100);

    fn settings(min: u32, max: u32) -> ConcurrencySettings {
        ConcurrencySettings {
            min,
            max,
            latency_max: LATENCY_MAX,
            partner_percent: 80,
            batch_percent: 60,
            spare_percent: 50,
        }
    }

    fn limit(min: u32, max: u32) -> Arc<ConcurrencyLimit> {
        ConcurrencyLimit::new(settings(min, max))
    }

    /// One round with so many calls in flight, all of which tell the same.
    fn round(limit: &Arc<ConcurrencyLimit>, in_flight: u32, sample: Sample) {
        let mut calls = limit.limit().clamp(8, 64);
        while calls > 0 {
            let places = (0..in_flight).map_while(|_| limit.enter(Priority::Interactive));
            for place in places.collect::<Vec<_>>() {
                place.leave(if calls > 0 { sample } else { Sample::Nothing });
                calls = calls.saturating_sub(1);
            }
        }
    }

    #[test]
    fn the_lowest_priority_is_turned_away_first() {
        let limit = limit(10, 10);
        let let_in = |priority| limit.enter(priority).is_some();
        let mut held = Vec::new();
        for (in_flight, expected) in [
            (0, [true, true, true, true]),
            (4, [true, true, true, true]),
            (5, [false, true, true, true]),
            (6, [false, false, true, true]),
            (8, [false, false, false, true]),
            (10, [false, false, false, false]),
        ] {
            while held.len() < in_flight {
                held.extend(limit.enter(Priority::Interactive));
            }
            let all = [Priority::Spare, Priority::Batch, Priority::Partner, Priority::Interactive];
            assert_eq!(all.map(let_in), expected, "{in_flight} in flight");
        }
        held.clear();
        assert_eq!(limit.in_flight(), 0, "a place that is dropped is free");
    }

    #[test]
    fn a_small_limit_still_lets_one_of_each_in() {
        let limit = limit(1, 1);
        for priority in [Priority::Spare, Priority::Batch, Priority::Partner] {
            assert!(limit.enter(priority).is_some(), "{priority:?}");
        }
    }

    #[test]
    fn a_late_round_lowers_the_limit_from_what_was_in_flight_and_good_ones_raise_it_by_one() {
        let limit = limit(4, 1_000);
        let (good, late) = (Sample::Answered(LATENCY_MAX), Sample::Answered(LATENCY_MAX * 2));
        round(&limit, 40, late);
        assert_eq!(limit.limit(), 20, "half of the 40 in flight");
        round(&limit, 20, good);
        assert_eq!(limit.limit(), 21);
        round(&limit, 5, good);
        assert_eq!(limit.limit(), 21, "nobody came near it");
        round(&limit, 21, Sample::Overloaded);
        assert_eq!(limit.limit(), 11);
        round(&limit, 4, late);
        assert_eq!(limit.limit(), 4, "never below the minimum");
    }

    #[test]
    fn it_takes_half_of_a_round_to_lower_it_and_more_lower_it_further() {
        for (late, expected) in [(3, 9), (4, 6), (8, 4)] {
            let limit = limit(2, 9);
            limit.limit.store(8, Ordering::Relaxed);
            let places: Vec<_> =
                (0..8).filter_map(|_| limit.enter(Priority::Interactive)).collect();
            for (number, place) in places.into_iter().enumerate() {
                let is_late = number < late;
                place.leave(Sample::Answered(if is_late { LATENCY_MAX * 2 } else { LATENCY_MAX }));
            }
            assert_eq!(limit.limit(), expected, "{late} of 8 late");
        }
    }

    #[test]
    fn what_began_before_a_fall_does_not_cause_another() {
        let limit = limit(4, 100);
        let places: Vec<_> = (0..100).filter_map(|_| limit.enter(Priority::Interactive)).collect();
        places.into_iter().for_each(|place| place.leave(Sample::Overloaded));
        assert_eq!(limit.limit(), 50, "one fall for a hundred that stood in one queue");
    }

    #[test]
    fn a_failure_that_says_nothing_about_load_changes_nothing() {
        let limit = limit(4, 100);
        for _ in 0..1_000 {
            limit.enter(Priority::Interactive).expect("room").leave(Sample::Nothing);
            limit.enter(Priority::Interactive).expect("room").mute().leave(Sample::Overloaded);
        }
        assert_eq!((limit.limit(), limit.in_flight()), (100, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_were_given_up_after_too_long_are_late() {
        for (held_for, expected) in [(LATENCY_MAX, 100), (LATENCY_MAX * 2, 40)] {
            let limit = limit(4, 100);
            let places: Vec<_> =
                (0..80).filter_map(|_| limit.enter(Priority::Interactive)).collect();
            tokio::time::advance(held_for).await;
            drop(places);
            assert_eq!(limit.limit(), expected, "{held_for:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_call_has_waited_for_in_the_gateway_is_not_late() {
        let limit = limit(4, 100);
        let mute = || limit.enter(Priority::Interactive).map(Place::mute);
        let mut waiting: Vec<_> = (0..80).filter_map(|_| mute()).collect();
        tokio::time::advance(LATENCY_MAX * 2).await;
        let begun: Vec<_> = waiting.drain(..40).map(Place::from_now).collect();
        drop(waiting);
        begun.into_iter().for_each(|place| place.leave(Sample::Answered(LATENCY_MAX)));
        assert_eq!((limit.limit(), limit.in_flight()), (100, 0));
        let begun: Vec<_> = (0..100).filter_map(|_| mute().map(Place::from_now)).collect();
        tokio::time::advance(LATENCY_MAX * 2).await;
        drop(begun);
        assert!(limit.limit() < 100, "from then on it is");
    }

    #[test]
    fn cores_together_never_exceed_the_limit() {
        let limit = limit(8, 16);
        let cores = [0; 4].map(|_| {
            let limit = Arc::clone(&limit);
            thread::spawn(move || {
                let mut most = 0;
                for _ in 0..2_000 {
                    let place = limit.enter(Priority::Interactive);
                    most = most.max(limit.in_flight());
                    place.into_iter().for_each(|place| place.leave(Sample::Overloaded));
                }
                most
            })
        });
        let most = cores.into_iter().map(|core| core.join().expect("no panic")).max();
        assert!(most.is_some_and(|most| most <= 16), "{most:?}");
        assert_eq!(limit.in_flight(), 0);
        assert!((8..=16).contains(&limit.limit()));
    }

    /// A service that works on `capacity` calls at a time, each for 50 ms; the others stand in its
    /// queue. Clients always want more. What calls took in the second half, and the last limit.
    fn simulated(capacity: u32, rounds: u32) -> (Duration, u32) {
        let limit = limit(4, 2_000);
        let mut queue = VecDeque::new();
        let (mut now, mut slowest) = (Duration::ZERO, Duration::ZERO);
        for step in 0..rounds {
            while let Some(place) = limit.enter(Priority::Interactive) {
                queue.push_back((now, place));
            }
            now += Duration::from_millis(50);
            for _ in 0..capacity {
                let Some((since, place)) = queue.pop_front() else { break };
                place.leave(Sample::Answered(now - since));
                if step > rounds / 2 {
                    slowest = slowest.max(now - since);
                }
            }
        }
        (slowest, limit.limit())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn under_lasting_overload_calls_take_little_longer_than_they_may(capacity in 8..200_u32) {
            let (slowest, limit) = simulated(capacity, 2_000);
            prop_assert!(slowest <= LATENCY_MAX * 2, "{:?}", slowest);
            prop_assert!(limit >= capacity, "the service has enough to do: {} < {}", limit, capacity);
        }
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(
            min in 1..50_u32, more in 0..50_u32,
            samples in prop::collection::vec((1..60_u32, 0..300_u64), 1..60),
        ) {
            let limit = limit(min, min + more);
            for (in_flight, took) in samples {
                round(&limit, in_flight, Sample::Answered(Duration::from_millis(took)));
                prop_assert!((min..=min + more).contains(&limit.limit()));
                prop_assert_eq!(limit.in_flight(), 0);
            }
        }
    }
}
