//! Open streams: whose each is, so that none outlives the identity it was opened with.
//!
//! An answer of events and a WebSocket may stay open for hours after steps 6 to 8 have passed, and
//! an answer that is sent part by part shows more with each part. So each is entered here with the credential that opened it. Twice a second every credential is
//! asked about again, where it would be asked for a request: a session that was ended or has timed
//! out, a key that was revoked or has expired, and a token past its end take their streams with
//! them. That works for whatever ended the credential, and on whichever instance. A logout on this
//! instance does not even wait for that.
//!
//! Invariants
//! - Only streams pay: an ordinary request never comes here.
//! - Looking does not count as use: a stream keeps no session alive.
//! - A store that cannot be asked ends nothing; the next look decides.
//!
//! Not here: how a stream ends politely (`forward`), how many there may be (`site`).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use prometheus_client::metrics::gauge::Gauge;

use super::Core;
use crate::auth::session;
use crate::clock::Timestamp;
use crate::exchange::{Credential, Exchange};
use crate::principal::IdentityText;

/// How often credentials are asked about: a stream ends within a second of its identity.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Why the gateway ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// Whoever opened it is not who they were any more.
    Identity,
    /// The gateway drains.
    Drain,
}

impl EndedBy {
    /// The code in the stream's record.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Identity => "identity_ended",
            Self::Drain => "draining",
        }
    }
}

/// The open streams of a process.
#[derive(Debug, Default)]
pub struct Streams {
    open: Mutex<HashMap<u64, Entry>>,
    entered: AtomicU64,
    is_draining: AtomicBool,
    gauge: Gauge,
}

#[derive(Debug)]
struct Entry {
    whose: Whose,
    ending: Arc<Ending>,
}

/// Whose a stream is, and what says so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whose {
    user_id: Option<IdentityText>,
    credential: Credential,
    expires_at: Option<Timestamp>,
}

/// Where a stream hears that it shall end.
#[derive(Debug, Default)]
struct Ending {
    why: AtomicU8,
    waker: AtomicWaker,
}

impl Ending {
    /// The end of an identity stands above a drain, which some may take their time for.
    fn set(&self, why: EndedBy) {
        match why {
            EndedBy::Identity => self.why.store(1, Ordering::Release),
            EndedBy::Drain => {
                let _ = self.why.compare_exchange(0, 2, Ordering::AcqRel, Ordering::Acquire);
            }
        }
        self.waker.wake();
    }

    fn why(&self) -> Option<EndedBy> {
        match self.why.load(Ordering::Acquire) {
            0 => None,
            1 => Some(EndedBy::Identity),
            _ => Some(EndedBy::Drain),
        }
    }
}

impl Streams {
    /// None open; `gauge` shows how many are.
    #[must_use]
    pub fn new(gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { gauge, ..Self::default() })
    }

    /// Enters the stream that answers this exchange, until the place is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, exchange: &Exchange) -> OpenStream {
        let principal = exchange.principal.as_deref();
        self.enter_as(Whose {
            user_id: principal.map(|principal| principal.user_id.clone()),
            credential: exchange.credential,
            expires_at: principal.and_then(|principal| principal.expires_at),
        })
    }

    #[cfg(test)]
    pub(super) fn enter_nobody(self: &Arc<Self>) -> OpenStream {
        self.enter_as(Whose { user_id: None, credential: Credential::None, expires_at: None })
    }

    #[cfg(test)]
    pub(super) fn end_everybody(&self) {
        self.end(EndedBy::Identity, |_| true);
    }

    fn enter_as(self: &Arc<Self>, whose: Whose) -> OpenStream {
        let id = self.entered.fetch_add(1, Ordering::Relaxed);
        let ending = Arc::new(Ending::default());
        self.open().insert(id, Entry { whose, ending: Arc::clone(&ending) });
        self.gauge.inc();
        // After it was entered: a drain that begins now finds it in one way or the other.
        if self.is_draining.load(Ordering::SeqCst) {
            ending.set(EndedBy::Drain);
        }
        OpenStream { streams: Arc::clone(self), id, ending }
    }

    /// Ends the streams that this credential opened. Returns how many there were.
    pub fn end_of_credential(&self, credential: Credential) -> usize {
        // The others do not say whose they are.
        let is_known = matches!(credential, Credential::Session(_) | Credential::Key(_));
        self.end(EndedBy::Identity, |whose| is_known && whose.credential == credential)
    }

    /// Ends every stream of a user or partner, whatever opened it. Returns how many there were.
    pub fn end_of_user(&self, user_id: &str) -> usize {
        self.end(EndedBy::Identity, |whose| {
            whose.user_id.as_ref().is_some_and(|known| known.as_str() == user_id)
        })
    }

    /// Ends them all, and those that are still to be opened, because the gateway stops.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        self.end(EndedBy::Drain, |_| true);
    }

    fn end(&self, why: EndedBy, is_meant: impl Fn(&Whose) -> bool) -> usize {
        let open = self.open();
        let meant = open.values().filter(|entry| is_meant(&entry.whose));
        meant.inspect(|entry| entry.ending.set(why)).count()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks about the credentials of the open streams, for as long as there is the core.
    pub async fn watch(core: Weak<Core>) {
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            let Some(core) = core.upgrade() else { return };
            core.streams.look(&core).await;
        }
    }

    /// One look at all of them.
    async fn look(&self, core: &Core) {
        // Each credential once, and no lock while a store is asked.
        let whose: HashSet<Whose> = self.open().values().map(|entry| entry.whose.clone()).collect();
        for whose in whose {
            if !still_holds(core, &whose).await {
                let ended = self.end(EndedBy::Identity, |known| *known == whose);
                tracing::debug!(user_id = ?whose.user_id, ended, "streams ended with an identity");
            }
        }
    }
}

