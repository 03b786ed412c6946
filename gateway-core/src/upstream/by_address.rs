//! Maps whose keys are addresses in memory: nobody outside chooses them, so a multiplication is
//! hash enough. Each call looks its target up, and the standard library's hash took half a percent
//! of a composed answer's instructions.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with addresses for keys.
pub(super) type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<AddressHasher>>;

/// Spreads addresses, which are multiples of some power of two.
///
/// Source: Donald Knuth, "The Art of Computer Programming", volume 3, §6.4, multiplicative hashing;
/// the factor is 2^64 divided by the golden ratio.
#[derive(Debug, Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let spread = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The product's high bits are its best, and the map's buckets are chosen by the low ones.
        self.0 = spread.rotate_left(26);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(u64::try_from(number).unwrap_or_default());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher as _, BuildHasherDefault};

    use super::*;

    #[test]
    fn neighbours_are_spread_over_buckets_and_tags() {
        let hash =
            |address: usize| BuildHasherDefault::<AddressHasher>::default().hash_one(address);
        for step in [8, 16, 64, 320, 4_096] {
            let hashes: Vec<u64> =
                (0..1_024).map(|number| hash(0x7f00_0000_0000 + number * step)).collect();
            let buckets: HashSet<u64> = hashes.iter().map(|hash| hash & 2_047).collect();
            let tags: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(
                buckets.len() > 512 && tags.len() > 100,
                "{step}: {} {}",
                buckets.len(),
                tags.len()
            );
        }
    }
}
