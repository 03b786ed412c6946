//! Who asks, as a service sees it, and what it may see.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{StatusCode, header};
use serde_json::json;

/// Who asks, by the assertion.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user, or the partner.
    pub user_id: String,
    /// The role; partners have none.
    pub role: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The tier.
    pub tier: Option<String>,
}

impl Caller {
    /// Whether the caller may change what is theirs: everybody but viewers.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.role.as_deref() != Some("viewer")
    }

    /// Whether the caller may see what belongs to `owner`: their own; an admin, the tenant's.
    #[must_use]
    pub fn may_see(&self, owner: &str) -> bool {
        let is_of_tenant = || {
            let tenant = super::user::tenant_of(owner);
            tenant.is_some() && tenant == self.tenant.as_deref()
        };
        self.user_id == owner || (self.role.as_deref() == Some("admin") && is_of_tenant())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| problem(StatusCode::UNAUTHORIZED, "identity_missing"))
    }
}

/// A service's own problem.
pub(super) fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({ "type": "about:blank", "status": status.as_u16(), "code": code });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string()).into_response()
}
