//! The registry in memory: endpoints by partner.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gateway_core::clock::Timestamp;
use gateway_core::principal::IdentityText;
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::{Value, json};

use super::{NewEndpoint, WebhookEndpointRefused};
use crate::config::WebhookEndpointLimits;

/// Bytes of a secret: what Standard Webhooks recommends at the least, and a third more.
const SECRET_SIZE: usize = 32;

/// One endpoint of a partner.
#[derive(Debug, Clone)]
pub struct WebhookEndpoint {
    id: String,
    url: String,
    event_types: Vec<String>,
    description: String,
    created_at: Timestamp,
    /// Signs what is sent to it; cannot be printed.
    secret: SecretSlice<u8>,
}

impl WebhookEndpoint {
    /// As its partner sees it: without the secret.
    #[must_use]
    pub fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "url": self.url,
            "event_types": self.event_types,
            "description": self.description,
            "created_at": self.created_at.to_string(),
        })
    }

    /// `whsec_` and the secret in base64: shown once.
    fn written_secret(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.secret.expose_secret()))
    }
}

/// All endpoints, under the limits of one configuration.
#[derive(Debug)]
pub struct WebhookEndpoints {
    limits: WebhookEndpointLimits,
    registered: Arc<Registered>,
}

/// The endpoints by partner, whatever the limits: they outlive a configuration.
#[derive(Debug, Default)]
pub struct Registered(Mutex<HashMap<IdentityText, Vec<WebhookEndpoint>>>);

impl WebhookEndpoints {
    /// These endpoints under these limits.
    #[must_use]
    pub const fn new(limits: WebhookEndpointLimits, registered: Arc<Registered>) -> Self {
        Self { limits, registered }
    }

    /// Adds an endpoint and returns it with its secret, which nobody will see again.
    ///
    /// # Errors
    ///
    /// [`WebhookEndpointRefused::TooMany`] when the partner has as many as it may.
    pub fn create(
        &self,
        partner: &IdentityText,
        new: NewEndpoint,
        now: Timestamp,
    ) -> Result<(WebhookEndpoint, String), WebhookEndpointRefused> {
        let mut by_partner = self.lock();
        let endpoints = by_partner.entry(partner.clone()).or_default();
        let max = self.limits.per_partner_max;
        if endpoints.len() >= max {
            return Err(WebhookEndpointRefused::TooMany { max });
        }
        let secret: [u8; SECRET_SIZE] = rand::rng().random();
        let endpoint = WebhookEndpoint {
            id: format!("ep_{:032x}", rand::rng().random::<u128>()),
            url: new.url,
            event_types: new.event_types,
            description: new.description,
            created_at: now,
            secret: secret.to_vec().into(),
        };
        endpoints.push(endpoint.clone());
        let written = endpoint.written_secret();
        Ok((endpoint, written))
    }

    /// A partner's endpoints, the earliest first.
    #[must_use]
    pub fn of(&self, partner: &IdentityText) -> Vec<WebhookEndpoint> {
        self.lock().get(partner).cloned().unwrap_or_default()
    }

    /// A partner's endpoint.
    #[must_use]
    pub fn find(&self, partner: &IdentityText, id: &str) -> Option<WebhookEndpoint> {
        self.lock().get(partner)?.iter().find(|endpoint| endpoint.id == id).cloned()
    }

    /// Deletes a partner's endpoint; `false` when it has none of that id.
    pub fn delete(&self, partner: &IdentityText, id: &str) -> bool {
        let mut by_partner = self.lock();
        let Some(endpoints) = by_partner.get_mut(partner) else { return false };
        let before = endpoints.len();
        endpoints.retain(|endpoint| endpoint.id != id);
        endpoints.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IdentityText, Vec<WebhookEndpoint>>> {
        self.registered.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner(name: &str) -> IdentityText {
        IdentityText::parse(name).expect("visible ASCII")
    }

    fn create(registry: &WebhookEndpoints, name: &str) -> Option<(WebhookEndpoint, String)> {
        let new = NewEndpoint {
            url: "https://hooks.example.com".to_owned(),
            event_types: Vec::new(),
            description: String::new(),
        };
        registry.create(&partner(name), new, Timestamp::from_unix_seconds(1)).ok()
    }

    #[test]
    fn a_partner_never_finds_lists_or_deletes_anothers_endpoint() {
        let registry = WebhookEndpoints::new(WebhookEndpointLimits::default(), Arc::default());
        let (endpoint, _) = create(&registry, "acme").expect("room");
        assert!(registry.find(&partner("globex"), &endpoint.id).is_none());
        assert!(registry.of(&partner("globex")).is_empty());
        assert!(!registry.delete(&partner("globex"), &endpoint.id));
        assert!(registry.find(&partner("acme"), &endpoint.id).is_some());
        assert!(registry.delete(&partner("acme"), &endpoint.id));
        assert!(!registry.delete(&partner("acme"), &endpoint.id));
    }

    #[test]
    fn one_endpoint_too_many_is_refused_for_that_partner_alone() {
        let registry =
            WebhookEndpoints::new(WebhookEndpointLimits { per_partner_max: 1 }, Arc::default());
        assert!(create(&registry, "acme").is_some());
        assert!(create(&registry, "acme").is_none());
        assert!(create(&registry, "globex").is_some());
    }

    #[test]
    fn a_secret_is_in_the_answer_of_its_making_and_nowhere_else() {
        let registry = WebhookEndpoints::new(WebhookEndpointLimits::default(), Arc::default());
        let (endpoint, secret) = create(&registry, "acme").expect("room");
        let bare = secret.strip_prefix("whsec_").expect("the prefix of a symmetric secret");
        assert_eq!(BASE64_STANDARD.decode(bare).expect("base64").len(), SECRET_SIZE);
        assert!(!endpoint.shown().to_string().contains(bare));
        assert!(!format!("{registry:?} {endpoint:?}").contains(bare));
    }
}
