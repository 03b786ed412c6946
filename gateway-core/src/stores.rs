//! Stores: who keeps what the policies need kept.
//!
//! [`Vault`] keeps sessions, [`Keys`] finds API keys. Both have memory as a variant of its own, so
//! that the path every request takes there neither boxes a future nor waits; any other store
//! stands behind floor 0's trait.
//!
//! Not here: what a session or a record means (`auth`).

pub mod memory;

use std::fmt;
use std::sync::Arc;

use self::memory::{MemoryKeys, MemoryVault};
use crate::clock::Timestamp;
use crate::store::{
    KeyDigest, KeyRecord, KeyStore, Session, SessionChange, SessionDigest, SessionLookup,
    SessionVault, StoreUnavailable,
};

/// Where sessions are kept. Cheap to clone; every clone is the same vault.
#[derive(Clone)]
pub enum Vault {
    /// In this process.
    Memory(Arc<MemoryVault>),
    /// Where other processes see them too.
    Shared(Arc<dyn SessionVault>),
}

impl Vault {
    /// As [`SessionVault::find`].
    ///
    /// # Errors
    ///
    /// [`StoreUnavailable`]; memory always answers.
    pub async fn find(
        &self,
        digest: SessionDigest,
        now: Timestamp,
        slide: bool,
    ) -> Result<SessionLookup, StoreUnavailable> {
        match self {
            Self::Memory(vault) => Ok(vault.find(digest, now, slide)),
            Self::Shared(vault) => vault.find(digest, now, slide).await,
        }
    }

    /// As [`SessionVault::insert`].
    ///
    /// # Errors
    ///
    /// [`StoreUnavailable`]; memory always answers.
    pub async fn insert(
        &self,
        digest: SessionDigest,
        session: Session,
    ) -> Result<bool, StoreUnavailable> {
        match self {
            Self::Memory(vault) => Ok(vault.insert(digest, session)),
            Self::Shared(vault) => vault.insert(digest, session).await,
        }
    }

    /// As [`SessionVault::update`].
    ///
    /// # Errors
    ///
    /// [`StoreUnavailable`]; memory always answers.
    pub async fn update(
        &self,
        digest: SessionDigest,
        now: Timestamp,
        change: impl FnMut(&mut Session) + Send,
    ) -> Result<bool, StoreUnavailable> {
        match self {
            Self::Memory(vault) => Ok(vault.update(digest, now, change)),
            Self::Shared(vault) => {
                let change: SessionChange<'_> = Box::new(change);
                vault.update(digest, now, change).await
            }
        }
    }

    /// As [`SessionVault::end`].
    ///
    /// # Errors
    ///
    /// [`StoreUnavailable`]; memory always answers.
    pub async fn end(
        &self,
        digest: SessionDigest,
        now: Timestamp,
    ) -> Result<bool, StoreUnavailable> {
        match self {
            Self::Memory(vault) => Ok(vault.end(digest, now)),
            Self::Shared(vault) => vault.end(digest, now).await,
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Vault::Memory",
            Self::Shared(_) => "Vault::Shared",
        })
    }
}

/// Where API keys are looked up. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub enum Keys {
    /// In this process.
    Memory(Arc<MemoryKeys>),
    /// Where other processes see them too.
    Shared(Arc<dyn KeyStore>),
}

impl Keys {
    /// As [`KeyStore::find`].
    ///
    /// # Errors
    ///
    /// [`StoreUnavailable`]; memory always answers.
    pub async fn find(
        &self,
        digest: KeyDigest,
    ) -> Result<Option<Arc<KeyRecord>>, StoreUnavailable> {
        match self {
            Self::Memory(keys) => Ok(keys.find(digest)),
            Self::Shared(keys) => keys.find(digest).await,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Keys::Memory",
            Self::Shared(_) => "Keys::Shared",
        })
    }
}
