//! The sections of configuration that only this gateway knows.

use schemars::JsonSchema;
use serde::Deserialize;
use shared_config::Section;

/// Key of the records of API keys.
pub const KEYS: &str = "keys";

/// Key of the webhook endpoints' limits.
pub const WEBHOOK_ENDPOINTS: &str = "webhook_endpoints";

/// `[[keys]]`: one API key, as `partner-gateway keys issue` prints it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The key's public name: in records and for support.
    pub id: String,
    /// Who it was issued to. All keys of a partner share its limits.
    pub partner: String,
    /// The partner's tier.
    pub tier: String,
    /// HMAC-SHA-256 of the key under the pepper, in hex. The key itself is never stored.
    pub digest: String,
    /// What the key is good for; empty: everything the gateway offers.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When it ends, in seconds since the Unix epoch; absent: never.
    pub expires_at: Option<u64>,
    /// Taken back: answers as if it had never been.
    #[serde(default)]
    pub revoked: bool,
}

/// `[webhook_endpoints]`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookEndpointLimits {
    /// Endpoints of one partner; above this a new one is refused.
    #[serde(default = "per_partner_max")]
    #[schemars(range(min = 1))]
    pub per_partner_max: usize,
}

const fn per_partner_max() -> usize {
    50
}

impl Default for WebhookEndpointLimits {
    fn default() -> Self {
        Self { per_partner_max: per_partner_max() }
    }
}

/// Every section that belongs to this gateway.
#[must_use]
pub fn sections() -> Vec<Section> {
    vec![
        Section::of::<Vec<KeyEntry>>(KEYS),
        Section::of::<WebhookEndpointLimits>(WEBHOOK_ENDPOINTS),
    ]
}
