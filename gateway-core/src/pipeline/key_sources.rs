//! The issuers' keys, by issuer: who fetches them, and for whom they are still missing.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::jwt::WantedKeys;
use crate::clock::Moment;
use crate::upstream::key_source::KeySource;

/// The sources of all issuers' keys.
#[derive(Debug, Default)]
pub struct KeySources(Vec<(Arc<str>, KeySource)>);

impl KeySources {
    /// Sources by the issuers' names in configuration.
    #[must_use]
    pub const fn new(sources: Vec<(Arc<str>, KeySource)>) -> Self {
        Self(sources)
    }

    /// Waits until newer keys are there, or it is clear that there are none for now.
    pub async fn refresh(&self, wanted: WantedKeys<'_>) {
        if let Some((_, source)) = self.0.iter().find(|(issuer, _)| **issuer == *wanted.issuer) {
            source.refresh(wanted.newer_than).await;
        }
    }

    /// For each issuer how long ago its keys were last confirmed; `None` before the first time.
    #[must_use]
    pub fn ages(&self, now: Moment) -> Vec<(Arc<str>, Option<Duration>)> {
        let age = |(issuer, source): &(Arc<str>, KeySource)| (Arc::clone(issuer), source.age(now));
        self.0.iter().map(age).collect()
    }

    /// The issuers whose keys were never loaded.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let missing = self.0.iter().filter(|(_, source)| !source.is_loaded());
        missing.map(|(issuer, _)| issuer.to_string()).collect()
    }
}
