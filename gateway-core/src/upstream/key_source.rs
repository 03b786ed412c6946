//! Key sources: where an issuer's keys come from, and when.
//!
//! Each issuer has one [`KeySource`]: a task on the background runtime that fetches its key set
//! and publishes it in the issuer's [`KeyCell`]. Requests are verified with what the cell holds;
//! one that misses a key may call [`KeySource::refresh`] and try once more.
//!
//! Invariants
//! - One fetch at a time: whoever asks while one is under way waits for that one.
//! - The poll is independent of those who ask, so nobody can keep a new key out by spending the
//!   budget for unknown ones.
//! - A fetch that brings no usable keys leaves the old ones in force, until they are too old.
//!
//! Not here: which keys are usable (`auth::jwks`), what they verify (`auth::jwt`).

mod fetch;
mod schedule;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::fetch::{FetchFailed, Fetched, Fetcher};
pub use self::fetch::{InvalidKeyUrl, KeyLocation};
use self::schedule::Schedule;
use crate::auth::jwks::KeyCell;
use crate::clock::{Clock, Moment};

/// How one issuer's keys are fetched.
#[derive(Debug, Clone)]
pub struct KeySourceSettings {
    /// The issuer's name in the configuration, for the log.
    pub issuer: Arc<str>,
    /// Where the keys are published.
    pub location: KeyLocation,
    /// Time between fetches where the issuer's `Cache-Control` asks for none.
    pub poll_interval: Duration,
    /// Time between fetches because of unknown keys. Too low lets strangers make us call the
    /// issuer; too high keeps bearers of a new key waiting for the poll.
    pub refetch_cooldown: Duration,
    /// Time for one fetch, whole.
    pub fetch_timeout: Duration,
    /// Largest key set, in bytes.
    pub size_max: usize,
    /// How long keys stay in force while fetching them fails.
    pub stale_max: Duration,
}

