//! Sessions in memory: the longest unused make room, the ended ones are remembered as such.
//!
//! Invariants
//! - At most `sessions_max` live sessions, and as many tombstones; both are spread over shards.
//! - Order of use is kept to the second, so that a busy session is moved once a second.
//! - A tombstone lives for one session lifetime: after that no request that began with the session
//!   can still be on its way. Forgetting one early is harmless, since ids are random and a session
//!   that is unknown cannot be written to either.
//!
//! Not here: time-outs as such ([`SessionLifetime`], which the vault only asks).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::auth::session::SessionLifetime;
use crate::clock::Timestamp;
use crate::store::{
    Pending, Session, SessionChange, SessionDigest, SessionLookup, SessionVault, StoreUnavailable,
};

/// A shard is worth its lock from about this many sessions on.
const SHARD_SIZE_MIN: usize = 64;
const SHARDS_MAX: usize = 64;

/// The sessions of one process.
#[derive(Debug)]
pub struct MemoryVault {
    shards: Box<[Mutex<Shard>]>,
    lifetime: ArcSwap<SessionLifetime>,
}

impl MemoryVault {
    /// A vault of at most `sessions_max` sessions (at least one), rounded up to fill its shards.
    #[must_use]
    pub fn new(sessions_max: usize, lifetime: SessionLifetime) -> Self {
        let shards = (sessions_max / SHARD_SIZE_MIN).clamp(1, SHARDS_MAX);
        let size_max = sessions_max.div_ceil(shards).max(1);
        let shard = || Mutex::new(Shard { size_max, ..Shard::default() });
        let shards = std::iter::repeat_with(shard).take(shards).collect();
        Self { shards, lifetime: ArcSwap::from_pointee(lifetime) }
    }

    /// From now on so many sessions and such a lifetime, for those that there are as well. The
    /// longest unused above the number go as new ones come.
    pub fn adjust(&self, sessions_max: usize, lifetime: SessionLifetime) {
        self.lifetime.store(Arc::new(lifetime));
        let size_max = sessions_max.div_ceil(self.shards.len()).max(1);
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).size_max = size_max;
        }
    }

    fn lifetime(&self) -> SessionLifetime {
        **self.lifetime.load()
    }

    /// As [`SessionVault::find`].
    #[must_use]
    pub fn find(&self, digest: SessionDigest, now: Timestamp, slide: bool) -> SessionLookup {
        let Some(mut shard) = self.shard(digest) else { return SessionLookup::Unknown };
        let found = match shard.slots.get_mut(&digest) {
            None => return SessionLookup::Unknown,
            Some(Slot::Ended) => return SessionLookup::Ended,
            Some(Slot::Live(session)) => session,
        };
        if !slide || self.lifetime().is_over(found, now) || found.used_at >= now {
            return SessionLookup::Live(Arc::clone(found));
        }
        let used_before = found.used_at;
        // Copies the session only while another request is still looking at it.
        Arc::make_mut(found).used_at = now;
        let session = Arc::clone(found);
        shard.move_in_order(digest, used_before, now);
        SessionLookup::Live(session)
    }

    /// As [`SessionVault::insert`].
    #[must_use]
    pub fn insert(&self, digest: SessionDigest, session: Session) -> bool {
        let Some(mut shard) = self.shard(digest) else { return false };
        if shard.slots.contains_key(&digest) {
            return false;
        }
        shard.make_room(self.lifetime(), session.used_at);
        shard.by_use.insert((session.used_at.unix_seconds(), digest.0));
        shard.slots.insert(digest, Slot::Live(Arc::new(session)));
        true
    }

    /// As [`SessionVault::update`]. The change is made under the shard's lock: it must be short.
    /// What it does to the session's times is not kept; they are the vault's.
    #[must_use]
    pub fn update(
        &self,
        digest: SessionDigest,
        now: Timestamp,
        mut change: impl FnMut(&mut Session),
    ) -> bool {
        let Some(mut shard) = self.shard(digest) else { return false };
        let Some(Slot::Live(session)) = shard.slots.get_mut(&digest) else { return false };
        if self.lifetime().is_over(session, now) {
            return false;
        }
        // On a copy, so that a change which panics half-way leaves nothing behind.
        let mut changed = Session::clone(session);
        change(&mut changed);
        changed.created_at = session.created_at;
        changed.used_at = session.used_at;
        *session = Arc::new(changed);
        true
    }

    /// As [`SessionVault::end`].
    #[must_use]
    pub fn end(&self, digest: SessionDigest, now: Timestamp) -> bool {
        let Some(mut shard) = self.shard(digest) else { return false };
        let Some(slot) = shard.slots.get_mut(&digest) else { return false };
        let Slot::Live(session) = std::mem::replace(slot, Slot::Ended) else { return false };
        shard.by_use.remove(&(session.used_at.unix_seconds(), digest.0));
        shard.tombstones.push_back((now, digest));
        shard.forget_tombstones(self.lifetime(), now);
        !self.lifetime().is_over(&session, now)
    }

    fn shard(&self, digest: SessionDigest) -> Option<MutexGuard<'_, Shard>> {
        // A digest is evenly spread already; its last bytes choose the shard.
        let [.., high, low] = digest.0;
        let index = usize::from(u16::from_be_bytes([high, low])) % self.shards.len();
        // Whoever panicked under the lock left the shard whole.
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug, Default)]
struct Shard {
    size_max: usize,
    slots: HashMap<SessionDigest, Slot>,
    /// Every live session once, by the second of its last use.
    by_use: BTreeSet<(u64, [u8; 32])>,
    /// Every ended session once, by the time of its end.
    tombstones: VecDeque<(Timestamp, SessionDigest)>,
}

