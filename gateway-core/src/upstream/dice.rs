//! Dice: random numbers that all cores may draw, and that a test can foresee.
//!
//! Source: splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
//! Its state only ever grows by a constant, so one atomic addition draws a number. For spreading
//! load and pauses; nothing secret comes from here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt as _;

/// The generator's step: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A source of random numbers.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    /// Dice that always roll the same.
    #[must_use]
    pub(super) const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Dice that roll as nobody can foresee.
    #[must_use]
    pub(super) fn random() -> Self {
        Self::seeded(rand::rng().random())
    }

    /// Any number.
    pub(super) fn roll(&self) -> u64 {
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, each as likely as any other; 0 where there is none below.
    pub(super) fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.roll()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A length from the given one to a quarter more: what began together does not end together.
    pub(super) fn stretch(&self, length: Duration) -> Duration {
        let quarter = u64::try_from(length.as_micros() / 4).unwrap_or(u64::MAX - 1);
        length + Duration::from_micros(self.below(quarter + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same_and_every_side_comes_up_as_often() {
        let (one, other) = (Dice::seeded(7), Dice::seeded(7));
        let mut sides = [0_u32; 6];
        for _ in 0..60_000 {
            let side = one.below(6);
            assert_eq!(side, other.below(6));
            sides[usize::try_from(side).expect("small")] += 1;
        }
        assert!(sides.iter().all(|&count| (9_600..10_400).contains(&count)), "{sides:?}");
        assert_eq!(one.below(0), 0);
    }

    #[test]
    fn a_stretched_length_is_never_shorter_and_at_most_a_quarter_longer() {
        let dice = Dice::seeded(1);
        let length = Duration::from_secs(4);
        let stretched: Vec<_> = (0..1_000).map(|_| dice.stretch(length)).collect();
        assert!(stretched.iter().all(|one| (4_000..=5_000).contains(&one.as_millis())));
        assert!(stretched.iter().any(|one| one.as_millis() < 4_100));
        assert!(stretched.iter().any(|one| one.as_millis() > 4_900));
    }
}
