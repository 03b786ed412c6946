//! tower-sessions' store, on the vault.
//!
//! A [`Record`] carries no version, and saving one writes all of it: the slower of two requests
//! would undo the faster. So each request has a store of its own, which remembers the session as
//! this request last saw it; a save is the difference, applied to the session as it is now. Two
//! requests that set one key: the later wins. Two that set different keys: both stay.
//!
//! Not here: cookies, and when a session is saved ([`super::keep_session`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gateway_core::auth::session::{SessionId, SessionLifetime};
use gateway_core::clock::{Clock, Timestamp};
use gateway_core::principal::Principal;
use gateway_core::store::{Session, SessionDigest, SessionLookup, StoreUnavailable};
use gateway_core::stores::Vault;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};

use super::stored_principal::StoredPrincipal;
use super::{PRINCIPAL, Sessions};

type Values = HashMap<String, Value>;

/// One request's way to its session. Never share one between requests.
pub struct VaultStore {
    vault: Vault,
    lifetime: SessionLifetime,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// What this request knows of its session.
#[derive(Default)]
struct Seen {
    /// The values as they were last loaded or saved.
    values: Values,
    outcome: Outcome,
}

/// What has become of a request's session.
#[derive(Clone, Copy, Default)]
pub(super) enum Outcome {
    /// The browser's cookie is as good as it was.
    #[default]
    Unchanged,
    /// A new session was made, and the browser does not know its id yet.
    Begun(SessionId),
    /// This request ended it.
    Ended,
    /// Somebody else ended it meanwhile. The cookie may belong to another session by now.
    Lost,
}

impl VaultStore {
    pub(super) fn new(sessions: &Sessions) -> Self {
        Self {
            vault: sessions.vault.clone(),
            lifetime: sessions.policy.lifetime(),
            clock: sessions.clock.clone(),
            seen: Mutex::default(),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.seen().outcome
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, id: Id, session: &Session) -> Record {
        let values: Values =
            session.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        self.seen().values.clone_from(&values);
        // Nobody reads the date: time-outs are judged by the gateway's clock.
        let ends = session.created_at.after(self.lifetime.lifetime);
        Record { id, data: values, expiry_date: date(ends) }
    }
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for VaultStore {
    /// Makes a session, always under a new id.
    async fn create(&self, record: &mut Record) -> Result<()> {
        // Its session was ended under this request, and nobody signs in: there is nothing to
        // begin, and an anonymous session would only take the place of the browser's next one.
        if matches!(self.outcome(), Outcome::Lost) && !record.data.contains_key(PRINCIPAL) {
            return Ok(());
        }
        let now = self.clock.wall();
        let mut session = Session {
            principal: None,
            values: serde_json::Map::new(),
            created_at: now,
            used_at: now,
        };
        Changes::between(&Values::new(), &record.data)?.apply(&mut session);
        let mut id = SessionId::generate();
        while !self.vault.insert(id.digest(), session.clone()).await.map_err(backend)? {
            id = SessionId::generate();
        }
        record.id = to_record_id(id);
        *self.seen() = Seen { values: record.data.clone(), outcome: Outcome::Begun(id) };
        Ok(())
    }

    /// Applies what this request changed. An ended session stays ended, which is no error: the
    /// request has done what it was asked before it could know.
    async fn save(&self, record: &Record) -> Result<()> {
        let changes = Changes::between(&self.seen().values, &record.data)?;
        if changes.is_empty() {
            return Ok(());
        }
        let (digest, now) = (digest(&record.id), self.clock.wall());
        let change = |session: &mut Session| changes.apply(session);
        let is_alive = self.vault.update(digest, now, change).await.map_err(backend)?;
        let mut seen = self.seen();
        if is_alive {
            seen.values.clone_from(&record.data);
        } else {
            seen.outcome = Outcome::Lost;
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let now = self.clock.wall();
        match self.vault.find(digest(id), now, false).await.map_err(backend)? {
            SessionLookup::Live(session) if !self.lifetime.is_over(&session, now) => {
                Ok(Some(self.record(*id, &session)))
            }
            SessionLookup::Live(_) | SessionLookup::Unknown => Ok(None),
            SessionLookup::Ended => {
                self.seen().outcome = Outcome::Lost;
                Ok(None)
            }
        }
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let now = self.clock.wall();
        self.vault.end(digest(id), now).await.map_err(backend)?;
        self.seen().outcome = Outcome::Ended;
        Ok(())
    }
}

/// What one request did to the values of its session.
struct Changes {
    set: Vec<(String, Value)>,
    removed: Vec<String>,
    /// Set when the principal is among them.
    principal: Option<Option<Arc<Principal>>>,
}

impl Changes {
    fn between(before: &Values, after: &Values) -> Result<Self> {
        let is_changed = |(key, value): &(&String, &Value)| before.get(*key) != Some(*value);
        let set: Vec<_> = after
            .iter()
            .filter(is_changed)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let removed: Vec<_> =
            before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
        let principal = match set.iter().find(|(key, _)| key == PRINCIPAL) {
            Some((_, value)) => Some(Some(Arc::new(principal(value)?))),
            None => removed.iter().any(|key| key == PRINCIPAL).then_some(None),
        };
        Ok(Self { set, removed, principal })
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    fn apply(&self, session: &mut Session) {
        session.values.extend(self.set.iter().cloned());
        for key in &self.removed {
            session.values.remove(key);
        }
        if let Some(principal) = &self.principal {
            session.principal.clone_from(principal);
        }
    }
}

fn principal(value: &Value) -> Result<Principal> {
    let encode = |reason: String| Error::Encode(format!("the principal is unusable: {reason}"));
    let stored: StoredPrincipal =
        serde_json::from_value(value.clone()).map_err(|error| encode(error.to_string()))?;
    stored.try_into().map_err(|error| encode(format!("{error}")))
}

/// The same 16 bytes, as tower-sessions writes them: its text is the core's text.
pub(super) const fn to_record_id(id: SessionId) -> Id {
    Id(i128::from_le_bytes(id.to_bytes()))
}

fn digest(id: &Id) -> SessionDigest {
    SessionId::from_bytes(id.0.to_le_bytes()).digest()
}

fn date(at: Timestamp) -> OffsetDateTime {
    i64::try_from(at.unix_seconds())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn backend(error: StoreUnavailable) -> Error {
    Error::Backend(error.to_string())
}
