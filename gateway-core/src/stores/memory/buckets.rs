//! Buckets in memory: sharded, bounded, and charged all or none.
//!
//! A shard is an ordinary map under a lock that is held for the arithmetic alone. A shard that is
//! full makes room for many at once, so that a new bucket costs little on average however many
//! strangers call: buckets that are full again go first, since a new one is the same; then those
//! that would be full soonest. Whoever is closest to the limit is forgotten last.
//!
//! Invariants
//! - A call that needs several shards locks them in ascending order.
//! - Charging up to four buckets that exist neither allocates nor waits for anything but those locks.

use std::array;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use crate::clock::Moment;
use crate::rate_limit::{Bucket, BucketKey, BucketState, Charge};

/// Enough that a few cores seldom wait for each other.
const SHARDS: usize = 32;

/// As many as a request is charged for is nearly always no more than fit in here.
type Few<T> = SmallVec<[T; 4]>;

/// The part of a full shard that is emptied at once.
const ROOM: usize = 8;

/// The buckets of one process.
#[derive(Debug)]
pub struct MemoryBuckets {
    shards: [Mutex<Shard>; SHARDS],
    per_shard_max: AtomicUsize,
}

impl MemoryBuckets {
    /// At most so many buckets, rounded up to a whole number for each shard.
    #[must_use]
    pub fn new(buckets_max: usize) -> Self {
        let shards = array::from_fn(|_| Mutex::default());
        Self { shards, per_shard_max: per_shard_max(buckets_max).into() }
    }

    /// From now on at most so many: those above it go with the next that is new.
    pub fn resize(&self, buckets_max: usize) {
        self.per_shard_max.store(per_shard_max(buckets_max), Ordering::Relaxed);
    }

    /// Takes every charge, or none of them; says which. `states` has a place for each charge and
    /// is filled in either way. Charges on one bucket count together, and all show its one state.
    pub fn admit_all(
        &self,
        charges: &[Charge<'_>],
        now: Moment,
        states: &mut [BucketState],
    ) -> bool {
        let mut locked = self.lock(charges);
        let mut is_admitted = true;
        for (charge, state) in charges.iter().zip(states) {
            let bucket = locked.find(charge.key);
            *state = bucket.peek(charge.quota, cost_together(charges, charge.key), now);
            is_admitted &= state.is_admitted;
        }
        if is_admitted {
            let per_shard_max = self.per_shard_max.load(Ordering::Relaxed);
            for charge in charges.iter().filter(|charge| charge.cost > 0) {
                locked.take(charge, now, per_shard_max);
            }
        }
        is_admitted
    }

    /// How many buckets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).buckets.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, charges: &[Charge<'_>]) -> Locked<'_> {
        let mut places: Few<usize> =
            charges.iter().map(|charge| charge.key.shard(SHARDS)).collect();
        places.sort_unstable();
        places.dedup();
        let guard = |place: usize| self.shards.get(place).map(|shard| (place, lock(shard)));
        Locked(places.into_iter().filter_map(guard).collect())
    }
}

fn per_shard_max(buckets_max: usize) -> usize {
    buckets_max.div_ceil(SHARDS).max(1)
}

/// A lock whose holder panicked is taken all the same: a bucket is one number, and never half
/// written.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one call takes from this bucket, all its charges together.
fn cost_together(charges: &[Charge<'_>], key: BucketKey) -> u32 {
    let same = charges.iter().filter(|charge| charge.key == key);
    same.fold(0, |sum, charge| sum.saturating_add(charge.cost))
}

/// The shards that one call needs, by their numbers.
struct Locked<'a>(Few<(usize, MutexGuard<'a, Shard>)>);

impl Locked<'_> {
    fn find(&self, key: BucketKey) -> Bucket {
        let place = key.shard(SHARDS);
        let shard = self.0.iter().find(|(known, _)| *known == place);
        shard.and_then(|(_, shard)| shard.buckets.get(&key).copied()).unwrap_or_default()
    }

    fn take(&mut self, charge: &Charge<'_>, now: Moment, buckets_max: usize) {
        let place = charge.key.shard(SHARDS);
        if let Some((_, shard)) = self.0.iter_mut().find(|(known, _)| *known == place) {
            shard.take(charge, now, buckets_max);
        }
    }
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<BucketKey, Bucket, BuildHasherDefault<Hashed>>,
}

impl Shard {
    fn take(&mut self, charge: &Charge<'_>, now: Moment, buckets_max: usize) {
        if self.buckets.len() >= buckets_max && !self.buckets.contains_key(&charge.key) {
            self.make_room(now, buckets_max);
        }
        self.buckets.entry(charge.key).or_default().take(charge.quota, charge.cost, now);
    }

    /// Forgets the buckets that are full again and, where that is less than an eighth of them all,
    /// as many more as are nearest to it.
    fn make_room(&mut self, now: Moment, buckets_max: usize) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        let kept_max = buckets_max - buckets_max.div_ceil(ROOM);
        let Some(last) = self.buckets.len().saturating_sub(kept_max).checked_sub(1) else {
            return;
        };
        let mut soonest: Vec<_> =
            self.buckets.iter().map(|(key, bucket)| (bucket.full_at(), *key)).collect();
        soonest.select_nth_unstable(last);
        for (_, key) in soonest.iter().take(last + 1) {
            self.buckets.remove(key);
        }
    }
}

/// A [`BucketKey`] is a keyed hash already, and the half that chooses no shard is taken as it is.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write_u128(&mut self, key: u128) {
        self.0 = u64::try_from(key >> 64).unwrap_or_default();
    }

    /// Not what a key consists of; any spread of the bytes will do.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
