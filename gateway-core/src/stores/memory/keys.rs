//! API keys in memory: a whole set, replaced at once when the configuration is.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::store::{KeyDigest, KeyRecord, KeyStore, Pending, StoreUnavailable};

type Records = HashMap<KeyDigest, Arc<KeyRecord>>;

/// The API keys a gateway accepts.
///
/// A look-up compares digests in ordinary time. What that could tell is a part of an HMAC whose
/// key the caller does not have, and so nothing about any API key.
#[derive(Debug, Default)]
pub struct MemoryKeys(ArcSwap<Records>);

impl MemoryKeys {
    /// The keys of these records; of two with one digest, the later.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = KeyRecord>) -> Self {
        Self(ArcSwap::from_pointee(by_digest(records)))
    }

    /// Puts these records in the place of all former ones, in one moment.
    pub fn replace(&self, records: impl IntoIterator<Item = KeyRecord>) {
        self.0.store(Arc::new(by_digest(records)));
    }

    /// Takes over the whole set of another store.
    pub fn adopt(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// The record of this digest.
    #[must_use]
    pub fn find(&self, digest: KeyDigest) -> Option<Arc<KeyRecord>> {
        self.0.load().get(&digest).cloned()
    }
}

fn by_digest(records: impl IntoIterator<Item = KeyRecord>) -> Records {
    records.into_iter().map(|record| (record.digest, Arc::new(record))).collect()
}

impl KeyStore for MemoryKeys {
    fn find(
        &self,
        digest: KeyDigest,
    ) -> Pending<'_, Result<Option<Arc<KeyRecord>>, StoreUnavailable>> {
        Box::pin(ready(Ok(self.find(digest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::IdentityText;

    fn record(id: &str, first_byte: u8) -> KeyRecord {
        let text = |text| IdentityText::parse(text).expect("visible ASCII");
        let mut digest = [0; 32];
        digest[0] = first_byte;
        KeyRecord {
            id: text(id),
            digest: KeyDigest(digest),
            partner: text("acme"),
            tier: text("free"),
            scopes: Vec::new(),
            expires_at: None,
            is_revoked: false,
        }
    }

    fn found(keys: &MemoryKeys, first_byte: u8) -> Option<String> {
        keys.find(record("x", first_byte).digest).map(|record| record.id.to_string())
    }

    #[test]
    fn a_key_is_found_by_its_digest_alone() {
        let keys = MemoryKeys::new([record("key_1", 1), record("key_2", 2)]);
        assert_eq!(found(&keys, 1).as_deref(), Some("key_1"));
        assert_eq!(found(&keys, 2).as_deref(), Some("key_2"));
        assert_eq!(found(&keys, 3), None);
    }

    #[test]
    fn a_new_set_takes_the_old_ones_place() {
        let keys = MemoryKeys::new([record("key_1", 1)]);
        keys.replace([record("key_2", 2)]);
        assert_eq!(found(&keys, 1), None);
        assert_eq!(found(&keys, 2).as_deref(), Some("key_2"));
    }
}