/// Whether a request with the same credential would still be let in.
async fn still_holds(core: &Core, whose: &Whose) -> bool {
    let now = core.clock.wall();
    if whose.expires_at.is_some_and(|end| now >= end) {
        return false;
    }
    let site = core.site.load();
    match whose.credential {
        Credential::None | Credential::Token | Credential::Certificate => true,
        Credential::Session(digest) => {
            let Some(policy) = &site.session else { return false };
            let found = core.vault.find(digest, now, false).await;
            found.map_or(true, |lookup| session::judge(lookup, policy, now).is_ok())
        }
        Credential::Key(digest) => {
            let Some(policy) = &site.api_key else { return false };
            let found = core.keys.find(digest).await;
            found.map_or(true, |record| policy.judge(digest, record.as_deref(), now).is_ok())
        }
    }
}

/// A stream among the open ones.
#[derive(Debug)]
pub struct OpenStream {
    streams: Arc<Streams>,
    id: u64,
    ending: Arc<Ending>,
}

impl OpenStream {
    /// Ready when the stream shall end. One task at a time is woken.
    pub fn poll_ended(&self, context: &mut Context<'_>) -> Poll<EndedBy> {
        self.ending.waker.register(context.waker());
        self.ending.why().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.streams.open().remove(&self.id).is_some() {
            self.streams.gauge.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::store::{KeyDigest, SessionDigest};

    fn whose(user_id: &str, credential: Credential) -> Whose {
        let user_id = Some(IdentityText::parse(user_id).expect("a user"));
        Whose { user_id, credential, expires_at: None }
    }

    async fn ended(stream: &OpenStream) -> Option<EndedBy> {
        poll_fn(|context| {
            Poll::Ready(match stream.poll_ended(context) {
                Poll::Ready(why) => Some(why),
                Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn an_end_reaches_the_streams_of_its_identity_and_no_others() {
        let session = |byte| Credential::Session(SessionDigest([byte; 32]));
        let streams = Streams::new(Gauge::default());
        let first = streams.enter_as(whose("ada", session(1)));
        let second = streams.enter_as(whose("ada", session(2)));
        let key = streams.enter_as(whose("acme", Credential::Key(KeyDigest([1; 32]))));
        let nobody = streams.enter_as(Whose {
            user_id: None,
            credential: Credential::None,
            expires_at: None,
        });
        assert_eq!(streams.end_of_credential(Credential::None), 0, "nobody is not an identity");
        assert_eq!(streams.end_of_credential(session(1)), 1);
        assert_eq!(ended(&first).await, Some(EndedBy::Identity));
        assert_eq!(ended(&second).await, None);
        assert_eq!(streams.end_of_user("ada"), 2);
        assert_eq!(ended(&second).await, Some(EndedBy::Identity));
        assert_eq!((ended(&key).await, ended(&nobody).await), (None, None));
        streams.drain();
        assert_eq!(ended(&nobody).await, Some(EndedBy::Drain));
        assert_eq!(
            ended(&second).await,
            Some(EndedBy::Identity),
            "a drain changes nothing of that"
        );
        let late = streams.enter_as(whose("ada", session(3)));
        assert_eq!(ended(&late).await, Some(EndedBy::Drain));
        assert_eq!(streams.end_of_credential(session(3)), 1);
        assert_eq!(
            ended(&late).await,
            Some(EndedBy::Identity),
            "who drains hears of it all the same"
        );
        assert_eq!(streams.gauge.get(), 5);
        drop((first, second, key, nobody, late));
        assert_eq!((streams.gauge.get(), streams.open().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_stream_that_waits_is_woken_by_its_end() {
        let streams = Streams::new(Gauge::default());
        let session = Credential::Session(SessionDigest([1; 32]));
        let stream = streams.enter_as(whose("ada", session));
        let waiting = tokio::spawn(async move { poll_fn(|cx| stream.poll_ended(cx)).await });
        tokio::task::yield_now().await;
        assert_eq!(streams.end_of_credential(session), 1);
        assert_eq!(waiting.await.expect("no panic"), EndedBy::Identity);
    }
}
