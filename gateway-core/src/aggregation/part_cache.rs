//! The part cache: answers that are kept and used again, and calls that are made once for many.
//!
//! ```text
//! age    0 ──── ttl ──── + stale_while_revalidate ──── …          (+ stale_if_error, from ttl on)
//!        cached │ shown at once, one refresh runs │ fetched; the old one where that fails
//! ```
//!
//! Read in this order: [`PartKey`] says whose an answer is, `PartCache::get` what a request is
//! given, `flight` how a hundred requests become one call.
//!
//! Invariants
//! - A key cannot be made without saying whose it is; two identities never share a call.
//! - What a service says is not to be kept is not kept; nothing that failed is.
//! - Everything is bounded by bytes, keys included.
//! - A call that nobody waits for any more is given up; a refresh ends with its identity.
//!
//! Not here: making the call (`run`).

mod flight;
mod key;

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use tokio::time::{Instant, timeout};

use super::caller::PartFailure;
use super::status::Reason;
use crate::clock::{Clock, Moment};

use self::flight::{Flights, Landed};
pub use self::key::{PartKey, Whose};

/// How long an answer may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRule {
    /// As good as a new one for so long.
    pub ttl: Duration,
    /// After that, shown for so long while a new one is fetched.
    pub stale_while_revalidate: Duration,
    /// After the `ttl`, shown for so long where no new one can be had.
    pub stale_if_error: Duration,
    /// For everybody; else only for whom it was fetched.
    pub is_shared: bool,
}

impl Reason {
    /// Whether the last good value may stand in: the service could not answer, or did not answer
    /// properly (RFC 5861 §4). What it refuses, it refuses.
    const fn lets_stale_stand_in(self) -> bool {
        match self {
            Self::Refused
            | Self::Reset
            | Self::Timeout
            | Self::TooLarge
            | Self::Unparsable
            | Self::Contract
            | Self::Unavailable
            | Self::Brownout => true,
            Self::Status(status) => matches!(status.as_u16(), 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether what was kept must not be shown any more: it is gone, or no longer for this caller.
    const fn revokes(self) -> bool {
        matches!(self, Self::Status(status) if matches!(status.as_u16(), 401 | 403 | 404 | 410))
    }
}

/// A part's value as it is kept: validated, converted and shaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) json: Bytes,
    /// The header fields that clients may see.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether it may be kept.
    pub(super) may_be_kept: bool,
}

impl Value {
    /// A copy that holds its own bytes and no more: not the buffer or the body that they came in.
    /// A cookie is set once, and not by every answer that is shown again.
    fn alone(&self) -> Self {
        let others = self.headers.iter().filter(|(name, _)| *name != header::SET_COOKIE);
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        Self {
            json: Bytes::copy_from_slice(&self.json),
            headers: others
                .filter_map(|(name, value)| Some((name.clone(), copy(value)?)))
                .collect(),
            may_be_kept: self.may_be_kept,
        }
    }
}

/// What the cache had to do with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheUse {
    /// It was there; seconds until it is stale, negative since it is.
    Hit(i64),
    /// It was fetched, and kept or not.
    Miss {
        /// Whether it is there for the next one.
        is_kept: bool,
    },
    /// Another request was fetching it, and this one waited along.
    Collapsed,
    /// It could not be fetched, and the old one stands in; seconds until it was stale, negative.
    StaleIfError(i64),
}

impl CacheUse {
    /// The parameters of `Cache-Status` (RFC 9211), but for `ttl`.
    pub(super) const fn parameters(self) -> &'static str {
        match self {
            Self::Hit(_) => ";hit",
            Self::Miss { is_kept: true } => ";fwd=miss;stored",
            Self::Miss { is_kept: false } => ";fwd=miss",
            Self::Collapsed => ";fwd=miss;collapsed",
            Self::StaleIfError(_) => ";fwd=stale",
        }
    }

    pub(super) const fn ttl(self) -> Option<i64> {
        match self {
            Self::Hit(ttl) | Self::StaleIfError(ttl) => Some(ttl),
            Self::Miss { .. } | Self::Collapsed => None,
        }
    }

