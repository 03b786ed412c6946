//! The public keys of an issuer: a JSON Web Key Set (RFC 7517), read with suspicion.
//!
//! [`KeySet::parse`] keeps the keys that can verify a signature and remembers why it ignored the
//! others; [`KeyCell`] holds the set in force, for readers that never wait.
//!
//! Invariants
//! - A key serves only the algorithms of its own type, and only the one it names, if it names one.
//! - A `kid` that stands for two keys stands for none.
//! - The generation of a cell changes whenever its keys may have changed: what was verified under
//!   an older generation must be verified again.
//!
//! Not here: fetching (`upstream::key_source`), choosing the key of a token (`jwt`).

mod key;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use key::Key;
pub use key::{Algorithm, IgnoredReason};

/// Longest `kid` that is looked at, in a set and in a token, in bytes.
pub(crate) const KEY_ID_LENGTH_MAX: usize = 256;

/// The usable keys of one issuer.
#[derive(Debug)]
pub struct KeySet {
    /// `None`: several keys have this id.
    by_id: HashMap<Box<str>, Option<Arc<Key>>>,
    keys: Vec<Arc<Key>>,
    ignored: Vec<IgnoredKey>,
    source: Box<[u8]>,
}

/// A key of a set that cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredKey {
    /// Its place in the set, from 0.
    pub index: usize,
    /// Why.
    pub reason: IgnoredReason,
}

/// Bytes that are no key set one could verify anything with.
#[derive(Debug, thiserror::Error)]
pub enum KeySetFault {
    /// Not a JSON object with an array `keys`.
    #[error("it is no JSON Web Key Set")]
    NotAKeySet(#[source] serde_json::Error),
    /// There is no key in it that can verify a signature.
    #[error("none of its {count} keys can be used")]
    NoUsableKey {
        /// How many keys there are, none of them usable.
        count: usize,
    },
}

/// Which key a token asks for.
#[derive(Debug)]
pub(crate) enum KeyChoice<'k> {
    /// This one.
    Found(&'k Arc<Key>),
    /// The set has no key of this id: it may be older than the key.
    Unknown,
    /// More than one key would do, or none that could serve the algorithm.
    Unclear,
}

#[derive(Deserialize)]
struct Document<'d> {
    #[serde(borrow)]
    keys: Vec<&'d RawValue>,
}

impl KeySet {
    /// Reads a set, ignoring the keys that cannot be used.
    ///
    /// # Errors
    ///
    /// [`KeySetFault`] when it is no key set, or no key in it can be used: then whatever was known
    /// before is better.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetFault> {
        let document: Document<'_> =
            serde_json::from_slice(bytes).map_err(KeySetFault::NotAKeySet)?;
        let count = document.keys.len();
        let mut set = Self {
            by_id: HashMap::new(),
            keys: Vec::new(),
            ignored: Vec::new(),
            source: bytes.into(),
        };
        for (index, raw) in document.keys.into_iter().enumerate() {
            match Key::parse(raw.get()) {
                Ok(key) => set.add(Arc::new(key)),
                Err(reason) => set.ignored.push(IgnoredKey { index, reason }),
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetFault::NoUsableKey { count });
        }
        Ok(set)
    }

    /// The keys that were ignored, and why.
    #[must_use]
    pub fn ignored(&self) -> &[IgnoredKey] {
        &self.ignored
    }

    /// How many keys can be used.
    #[must_use]
    pub const fn usable_count(&self) -> usize {
        self.keys.len()
    }

    /// The key for a token's `kid` and `alg`. Without a `kid`, the only key that can serve `alg`.
    pub(crate) fn choose(&self, key_id: Option<&str>, algorithm: Algorithm) -> KeyChoice<'_> {
        let Some(key_id) = key_id else {
            let mut fitting = self.keys.iter().filter(|key| key.serves(algorithm));
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => KeyChoice::Found(only),
                _ => KeyChoice::Unclear,
            };
        };
        match self.by_id.get(key_id) {
            None => KeyChoice::Unknown,
            Some(Some(key)) if key.serves(algorithm) => KeyChoice::Found(key),
            Some(_) => KeyChoice::Unclear,
        }
    }

    fn add(&mut self, key: Arc<Key>) {
        if let Some(id) = key.id() {
            match self.by_id.entry(id.into()) {
                Entry::Vacant(free) => {
                    free.insert(Some(Arc::clone(&key)));
                }
                Entry::Occupied(mut taken) => {
                    taken.insert(None);
                }
            }
        }
        self.keys.push(key);
    }
}

/// The key set in force, if there has been one yet. Reading it never waits.
#[derive(Default)]
pub struct KeyCell {
    current: ArcSwapOption<Published>,
    generations: AtomicU64,
}

/// A key set and the generation it was published under.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) set: KeySet,
}

impl KeyCell {
    /// A cell that was never filled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a set in force. `false` when the same document is in force already: its generation
    /// stays, and with it all that was verified.
    pub fn publish(&self, set: KeySet) -> bool {
        if self.current.load().as_ref().is_some_and(|current| current.set.source == set.source) {
            return false;
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Some(Arc::new(Published { generation, set })));
        true
    }

    /// Takes the set out of force: no token can be verified until the next one.
    pub fn clear(&self) {
        self.current.store(None);
    }

    /// Whether there are keys to verify with.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.current.load().is_some()
    }

    /// The number of the set in force; `None` when there is none. A number never comes back.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.current.load().as_ref().map(|current| current.generation)
    }

    pub(crate) fn load(&self) -> Option<Arc<Published>> {
        self.current.load_full()
    }
}

impl fmt::Debug for KeyCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCell").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
