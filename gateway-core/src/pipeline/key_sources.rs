//! The issuers' keys, by issuer: who fetches them, and for whom they are still missing.

use std::sync::Arc;

use crate::auth::jwt::WantedKeys;
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

    /// The issuers whose keys were never loaded.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let missing = self.0.iter().filter(|(_, source)| !source.is_loaded());
        missing.map(|(issuer, _)| issuer.to_string()).collect()
    }
}
