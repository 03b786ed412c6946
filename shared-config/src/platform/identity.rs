//! `[identity]` and `[assertion]`: what services are told about a caller.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Duration;

/// `[identity]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Header with the user.
    pub user_id_header: String,
    /// Header with the role.
    pub role_header: String,
    /// Header that says that the caller was identified.
    pub verified_header: String,
    /// Header with the tenant.
    pub tenant_header: String,
    /// Header with the consumer's tier.
    pub tier_header: String,
    /// The tier of a caller whose credential names none.
    #[schemars(length(min = 1))]
    pub default_tier: String,
    /// Where each part of the identity stands in the claims.
    pub claims: Claims,
}

/// `[identity.claims]`: JSON pointers into a token's claims.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The user.
    pub user_id: String,
    /// The role.
    pub role: String,
    /// All roles.
    pub roles: String,
    /// The tenant.
    pub tenant: String,
    /// The tier.
    pub tier: String,
}

/// `[auth.jwt.issuers.*.claims]`: pointers that differ for one issuer.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimsOverride {
    /// The user.
    pub user_id: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// All roles.
    pub roles: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The tier.
    pub tier: Option<String>,
}

impl Claims {
    /// These pointers, except where `other` has its own.
    #[must_use]
    pub fn overridden_by(&self, other: &ClaimsOverride) -> Self {
        let own = |other: &Option<String>, own: &String| other.as_ref().unwrap_or(own).clone();
        Self {
            user_id: own(&other.user_id, &self.user_id),
            role: own(&other.role, &self.role),
            roles: own(&other.roles, &self.roles),
            tenant: own(&other.tenant, &self.tenant),
            tier: own(&other.tier, &self.tier),
        }
    }
}

/// `[assertion]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// Header with the signed proof that a request came through this gateway.
    pub header: String,
    /// How long one assertion is valid, at most 30 seconds.
    pub lifetime: Duration,
}
