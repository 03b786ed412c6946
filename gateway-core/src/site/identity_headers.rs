//! The headers that tell a service who calls.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::principal::Principal;

/// The names of the identity headers, as configured.
#[derive(Debug, Clone)]
pub struct IdentityHeaders {
    /// `X-User-ID`
    pub user_id: HeaderName,
    /// `X-User-Role`
    pub role: HeaderName,
    /// `X-Auth-Verified`
    pub verified: HeaderName,
    /// `X-Tenant-ID`
    pub tenant: HeaderName,
    /// `X-Consumer-Tier`
    pub tier: HeaderName,
}

impl IdentityHeaders {
    /// Every name, so that what a client sends under it can be dropped.
    #[must_use]
    pub fn names(&self) -> [&HeaderName; 5] {
        [&self.user_id, &self.role, &self.verified, &self.tenant, &self.tier]
    }

    /// Writes who calls. What the credential does not say is not sent.
    pub fn write(&self, principal: &Principal, headers: &mut HeaderMap) {
        headers.insert(&self.user_id, principal.user_id.to_header());
        headers.insert(&self.verified, HeaderValue::from_static("true"));
        headers.insert(&self.tier, principal.tier.to_header());
        if let Some(role) = &principal.role {
            headers.insert(&self.role, role.to_header());
        }
        if let Some(tenant) = &principal.tenant {
            headers.insert(&self.tenant, tenant.to_header());
        }
    }
}
