//! The issuers' keys, by issuer: who fetches them, and for whom they are still missing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::auth::jwt::WantedKeys;
use crate::clock::Moment;
use crate::upstream::key_source::KeySource;

/// The sources of all issuers' keys.
#[derive(Debug, Default)]
pub struct KeySources(ArcSwap<Vec<(Arc<str>, KeySource)>>);

impl KeySources {
    /// Sources by the issuers' names in configuration.
    #[must_use]
    pub fn new(sources: Vec<(Arc<str>, KeySource)>) -> Self {
        Self(ArcSwap::from_pointee(sources))
    }

    /// Puts other sources in their place; those that are in both go on.
    pub fn replace(&self, sources: Vec<(Arc<str>, KeySource)>) {
        self.0.store(Arc::new(sources));
    }

    /// The sources.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<(Arc<str>, KeySource)>> {
        self.0.load_full()
    }

    /// Waits until newer keys are there, or it is clear that there are none for now.
    pub async fn refresh(&self, wanted: WantedKeys<'_>) {
        let sources = self.all();
        if let Some((_, source)) = sources.iter().find(|(issuer, _)| **issuer == *wanted.issuer) {
            source.refresh(wanted.newer_than).await;
        }
    }

    /// For each issuer how long ago its keys were last confirmed; `None` before the first time.
    #[must_use]
    pub fn ages(&self, now: Moment) -> Vec<(Arc<str>, Option<Duration>)> {
        let age = |(issuer, source): &(Arc<str>, KeySource)| (Arc::clone(issuer), source.age(now));
        self.0.load().iter().map(age).collect()
    }

    /// The issuers whose keys were never loaded.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let sources = self.0.load();
        let missing = sources.iter().filter(|(_, source)| !source.is_loaded());
        missing.map(|(issuer, _)| issuer.to_string()).collect()
    }
}
