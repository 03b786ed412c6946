//! The section of configuration that only this gateway knows.

use gateway_core::auth::claims::{ClaimMapping, ClaimPointer};
use gateway_core::principal::IdentityText;
use schemars::JsonSchema;
use serde::Deserialize;
use shared_config::{Diagnostic, Diagnostics, Loaded, Section};

/// The section's key.
pub const LOGIN: &str = "login";

/// `[login]`, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawLogin {
    /// The service that checks an email and a password.
    pub service: String,
    /// The path it does it at: `POST` with `{"email", "password"}`.
    pub path: String,
    /// Where the identity stands in its answer: JSON pointers.
    pub identity: RawLoginIdentity,
}

/// `[login.identity]`, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawLoginIdentity {
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

impl Default for RawLogin {
    fn default() -> Self {
        Self {
            service: "user-service".to_owned(),
            path: "/auth/login".to_owned(),
            identity: RawLoginIdentity::default(),
        }
    }
}

impl Default for RawLoginIdentity {
    fn default() -> Self {
        Self {
            user_id: "/user/id".to_owned(),
            role: "/user/role".to_owned(),
            roles: "/user/roles".to_owned(),
            tenant: "/user/tenant_id".to_owned(),
            tier: "/user/tier".to_owned(),
        }
    }
}

/// `[login]`, as used.
#[derive(Debug, Clone)]
pub struct Login {
    /// The service that checks an email and a password.
    pub service: String,
    /// The path it does it at.
    pub path: String,
    /// How its answer becomes a principal.
    pub identity: ClaimMapping,
}

/// Every section that belongs to this gateway.
#[must_use]
pub fn sections() -> Vec<Section> {
    vec![Section::of::<RawLogin>(LOGIN)]
}

/// Reads `[login]`.
///
/// # Errors
///
/// Every key of it that cannot be used.
pub fn login(loaded: &Loaded) -> Result<Login, Diagnostics> {
    let raw: RawLogin = loaded.section(LOGIN)?;
    let mut wrong = Vec::new();
    if !loaded.platform.services.contains_key(&raw.service) {
        let known = loaded.platform.services.keys().map(String::as_str);
        let value = &*raw.service;
        let error = Diagnostic::at(loaded, &[LOGIN, "service"], value, "names no service");
        wrong.push(error.suggest(&raw.service, known));
    }
    if http::uri::PathAndQuery::try_from(&*raw.path).is_err() || !raw.path.starts_with('/') {
        wrong.push(Diagnostic::at(loaded, &[LOGIN, "path"], &*raw.path, "must be a path"));
    }
    let identity = identity(loaded, &raw.identity, &mut wrong);
    Diagnostics::none_or(wrong)?;
    let identity = identity.ok_or_else(|| Diagnostics::from_iter([]))?;
    Ok(Login { service: raw.service, path: raw.path, identity })
}

fn identity(
    loaded: &Loaded,
    raw: &RawLoginIdentity,
    wrong: &mut Vec<Diagnostic>,
) -> Option<ClaimMapping> {
    let mut pointer = |key: &str, text: &str| {
        let path = [LOGIN, "identity", key];
        let noted = |error| Diagnostic::at(loaded, &path, text, format!("{error}"));
        ClaimPointer::parse(text).map_err(|error| wrong.push(noted(error))).ok()
    };
    let user_id = pointer("user_id", &raw.user_id);
    let role = pointer("role", &raw.role);
    let roles = pointer("roles", &raw.roles);
    let tenant = pointer("tenant", &raw.tenant);
    let tier = pointer("tier", &raw.tier);
    Some(ClaimMapping {
        user_id: user_id?,
        role: role?,
        roles: roles?,
        tenant: tenant?,
        tier: tier?,
        // The core has checked it.
        default_tier: IdentityText::parse(&loaded.platform.identity.default_tier).ok()?,
    })
}
