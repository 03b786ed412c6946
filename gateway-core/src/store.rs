//! What the policies need kept, as traits: who keeps it is decided on the floor of the stores.
//!
//! Reads that every request makes go to memory first and do not wait; a trait's future is boxed
//! because it is only taken when something has to be fetched.
//!
//! Not here: any store (`stores`), any cache of a store's answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::principal::{IdentityText, Principal};

/// A store's answer that may have to be waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the {store} does not answer: {reason}")]
pub struct StoreUnavailable {
    /// Which store, in an operator's words.
    pub store: &'static str,
    /// What it said, for the log.
    pub reason: String,
}

/// SHA-256 of a session id: all that is ever stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionDigest(pub [u8; 32]);

/// A session as the vault keeps it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who is logged in; `None` before anybody is.
    pub principal: Option<Arc<Principal>>,
    /// What the gateway's own endpoints keep in it.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub used_at: Timestamp,
}

/// What the vault knows of a digest.
#[derive(Debug, Clone)]
pub enum SessionLookup {
    /// A live session.
    Live(Arc<Session>),
    /// There was one, and it was ended: nothing may bring it back.
    Ended,
    /// Never heard of, or forgotten.
    Unknown,
}

/// Changes one session in place.
pub type SessionChange<'a> = Box<dyn FnMut(&mut Session) + Send + 'a>;

/// The truth about sessions. Every write is a compare-and-set of the whole session, so that
/// parallel writers lose nothing, and an ended session stays ended.
pub trait SessionVault: Send + Sync + 'static {
    /// The session of this digest, now; `slide` says whether this counts as a use of it. One that
    /// has timed out may still be shown, for whoever judges it, but is never slid back to life.
    fn find(
        &self,
        digest: SessionDigest,
        now: Timestamp,
        slide: bool,
    ) -> Pending<'_, Result<SessionLookup, StoreUnavailable>>;

    /// Adds a new session. `false` when the digest is taken, alive or ended.
    fn insert(
        &self,
        digest: SessionDigest,
        session: Session,
    ) -> Pending<'_, Result<bool, StoreUnavailable>>;

    /// Applies `change` to a live session, as often as it takes to win the compare-and-set.
    /// `false` when there is no live session of this digest.
    fn update<'a>(
        &'a self,
        digest: SessionDigest,
        now: Timestamp,
        change: SessionChange<'a>,
    ) -> Pending<'a, Result<bool, StoreUnavailable>>;

    /// Ends a session and leaves a tombstone. `false` when there was no live one.
    fn end(
        &self,
        digest: SessionDigest,
        now: Timestamp,
    ) -> Pending<'_, Result<bool, StoreUnavailable>>;
}

/// HMAC-SHA-256 of an API key under the pepper: all that is ever stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// An API key as the store keeps it.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The key's public name.
    pub id: IdentityText,
    /// What it is looked up by.
    pub digest: KeyDigest,
    /// Who it was issued to.
    pub partner: IdentityText,
    /// The partner's tier.
    pub tier: IdentityText,
    /// What it is good for.
    pub scopes: Vec<IdentityText>,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
    /// Whether it was taken back.
    pub is_revoked: bool,
}

/// Finds API keys by their digest.
pub trait KeyStore: Send + Sync + 'static {
    /// The record of this digest; `None` when there is none.
    fn find(
        &self,
        digest: KeyDigest,
    ) -> Pending<'_, Result<Option<Arc<KeyRecord>>, StoreUnavailable>>;
}
