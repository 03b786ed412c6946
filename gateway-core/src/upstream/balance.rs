//! Balance: which of several targets takes the next call.
//!
//! Least request is "the power of two choices" (Mitzenmacher, 2001): of two drawn at random, in
//! proportion to their weights, the one with fewer requests in flight for its weight. It needs no
//! look at all targets and never sends everything to the one that was idle last. While nothing is
//! in flight both are equal, the first one drawn is taken, and shares are the weights exactly.
//!
//! Round robin goes through a fixed list in which each target stands as often as it weighs, spread
//! out ("smooth weighted round robin", as nginx has it). A target that is out is passed over by
//! taking the next turn, so that its share falls to all others and not to its neighbour.
//!
//! Not here: which targets take calls at all (`targets`, `breaker`).

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::upstream::dice::Dice;

/// How targets take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The less loaded of two that are drawn at random.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
}

impl Balance {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeastRequest => "least_request",
            Self::RoundRobin => "round_robin",
        }
    }
}

/// The most endpoints of one service: so many fit into a `Places`.
pub(super) const ENDPOINTS_MAX: usize = 128;

/// Some of a service's endpoints, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Places(u128);

impl Places {
    pub(super) const fn add(&mut self, place: usize) {
        if place < ENDPOINTS_MAX {
            self.0 |= 1 << place;
        }
    }

    pub(super) const fn remove(&mut self, place: usize) {
        if place < ENDPOINTS_MAX {
            self.0 &= !(1 << place);
        }
    }

    pub(super) const fn has(self, place: usize) -> bool {
        place < ENDPOINTS_MAX && self.0 & (1 << place) != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn first(self) -> Option<usize> {
        if self.is_empty() { None } else { Some(self.0.trailing_zeros() as usize) }
    }

    const fn has_one(self) -> bool {
        self.0.is_power_of_two()
    }
}

/// Takes turns between endpoints of certain weights.
#[derive(Debug)]
pub(super) enum Turns {
    LeastRequest { weights: Box<[u32]> },
    RoundRobin { order: Box<[u8]>, turn: AtomicUsize },
}

impl Turns {
    /// Turns between as many endpoints as there are weights.
    pub(super) fn new(balance: Balance, weights: &[u32]) -> Self {
        match balance {
            Balance::LeastRequest => Self::LeastRequest { weights: weights.into() },
            Balance::RoundRobin => {
                Self::RoundRobin { order: spread_out(weights), turn: AtomicUsize::new(0) }
            }
        }
    }

    /// One of `places`; `None` when there are none. `load` is what is in flight at a place.
    pub(super) fn next(
        &self,
        places: Places,
        dice: &Dice,
        load: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        if places.has_one() {
            return places.first();
        }
        match self {
            Self::LeastRequest { weights } => {
                let first = draw(weights, places, dice)?;
                let mut others = places;
                others.remove(first);
                let second = draw(weights, others, dice)?;
                let per_weight = |place: usize, other: usize| {
                    let weight = weights.get(other).copied().unwrap_or(1);
                    u64::from(load(place)) * u64::from(weight)
                };
                let is_first = per_weight(first, second) <= per_weight(second, first);
                Some(if is_first { first } else { second })
            }
            Self::RoundRobin { order, turn } => {
                let mut turns = order.iter().map(|_| turn.fetch_add(1, Ordering::Relaxed));
                let place = |turn: usize| order.get(turn % order.len()).map(|&at| usize::from(at));
                // Others may take every turn that would have been right: then any will do.
                turns.find_map(|turn| place(turn).filter(|&at| places.has(at))).or(places.first())
            }
        }
    }
}

/// One of `places`, as likely as it weighs.
fn draw(weights: &[u32], places: Places, dice: &Dice) -> Option<usize> {
    let weighed = || weights.iter().enumerate().filter(|(place, _)| places.has(*place));
    let total = weighed().map(|(_, &weight)| u64::from(weight)).sum();
    let mut left = dice.below(total);
    for (place, &weight) in weighed() {
        match left.checked_sub(u64::from(weight)) {
            Some(rest) => left = rest,
            None => return Some(place),
        }
    }
    None
}

/// Each place as often as it weighs, and never many times together.
///
/// At each step every place gains its weight, and the richest one is taken and pays the total.
fn spread_out(weights: &[u32]) -> Box<[u8]> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut gained = vec![0; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        gained.iter_mut().zip(&weights).for_each(|(gained, weight)| *gained += weight);
        // The first of the richest, so that equal ones go in the order in which they are written.
        let Some((place, richest)) =
            gained.iter_mut().enumerate().rev().max_by_key(|(_, gained)| **gained)
        else {
            break;
        };
        *richest -= total;
        order.extend(u8::try_from(place));
    }
    order.into()
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(count: usize) -> Places {
        let mut places = Places::default();
        (0..count).for_each(|place| places.add(place));
        places
    }

