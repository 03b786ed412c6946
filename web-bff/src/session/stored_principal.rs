//! A principal as a session keeps it: plain texts, checked again when they are read.

use gateway_core::clock::Timestamp;
use gateway_core::principal::{IdentityText, InvalidIdentityText, Principal, Scheme};
use serde::{Deserialize, Serialize};

/// The parts of a principal that a session has to remember.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPrincipal {
    user_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    tier: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_unix_s: Option<u64>,
}

impl From<&Principal> for StoredPrincipal {
    fn from(principal: &Principal) -> Self {
        let text = |text: &IdentityText| text.as_str().to_owned();
        Self {
            user_id: text(&principal.user_id),
            role: principal.role.as_ref().map(text),
            roles: principal.roles.iter().map(text).collect(),
            tenant: principal.tenant.as_ref().map(text),
            tier: text(&principal.tier),
            scopes: principal.scopes.iter().map(text).collect(),
            expires_at_unix_s: principal.expires_at.map(Timestamp::unix_seconds),
        }
    }
}

impl TryFrom<StoredPrincipal> for Principal {
    type Error = InvalidIdentityText;

    fn try_from(stored: StoredPrincipal) -> Result<Self, InvalidIdentityText> {
        let text = |text: &String| IdentityText::parse(text);
        Ok(Self {
            scheme: Scheme::Session,
            user_id: text(&stored.user_id)?,
            role: stored.role.as_ref().map(text).transpose()?,
            roles: stored.roles.iter().map(text).collect::<Result<_, _>>()?,
            tenant: stored.tenant.as_ref().map(text).transpose()?,
            tier: text(&stored.tier)?,
            scopes: stored.scopes.iter().map(text).collect::<Result<_, _>>()?,
            credential_id: None,
            expires_at: stored.expires_at_unix_s.map(Timestamp::from_unix_seconds),
        })
    }
}
