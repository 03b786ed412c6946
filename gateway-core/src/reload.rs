//! Reload: another configuration is put in force while requests are served.
//!
//! Read in this order: [`Reloader::reload`] is one reload from the files to its report, `restart`
//! says which keys a running process cannot change, `carry_over` what of the old site goes on in
//! the new one, [`watch`] who asks for a reload by themselves, `files` what they have seen.
//!
//! Invariants
//! - Everything that can be wrong is found before anything is changed; a configuration is put in
//!   force whole, or not at all.
//! - One reload at a time. Who asks while one is under way gets the next one.
//! - A request is served by the site it began with, whatever is put in force meanwhile.
//! - What a configuration says the same as before keeps its connections, buckets, keys, sessions
//!   and kept answers.
//!
//! Not here: reading and compiling (`shared-config`, `command::prepare`), which serve a start and a
//! reload alike.

mod carry_over;
mod files;
mod refused;
mod restart;
#[cfg(test)]
mod tests;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use shared_config::{Changes, Loaded, Secret, Watched};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use self::files::Files;
pub use self::refused::ReloadRefused;
use crate::clock::Timestamp;
use crate::command::Gateway;
use crate::command::prepare::{self, Foundation, Prepared, session_bounds};
use crate::metric::ReloadResult;
use crate::observability::diagnostics;
use crate::pipeline::Core;
use crate::site::compile::IssuerKeys;
use crate::stores::{Keys, Vault};
use crate::upstream::key_source::{KeySource, KeySourceSettings};
use crate::upstream::{self, Client, Network};

/// Reloads that wait for the one under way, at the most.
const WAITING_MAX: usize = 16;

/// How long a reload waits for the keys of an issuer that is new.
const KEYS_TIMEOUT: Duration = Duration::from_secs(10);

/// Who asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// A file that says something else.
    Files,
    /// `POST /reload`.
    Operator,
}

/// What a reload came to.
pub type Outcome = Result<Changes, ReloadRefused>;

/// The last reload.
#[derive(Debug)]
pub struct Attempt {
    /// When it had ended.
    pub at: Timestamp,
    /// What it came to.
    pub outcome: Outcome,
}

/// The configuration in force, as operators meet it.
#[derive(Debug)]
pub struct Shown {
    /// Its text, secrets masked.
    pub text: String,
    /// What callers of the admin listener must show.
    pub token: Option<Secret>,
    /// When it was put in force. Reading it again changes nothing.
    pub since: Timestamp,
}

/// Puts configurations in force.
#[derive(Debug)]
pub struct Reloader {
    gateway: Name,
    core: Arc<Core>,
    foundation: Foundation,
    in_force: Mutex<InForce>,
    files: Files,
    probes: Arc<Client>,
    places: Semaphore,
    shown: ArcSwap<Shown>,
    last: ArcSwapOption<Attempt>,
}

/// The gateway, which has no `Debug` of its own.
struct Name(&'static dyn Gateway);

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// A configuration that is served.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) issuers: Vec<IssuerKeys>,
}

impl Reloader {
    /// What follows a configuration that a process has begun to serve.
    pub(crate) fn new(
        gateway: &'static dyn Gateway,
        core: &Arc<Core>,
        foundation: Foundation,
        in_force: InForce,
    ) -> Arc<Self> {
        let (since, metrics) = (core.clock.wall(), &core.metrics);
        metrics.last_reload_successful.set(1);
        metrics.last_reload_success.set(since.unix_seconds().try_into().unwrap_or(i64::MAX));
        Arc::new(Self {
            gateway: Name(gateway),
            core: Arc::clone(core),
            foundation,
            shown: ArcSwap::from_pointee(shown(&in_force.loaded, since)),
            files: Files::new(Watched::new(in_force.loaded.sources(), &gateway.sections())),
            in_force: Mutex::new(in_force),
            // Connections of its own; the cores have theirs.
            probes: Arc::new(Client::new(Network)),
            places: Semaphore::new(WAITING_MAX),
            last: ArcSwapOption::empty(),
        })
    }