    /// Whether what was shown is older than it should be.
    pub(super) const fn is_stale(self) -> bool {
        match self {
            Self::Hit(ttl) => ttl < 0,
            Self::StaleIfError(_) => true,
            Self::Miss { .. } | Self::Collapsed => false,
        }
    }

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit(ttl) if ttl >= 0 => "hit",
            Self::Hit(_) | Self::StaleIfError(_) => "stale",
            Self::Miss { .. } => "miss",
            Self::Collapsed => "coalesced",
        }
    }
}

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge<'a> {
    /// Everything a part has kept: `dashboard.usage`.
    Part(&'a str),
    /// One call's answers, whosever they are: `GET billing-service:/usage`.
    Call(&'a str),
    /// Everything that was fetched for a user.
    Identity(&'a str),
    /// Everything.
    All,
}

/// An answer that is kept.
#[derive(Debug)]
struct Kept {
    value: Value,
    since: Moment,
    /// The parts that use it.
    parts: Mutex<Vec<Arc<str>>>,
}

impl Kept {
    fn is_of(&self, part: &str) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().any(|known| **known == *part)
    }

    fn parts(&self) -> Vec<Arc<str>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, part: &Arc<str>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if !parts.contains(part) {
            parts.push(Arc::clone(part));
        }
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

/// What an entry costs beside its texts: the map's own bookkeeping, roughly.
const ENTRY_OVERHEAD: usize = 256;

impl Weighter<PartKey, Arc<Kept>> for ByBytes {
    fn weight(&self, key: &PartKey, kept: &Arc<Kept>) -> u64 {
        let headers = kept.value.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
        (key.size() + kept.value.json.len() + headers + ENTRY_OVERHEAD) as u64
    }
}

/// The answers that are kept, for all cores.
#[derive(Debug)]
pub struct PartCache {
    kept: Cache<PartKey, Arc<Kept>, ByBytes>,
    flights: Flights,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) key: PartKey,
    pub(super) rule: CacheRule,
    /// `dashboard.usage`
    pub(super) part: Arc<str>,
    /// How long there is time to wait for it.
    pub(super) time_left: Duration,
    /// How long a call for it may take, whoever waits.
    pub(super) time_max: Duration,
}

/// A value, or why there is none; and what the cache had to do with it.
pub(super) type Got = (Result<Value, PartFailure>, CacheUse);

impl PartCache {
    /// An empty cache of at most `size_max` bytes.
    #[must_use]
    pub fn new(size_max: u64) -> Arc<Self> {
        // The estimate sizes the first tables only.
        let kept = Cache::with_weighter(1_024, size_max, ByBytes);
        Arc::new(Self { kept, flights: Flights::default() })
    }

    /// From now on at most so many bytes: what is above them goes.
    pub fn resize(&self, size_max: u64) {
        self.kept.set_capacity(size_max);
    }

    /// The value from the cache, from a call that is under way, or from a new one: `fetch` makes
    /// it, in the time that it is given, and hears whether it is a refresh.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        wanted: Wanted,
        clock: &Clock,
        fetch: impl FnOnce(Duration, bool) -> F,
    ) -> Got
    where
        F: Future<Output = Result<Value, PartFailure>> + Send + 'static,
    {
        let rule = wanted.rule;
        if let Some(kept) = self.kept.get(&wanted.key) {
            kept.note(&wanted.part);
            let age = clock.now().since(kept.since);
            let ttl = seconds_left(rule.ttl, age);
            if age < rule.ttl {
                return (Ok(kept.value.clone()), CacheUse::Hit(ttl));
            }
            if age < rule.ttl + rule.stale_while_revalidate {
                self.refresh(&wanted, clock, fetch);
                return (Ok(kept.value.clone()), CacheUse::Hit(ttl.min(-1)));
            }
        }
        if wanted.time_left.is_zero() {
            return self.or_stale(&wanted, clock, Reason::Timeout.into(), CacheUse::Collapsed);
        }
        match self.call_once(&wanted, clock, fetch).await {
            (Err(failure), used) => self.or_stale(&wanted, clock, failure, used),
            got => got,
        }
    }

    /// What was kept, where it may stand in for what could not be had. It is looked up again: what
    /// was purged in the meantime is not shown.
    fn or_stale(
        &self,
        wanted: &Wanted,
        clock: &Clock,
        failure: PartFailure,
        used: CacheUse,
    ) -> Got {
        let Wanted { key, rule, .. } = wanted;
        let Some(kept) = self.kept.get(key).filter(|_| failure.reason.lets_stale_stand_in()) else {
            return (Err(failure), used);
        };
        let age = clock.now().since(kept.since);
        if age >= rule.ttl + rule.stale_if_error {
            return (Err(failure), used);
        }
        let ttl = seconds_left(rule.ttl, age);
        let used =
            if age < rule.ttl { CacheUse::Hit(ttl) } else { CacheUse::StaleIfError(ttl.min(-1)) };
        (Ok(kept.value.clone()), used)
    }

    /// Waits for the call that is under way, or makes it.
    async fn call_once<F>(
        self: &Arc<Self>,
        wanted: &Wanted,
        clock: &Clock,
        fetch: impl FnOnce(Duration, bool) -> F,
    ) -> Got
    where
        F: Future<Output = Result<Value, PartFailure>> + Send + 'static,
    {
        let recheck = || {
            let kept = self.kept.get(&wanted.key)?;
            let is_fresh = clock.now().since(kept.since) < wanted.rule.ttl;
            is_fresh.then(|| Landed { result: Ok(kept.value.clone()), is_kept: true })
        };
        let begun = Instant::now();
        let mut fetch = Some(fetch);
        let flight = (&wanted.key, &wanted.part);
        // The call has all the time that a part has, and each who waits their own: nobody's is cut
        // short by who came first. It ends when nobody waits any more.
        let (is_first, boarded) = self.flights.join_or_start(flight, recheck, || {
            let call = fetch.take().map(|fetch| fetch(wanted.time_max, false));
            (call, Arc::clone(self).keep_of(wanted, clock.clone()))
        });
        let used =
            |is_kept| if is_first { CacheUse::Miss { is_kept } } else { CacheUse::Collapsed };
        let Ok(landed) = timeout(wanted.time_left, boarded.landed()).await else {
            return (Err(Reason::Timeout.into()), used(false));
        };
        let Landed { result, is_kept } = landed;
        if is_kept && let Some(kept) = self.kept.get(&wanted.key) {
            kept.note(&wanted.part);
        }
        // What turned out to be personal is not for all who waited along.
        let is_personal = |value: &Value| wanted.rule.is_shared && !value.may_be_kept;
        match fetch.take().filter(|_| result.as_ref().is_ok_and(is_personal)) {
            Some(fetch) => {
                let left = wanted.time_left.saturating_sub(begun.elapsed());
                let own = timeout(left, fetch(left, false)).await;
                let late = Err(Reason::Timeout.into());
                (own.unwrap_or(late), CacheUse::Miss { is_kept: false })
            }
            None => (result, used(is_kept)),
        }
    }

    /// Fetches in the background, unless that is under way, with all the time that a part has:
    /// nobody waits for it.
    fn refresh<F>(
        self: &Arc<Self>,
        wanted: &Wanted,
        clock: &Clock,
        fetch: impl FnOnce(Duration, bool) -> F,
    ) where
        F: Future<Output = Result<Value, PartFailure>> + Send + 'static,
    {
        self.flights.start_unless_under_way((&wanted.key, &wanted.part), || {
            let call = fetch(wanted.time_max, true);
            (Some(call), Arc::clone(self).keep_of(wanted, clock.clone()))
        });
    }

    /// What is done with a value that has landed; true when it is kept.
    fn keep_of(
        self: Arc<Self>,
        wanted: &Wanted,
        clock: Clock,
    ) -> impl FnOnce(&Result<Value, PartFailure>) -> bool + Send + 'static {
        let Wanted { key, part, .. } = wanted.clone();
        move |result| {
            let value = match result {
                Ok(value) if value.may_be_kept => value,
                Ok(_) => {
                    // What was kept is no longer what the service wants to be kept.
                    self.kept.remove(&key);
                    return false;
                }
                Err(failure) => {
                    if failure.reason.revokes() {
                        self.kept.remove(&key);
                    }
                    return false;
                }
            };
            let value = value.alone();
            let known = self.kept.get(&key);
            let parts = known.map(|known| known.parts()).unwrap_or_default();
            let kept = Kept { value, since: clock.now(), parts: Mutex::new(parts) };
            kept.note(&part);
            self.kept.insert(key, Arc::new(kept));
            true
        }
    }

    /// Removes answers; calls for them that are under way will not be kept, and refreshes end.
    /// How many were removed.
    pub fn purge(&self, purge: Purge<'_>) -> usize {
        self.flights.forget(|key, parts| match purge {
            Purge::All => true,
            Purge::Part(part) => parts.iter().any(|known| **known == *part),
            Purge::Call(call) => key.is_of_call(call),
            Purge::Identity(user_id) => key.is_of_user(user_id),
        });
        let removed = Cell::new(0);
        self.kept.retain(|key, kept| {
            let goes = match purge {
                Purge::Part(part) => kept.is_of(part),
                Purge::Call(call) => key.is_of_call(call),
                Purge::Identity(user_id) => key.is_of_user(user_id),
                Purge::All => true,
            };
            removed.set(removed.get() + usize::from(goes));
            !goes
        });
        removed.get()
    }

    /// Bytes in use.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.kept.weight()
    }
}

/// Whole seconds until the freshness ends, negative since it has.
fn seconds_left(ttl: Duration, age: Duration) -> i64 {
    let whole = |length: Duration| i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    if age < ttl { whole(ttl - age) } else { -whole(age - ttl) }
}

/// Whether a service allows its answer to be kept for everybody, or for whom it was fetched.
pub(super) fn may_be_kept(headers: &HeaderMap, is_shared: bool) -> bool {
    let has = |name: &HeaderName, token: &str| {
        let fields = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let mut listed = fields.flat_map(|field| field.split(','));
        listed.any(|item| {
            let name = item.split('=').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case(token)
        })
    };
    let is_personal = has(&header::CACHE_CONTROL, "private")
        || headers.contains_key(header::SET_COOKIE)
        || has(&header::VARY, "cookie")
        || has(&header::VARY, "authorization");
    let is_refused = has(&header::CACHE_CONTROL, "no-store") || has(&header::VARY, "*");
    !is_refused && (!is_shared || !is_personal)
}

#[cfg(test)]
mod tests;