#[derive(Debug)]
enum Slot {
    Live(Arc<Session>),
    Ended,
}

impl Shard {
    fn move_in_order(&mut self, digest: SessionDigest, from: Timestamp, to: Timestamp) {
        if from.unix_seconds() != to.unix_seconds() {
            self.by_use.remove(&(from.unix_seconds(), digest.0));
            self.by_use.insert((to.unix_seconds(), digest.0));
        }
    }

    /// Drops what has been idle for too long, and the longest unused if that is not enough.
    fn make_room(&mut self, lifetime: SessionLifetime, now: Timestamp) {
        while let Some(&(used_s, digest)) = self.by_use.first() {
            // A second more, since the order knows no fractions.
            let idle_s = now.unix_seconds().saturating_sub(used_s.saturating_add(1));
            if self.by_use.len() < self.size_max && idle_s < lifetime.idle_timeout.as_secs() {
                return;
            }
            self.by_use.pop_first();
            self.slots.remove(&SessionDigest(digest));
        }
    }

    fn forget_tombstones(&mut self, lifetime: SessionLifetime, now: Timestamp) {
        while let Some(&(ended_at, digest)) = self.tombstones.front() {
            if self.tombstones.len() <= self.size_max && now.since(ended_at) < lifetime.lifetime {
                return;
            }
            self.tombstones.pop_front();
            self.slots.remove(&digest);
        }
    }
}

impl SessionVault for MemoryVault {
    fn find(
        &self,
        digest: SessionDigest,
        now: Timestamp,
        slide: bool,
    ) -> Pending<'_, Result<SessionLookup, StoreUnavailable>> {
        Box::pin(ready(Ok(self.find(digest, now, slide))))
    }

    fn insert(
        &self,
        digest: SessionDigest,
        session: Session,
    ) -> Pending<'_, Result<bool, StoreUnavailable>> {
        Box::pin(ready(Ok(self.insert(digest, session))))
    }

    fn update<'a>(
        &'a self,
        digest: SessionDigest,
        now: Timestamp,
        change: SessionChange<'a>,
    ) -> Pending<'a, Result<bool, StoreUnavailable>> {
        Box::pin(ready(Ok(self.update(digest, now, change))))
    }

    fn end(
        &self,
        digest: SessionDigest,
        now: Timestamp,
    ) -> Pending<'_, Result<bool, StoreUnavailable>> {
        Box::pin(ready(Ok(self.end(digest, now))))
    }
}

#[cfg(test)]
mod tests;