    /// Looks after the targets of all services for as long as there are these services. Call it
    /// inside the background runtime.
    pub fn watch_targets(&self) {
        for service in &self.core.site.load().services {
            upstream::watch(&Handle::current(), &service.targets, &self.probes);
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.load_full()
    }

    /// The last reload; none before the first.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Attempt>> {
        self.last.load_full()
    }

    /// Reads the configuration again, checks it, and puts it in force. Call it inside the
    /// background runtime. Dropping the future does not stop it.
    ///
    /// # Errors
    ///
    /// [`ReloadRefused`]; what was in force stays in force.
    pub async fn reload(self: &Arc<Self>, trigger: Trigger) -> Outcome {
        let this = Arc::clone(self);
        // On a task of its own: an operator who hangs up must not leave half a reload behind.
        let reload = tokio::spawn(async move {
            let _place = this.places.try_acquire().map_err(|_| ReloadRefused::Busy)?;
            let mut in_force = this.in_force.lock().await;
            let outcome = this.attempt(&mut in_force).await;
            if matches!(outcome, Err(ReloadRefused::Keys(_) | ReloadRefused::Panicked)) {
                this.files.try_again();
            }
            this.note(trigger, &outcome);
            outcome
        });
        reload.await.unwrap_or(Err(ReloadRefused::Panicked))
    }

    /// Reloads, unless the files were read when they said what they say by this look. Call it as
    /// [`Reloader::reload`].
    async fn follow(self: &Arc<Self>, seen: u64) {
        if self.files.were_tried(seen) {
            return;
        }
        // Whoever is reading them may be reading just this.
        drop(self.in_force.lock().await);
        if !self.files.were_tried(seen) {
            // Its outcome is noted where every outcome is.
            let _ = self.reload(Trigger::Files).await;
        }
    }