impl KeySourceSettings {
    /// Every 5 minutes, at most one fetch in 30 s for unknown keys, 5 s and 256 KiB for each, and
    /// a day on old keys.
    #[must_use]
    pub const fn new(issuer: Arc<str>, location: KeyLocation) -> Self {
        Self {
            issuer,
            location,
            poll_interval: Duration::from_secs(300),
            refetch_cooldown: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(5),
            size_max: 256 * 1024,
            stale_max: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A key source that cannot be set up, such as without root certificates for TLS.
#[derive(Debug, thiserror::Error)]
#[error("the keys of {issuer} cannot be fetched")]
pub struct KeySourceUnusable {
    issuer: Arc<str>,
    #[source]
    source: reqwest::Error,
}

/// A running source of one issuer's keys. It ends when the last clone is dropped.
#[derive(Clone)]
pub struct KeySource {
    demand: Arc<Demand>,
    answers: watch::Receiver<u64>,
    keys: Arc<KeyCell>,
    _task: Arc<EndOnDrop>,
}

/// What those who ask and the task that fetches share. Works across runtimes.
#[derive(Debug)]
struct Demand {
    asked: Notify,
    /// Whether a fetch is under way, so that who waits for its answer asks for no other.
    is_fetching: AtomicBool,
    /// When the keys in force were last confirmed, in microseconds of a [`Moment`]; 0 for never.
    confirmed_at: AtomicU64,
}

#[derive(Debug)]
struct EndOnDrop(AbortHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl KeySource {
    /// Starts fetching on `runtime`, at once and then by the schedule, into `keys`.
    ///
    /// # Errors
    ///
    /// [`KeySourceUnusable`] when no TLS client can be made.
    pub fn spawn(
        runtime: &Handle,
        settings: KeySourceSettings,
        keys: Arc<KeyCell>,
        clock: Clock,
    ) -> Result<Self, KeySourceUnusable> {
        let KeySourceSettings { issuer, location, fetch_timeout, size_max, .. } = settings;
        let fetcher = Fetcher::try_new(location, fetch_timeout, size_max)
            .map_err(|source| KeySourceUnusable { issuer: Arc::clone(&issuer), source })?;
        let demand = Arc::new(Demand {
            asked: Notify::new(),
            // As good as: the first poll is due at once.
            is_fetching: AtomicBool::new(true),
            confirmed_at: AtomicU64::new(0),
        });
        let (answers, answered) = watch::channel(0);
        let task = Task {
            issuer,
            fetcher,
            schedule: Schedule::new(clock.now(), settings.poll_interval, settings.refetch_cooldown),
            stale_max: settings.stale_max,
            demand: Arc::clone(&demand),
            answers,
            keys: Arc::clone(&keys),
            clock,
        };
        let task = runtime.spawn(task.run());
        Ok(Self {
            demand,
            answers: answered,
            keys,
            _task: Arc::new(EndOnDrop(task.abort_handle())),
        })
    }

    /// Waits until there are keys of another generation than `newer_than`, or a fetch was tried
    /// or refused: then there will be none for now. From any runtime; safe to drop.
    pub async fn refresh(&self, newer_than: Option<u64>) {
        // Before the looks at what there is, so that no answer slips through in between.
        let mut answers = self.answers.clone();
        answers.mark_unchanged();
        if self.is_loaded() && self.keys.generation() != newer_than {
            return;
        }
        if !self.demand.is_fetching.load(Ordering::SeqCst) {
            self.demand.asked.notify_one();
        }
        // An error means that the task has ended with its runtime: there will be no answer.
        answers.changed().await.ok();
    }

    /// Whether there are keys to verify with: a gateway is not ready before.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.keys.is_loaded()
    }

    /// Whether this is the source of those keys.
    #[must_use]
    pub fn fills(&self, keys: &Arc<KeyCell>) -> bool {
        Arc::ptr_eq(&self.keys, keys)
    }

    /// How long ago the keys in force were last confirmed by their issuer; `None` before the
    /// first time.
    #[must_use]
    pub fn age(&self, now: Moment) -> Option<Duration> {
        let confirmed_at = self.demand.confirmed_at.load(Ordering::SeqCst);
        (confirmed_at > 0).then(|| now.since(Moment::from_micros(confirmed_at)))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("keys", &self.keys).finish_non_exhaustive()
    }
}

struct Task {
    issuer: Arc<str>,
    fetcher: Fetcher,
    schedule: Schedule,
    stale_max: Duration,
    demand: Arc<Demand>,
    /// Counts answers, so that everybody who waits for the next one wakes.
    answers: watch::Sender<u64>,
    keys: Arc<KeyCell>,
    clock: Clock,
}

impl Task {
    async fn run(mut self) {
        loop {
            if self.is_fetch_wanted().await {
                self.demand.is_fetching.store(true, Ordering::SeqCst);
                match self.fetcher.fetch().await {
                    Ok(fetched) => self.publish(fetched),
                    Err(failed) => self.bear_with(&failed),
                }
            }
            // Before the answer: who still sees a fetch under way will hear of it.
            self.demand.is_fetching.store(false, Ordering::SeqCst);
            self.answers.send_modify(|answers| *answers = answers.wrapping_add(1));
        }
    }

    /// Waits for the poll's time or for somebody to ask, and says whether to fetch.
    async fn is_fetch_wanted(&mut self) -> bool {
        let wait = self.schedule.due_in(self.clock.now());
        if wait.is_zero() {
            return true;
        }
        tokio::select! {
            // The poll first, so that no crowd of those who ask can keep it from its turn.
            biased;
            () = tokio::time::sleep(wait) => true,
            () = self.demand.asked.notified() => self.schedule.grant_refetch(self.clock.now()),
        }
    }

    fn publish(&mut self, fetched: Fetched) {
        let now = self.clock.now();
        let failures = self.schedule.succeeded(now, fetched.freshness);
        self.demand.confirmed_at.store(now.as_micros(), Ordering::SeqCst);
        let (usable, ignored) = (fetched.keys.usable_count(), fetched.keys.ignored().to_vec());
        let is_new = self.keys.publish(fetched.keys);
        if is_new {
            tracing::info!(issuer = %self.issuer, usable, "new keys are in force");
            for key in ignored {
                let (index, reason) = (key.index, key.reason);
                tracing::info!(issuer = %self.issuer, index, %reason, "a key is ignored");
            }
        } else if failures > 0 {
            tracing::info!(issuer = %self.issuer, failures, "keys can be fetched again");
        }
    }

    fn bear_with(&mut self, failed: &FetchFailed) {
        let now = self.clock.now();
        // Once, and not with every attempt: the age of the keys says how long it has lasted.
        if self.schedule.failed(now) == 1 {
            let error: &(dyn std::error::Error + 'static) = failed;
            tracing::warn!(issuer = %self.issuer, error, "keys cannot be fetched");
        }
        let confirmed_at = Moment::from_micros(self.demand.confirmed_at.load(Ordering::SeqCst));
        if self.keys.is_loaded() && now.since(confirmed_at) > self.stale_max {
            self.keys.clear();
            tracing::error!(issuer = %self.issuer, "the last known keys are too old and dropped");
        }
    }
}

#[cfg(test)]
mod tests;
