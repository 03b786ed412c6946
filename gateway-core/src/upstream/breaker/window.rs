//! A rolling window: how many calls there were of late, and how many of them failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// The window moves on by one slice at a time.
const SLICES: usize = 8;

/// A slice is one word: 24 bits of its number, 20 of its calls, 20 of its failures.
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const NUMBER_MAX: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// Counts of the last while, shared by all cores.
#[derive(Debug)]
pub(super) struct Window {
    slices: [AtomicU64; SLICES],
    slice_us: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let slices = u64::try_from(SLICES).unwrap_or(u64::MAX);
        let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Self { slices: Default::default(), slice_us: (length / slices).max(1) }
    }

    pub(super) fn count(&self, now: Moment, has_failed: bool) {
        let number = self.number(now);
        let Some(slice) = self.slices.get(place(number)) else { return };
        let counted = |word: u64| {
            let (found, requests, failures) = parts(word);
            let (requests, failures) = if found == number { (requests, failures) } else { (0, 0) };
            // A full slice keeps its share: both counts stand still.
            let is_full = requests == COUNT_MAX;
            (!is_full).then(|| word_of(number, requests + 1, failures + u64::from(has_failed)))
        };
        // Full is the only error, and then nothing is to be done.
        let _ = slice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Calls and failures of the window that ends now.
    pub(super) fn sums(&self, now: Moment) -> (u64, u64) {
        let number = self.number(now);
        let ago = |then: u64| number.wrapping_sub(then) & NUMBER_MAX;
        let slices = self.slices.iter().map(|slice| parts(slice.load(Ordering::Relaxed)));
        let recent = slices.filter(|&(then, ..)| usize::try_from(ago(then)).is_ok_and(is_recent));
        recent.fold((0, 0), |(requests, failures), (_, more, failed)| {
            (requests + more, failures + failed)
        })
    }

    pub(super) fn clear(&self) {
        self.slices.iter().for_each(|slice| slice.store(0, Ordering::Relaxed));
    }

    const fn number(&self, now: Moment) -> u64 {
        (now.as_micros() / self.slice_us) & NUMBER_MAX
    }
}

const fn is_recent(slices_ago: usize) -> bool {
    slices_ago < SLICES
}

fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0) % SLICES
}

const fn parts(word: u64) -> (u64, u64, u64) {
    (word >> (2 * COUNT_BITS), (word >> COUNT_BITS) & COUNT_MAX, word & COUNT_MAX)
}

const fn word_of(number: u64, requests: u64, failures: u64) -> u64 {
    (number << (2 * COUNT_BITS)) | (requests << COUNT_BITS) | failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_count_for_as_long_as_the_window_and_not_longer() {
        let window = Window::new(Duration::from_secs(8));
        let at = |seconds: u64| Moment::from_micros(3_600_000_000 + seconds * 1_000_000);
        window.count(at(0), true);
        window.count(at(0), false);
        window.count(at(5), true);
        let sums = |seconds| window.sums(at(seconds));
        assert_eq!((sums(5), sums(7), sums(8), sums(12), sums(13)), {
            ((3, 2), (3, 2), (1, 1), (1, 1), (0, 0))
        });
        // The slice is used again, and what stood there is gone.
        window.count(at(16), false);
        assert_eq!(sums(16), (1, 0));
        window.clear();
        assert_eq!(sums(16), (0, 0));
    }

    #[test]
    fn a_full_slice_keeps_its_share() {
        let window = Window::new(Duration::from_secs(8));
        let now = Moment::from_micros(3_600_000_000);
        for n in 0..COUNT_MAX + 10 {
            window.count(now, n % 2 == 0);
        }
        let (requests, failures) = window.sums(now);
        assert_eq!((requests, failures), (COUNT_MAX, COUNT_MAX.div_ceil(2)));
    }
}