    /// Whether the files say something else than what is in force. It blocks nobody.
    pub(crate) async fn is_behind(&self) -> bool {
        let (gateway, in_force) = (self.gateway.0, self.in_force.lock().await.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let loaded = shared_config::load(in_force.loaded.sources(), &gateway.sections());
            loaded.map_or(true, |loaded| !in_force.loaded.changes_to(&loaded).is_empty())
        });
        looking.await.unwrap_or(false)
    }

    async fn attempt(self: &Arc<Self>, in_force: &mut InForce) -> Outcome {
        let candidate = self.candidate(in_force.clone()).await?;
        let key_sources = self.key_sources(&candidate.prepared.compiled.issuers).await?;
        let Candidate { loaded, changes, mut prepared } = candidate;
        if let (Some(tls), Some(settings)) = (&self.core.tls, prepared.listeners.tls.take())
            && changes.touch(&["server", "tls"])
        {
            tls.reload(settings).map_err(|unusable| ReloadRefused::Tls(Arc::new(unusable)))?;
        }
        in_force.issuers.clone_from(&prepared.compiled.issuers);
        in_force.loaded = Arc::clone(&loaded);
        // No await from here on: either none of it happens, or all of it.
        self.core.key_sources.replace(key_sources);
        self.put_in_force(&loaded, &changes, prepared);
        Ok(changes)
    }

    /// Reads, checks and compiles, beside everything that must not wait for it.
    async fn candidate(self: &Arc<Self>, in_force: InForce) -> Result<Candidate, ReloadRefused> {
        let this = Arc::clone(self);
        let candidate = tokio::task::spawn_blocking(move || {
            let (gateway, foundation) = (this.gateway.0, &this.foundation);
            this.files.try_now();
            let loaded = shared_config::load(in_force.loaded.sources(), &gateway.sections())?;
            let changes = in_force.loaded.changes_to(&loaded);
            // Compiled first, so that all that is wrong is said at once.
            let prepared = prepare::prepare(gateway, &loaded, foundation, &in_force.issuers)?;
            restart::none_needed(&changes, &loaded, &gateway.sections())?;
            Ok(Candidate { loaded: Arc::new(loaded), changes, prepared })
        });
        candidate.await.unwrap_or(Err(ReloadRefused::Panicked))
    }

    /// The sources of these issuers' keys: those that there are go on, and new ones have fetched
    /// theirs, so that no token is refused for want of them.
    async fn key_sources(
        &self,
        issuers: &[IssuerKeys],
    ) -> Result<Vec<(Arc<str>, KeySource)>, ReloadRefused> {
        let running = self.core.key_sources.all();
        let mut sources = Vec::with_capacity(issuers.len());
        for IssuerKeys { issuer, location, keys } in issuers {
            let known = running.iter().find(|(_, source)| source.fills(keys));
            let source = match known {
                Some((_, source)) => source.clone(),
                None => {
                    let settings = KeySourceSettings::new(Arc::clone(issuer), location.clone());
                    let (keys, clock) = (Arc::clone(keys), self.core.clock.clone());
                    let source = KeySource::spawn(&Handle::current(), settings, keys, clock)?;
                    let _ = timeout(KEYS_TIMEOUT, source.refresh(None)).await;
                    if !source.is_loaded() {
                        return Err(ReloadRefused::Keys(Arc::clone(issuer)));
                    }
                    source
                }
            };
            sources.push((Arc::clone(issuer), source));
        }
        Ok(sources)
    }

    fn put_in_force(&self, loaded: &Loaded, changes: &Changes, prepared: Prepared) {
        let (core, platform) = (&self.core, &loaded.platform);
        let mut site = prepared.compiled.site;
        carry_over::carry_over(&core.site.load(), &mut site, changes);
        core.rate_limits.resize(platform.rate_limit.buckets_max);
        core.part_cache.resize(platform.aggregation.cache_size_max.bytes());
        if let Vault::Memory(vault) = &core.vault {
            let (sessions_max, lifetime) = session_bounds(platform);
            vault.adjust(sessions_max, lifetime);
        }
        if let Keys::Memory(keys) = &core.keys {
            keys.adopt(&prepared.keys);
        }
        core.site.store(Arc::new(site));
        self.watch_targets();
        if !changes.is_empty() {
            self.shown.store(Arc::new(shown(loaded, core.clock.wall())));
        }
        if changes.touch(&["log", "level"]) {
            diagnostics::refilter(prepared.log_level);
        }
    }

    /// Says what a reload came to wherever operators look.
    fn note(&self, trigger: Trigger, outcome: &Outcome) {
        let (core, at) = (&self.core, self.core.clock.wall());
        let metrics = &core.metrics;
        let result = match outcome {
            Ok(changed) => {
                tracing::info!(?trigger, %changed, "the configuration was reloaded");
                let seconds = at.unix_seconds().try_into().unwrap_or(i64::MAX);
                metrics.last_reload_success.set(seconds);
                "success"
            }
            Err(refused) => {
                tracing::error!(?trigger, %refused, "the configuration stays as it was");
                "refused"
            }
        };
        metrics.reloads.get_or_create_owned(&ReloadResult { result }).inc();
        metrics.last_reload_successful.set(outcome.is_ok().into());
        // After a refusal as well: what was compiled in vain has left counters.
        metrics.retain(&core.site.load().names());
        self.last.store(Some(Arc::new(Attempt { at, outcome: outcome.clone() })));
    }
}

/// A configuration that could be put in force.
struct Candidate {
    loaded: Arc<Loaded>,
    changes: Changes,
    prepared: Prepared,
}

fn shown(loaded: &Loaded, since: Timestamp) -> Shown {
    Shown { text: loaded.render(), token: loaded.platform.admin.token.clone(), since }
}