    /// How often each place is taken in so many turns, with nothing in flight.
    fn taken(turns: &Turns, places: Places, count: usize, dice: &Dice) -> Vec<u32> {
        let mut taken = vec![0; ENDPOINTS_MAX];
        for _ in 0..count {
            taken[turns.next(places, dice, |_| 0).expect("a place")] += 1;
        }
        taken
    }

    #[test]
    fn round_robin_spreads_each_target_s_turns_out() {
        let check = |weights: &[u32], expected: &[u8]| {
            assert_eq!(*spread_out(weights), *expected, "{weights:?}");
        };
        check(&[1, 1, 1], &[0, 1, 2]);
        check(&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]);
        check(&[2, 4], &[1, 0, 1]);
        check(&[100, 100], &[0, 1]);
        check(&[7], &[0]);
    }

    #[test]
    fn the_turns_of_a_target_that_is_out_fall_to_all_others_alike() {
        let turns = Turns::new(Balance::RoundRobin, &[1, 1, 1]);
        let mut places = all(3);
        places.remove(0);
        assert_eq!(taken(&turns, places, 60, &Dice::seeded(1))[..3], [0, 30, 30]);
    }

    #[test]
    fn of_two_the_one_with_less_in_flight_for_its_weight_is_taken() {
        let check = |weights: [u32; 2], load: [u32; 2], expected: usize| {
            let turns = Turns::new(Balance::LeastRequest, &weights);
            let dice = Dice::seeded(3);
            for _ in 0..100 {
                let next = turns.next(all(2), &dice, |place| load[place]);
                assert_eq!(next, Some(expected), "{weights:?} {load:?}");
            }
        };
        check([1, 1], [3, 2], 1);
        check([1, 1], [0, 1], 0);
        check([3, 1], [5, 2], 0);
        check([3, 1], [7, 2], 1);
    }

    #[test]
    fn calls_that_last_are_kept_in_proportion_to_the_weights() {
        let weights = [1, 2, 5];
        let turns = Turns::new(Balance::LeastRequest, &weights);
        let dice = Dice::seeded(11);
        let mut in_flight = [0_u32; 3];
        for _ in 0..800 {
            let next = turns.next(all(3), &dice, |place| in_flight[place]).expect("a place");
            in_flight[next] += 1;
        }
        for (place, weight) in weights.into_iter().enumerate() {
            assert!(in_flight[place].abs_diff(weight * 100) <= 12, "{in_flight:?}");
        }
    }

    #[test]
    fn where_no_target_takes_calls_none_is_taken() {
        for balance in [Balance::LeastRequest, Balance::RoundRobin] {
            let turns = Turns::new(balance, &[1, 1]);
            assert_eq!(turns.next(Places::default(), &Dice::seeded(1), |_| 0), None);
        }
    }

    proptest! {
        /// Over many calls each target gets its weight's share: exactly in round robin, nearly in
        /// least request; and one that is out never gets any.
        #[test]
        fn every_target_gets_the_share_of_its_weight(
            weights in prop::collection::vec(1..=100_u32, 1..8),
            out in 0_usize..8,
            seed: u64,
        ) {
            let mut places = all(weights.len());
            if weights.len() > 1 {
                places.remove(out);
            }
            let dice = Dice::seeded(seed);
            let total: u32 = weights.iter().sum();
            let rounds = usize::try_from(total).expect("small");
            let turns = Turns::new(Balance::RoundRobin, &weights);
            let full = taken(&turns, all(weights.len()), rounds * 2, &dice);
            for (place, weight) in weights.iter().enumerate() {
                prop_assert_eq!(full[place], weight * 2);
            }
            for balance in [Balance::RoundRobin, Balance::LeastRequest] {
                let turns = Turns::new(balance, &weights);
                let taken = taken(&turns, places, 20_000, &dice);
                let eligible = |place: &usize| places.has(*place);
                let total: u32 = (0..weights.len()).filter(eligible).map(|at| weights[at]).sum();
                for (place, weight) in weights.iter().enumerate() {
                    if !places.has(place) {
                        prop_assert_eq!(taken[place], 0);
                        continue;
                    }
                    let share = f64::from(taken[place]) / 20_000.0;
                    let due = f64::from(*weight) / f64::from(total);
                    prop_assert!((share - due).abs() < 0.02, "{place}: {share} for {due}");
                }
            }
        }
    }
}
