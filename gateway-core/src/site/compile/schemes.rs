//! `[auth.*]`: how each scheme verifies.

use std::sync::Arc;

use shared_config::platform;

use super::Report;
use crate::auth::api_key::{ApiKeyPolicy, KeyPrefix, Pepper};
use crate::auth::claims::{ClaimMapping, ClaimPointer};
use crate::auth::client_certificate::{ClientCertificatePolicy, NameKind};
use crate::auth::jwks::{Algorithm, KeyCell};
use crate::auth::jwt::{Issuer, JwtScheme, Realm};
use crate::auth::session::{SessionLifetime, SessionPolicy};
use crate::principal::IdentityText;
use crate::upstream::key_source::KeyLocation;

/// One issuer's keys: where they are, and where they go.
#[derive(Debug, Clone)]
pub struct IssuerKeys {
    /// The issuer's name in configuration.
    pub issuer: Arc<str>,
    /// Where its keys are published.
    pub location: KeyLocation,
    /// Where the scheme looks for them.
    pub keys: Arc<KeyCell>,
}

impl IssuerKeys {
    /// The same keys as before where they are in the same place, or none yet.
    fn of(report: &Report<'_>, issuer: &Arc<str>, location: KeyLocation) -> Self {
        let is_same = |known: &&Self| known.issuer == *issuer && known.location == location;
        let before = report.issuers.iter().find(is_same).cloned();
        let keys = || Arc::new(KeyCell::new());
        before.unwrap_or_else(|| Self { issuer: Arc::clone(issuer), location, keys: keys() })
    }
}

/// The configured schemes.
#[derive(Default)]
pub(super) struct Schemes {
    pub(super) session: Option<SessionPolicy>,
    pub(super) jwt: Option<JwtScheme>,
    pub(super) api_key: Option<ApiKeyPolicy>,
    pub(super) client_certificate: Option<ClientCertificatePolicy>,
    pub(super) issuers: Vec<IssuerKeys>,
}

impl Schemes {
    pub(super) fn compile(report: &mut Report<'_>) -> Self {
        let auth = &report.platform().auth;
        let mut schemes = Self::default();
        if let Some(session) = &auth.session {
            schemes.session = session_policy(report, session);
        }
        if let Some(jwt) = &auth.jwt {
            schemes.jwt = schemes.jwt_scheme(report, jwt);
        }
        if let Some(api_key) = &auth.api_key {
            schemes.api_key = api_key_policy(report, api_key);
        }
        if let Some(client_certificate) = &auth.client_certificate {
            schemes.client_certificate = client_certificate_policy(report, client_certificate);
        }
        schemes
    }

    fn jwt_scheme(
        &mut self,
        report: &mut Report<'_>,
        jwt: &platform::JwtAuth,
    ) -> Option<JwtScheme> {
        let realm = Realm::parse(&jwt.realm);
        let realm = report.keep(&["auth", "jwt", "realm"], &jwt.realm, realm);
        let mut issuers = Vec::new();
        for (name, written) in &jwt.issuers {
            if let Some((issuer, keys)) = issuer(report, jwt, name, written) {
                issuers.push(issuer);
                self.issuers.push(keys);
            }
        }
        Some(JwtScheme::new(realm?, issuers, jwt.verified_tokens_max))
    }
}

fn issuer(
    report: &mut Report<'_>,
    jwt: &platform::JwtAuth,
    name: &str,
    written: &platform::Issuer,
) -> Option<(Issuer, IssuerKeys)> {
    let path = ["auth", "jwt", "issuers", name];
    let algorithms = written.algorithms.iter().map(|written| {
        let text = written.as_str();
        let algorithm = Algorithm::parse(text).ok_or("is no algorithm that is verified here");
        report.keep(&[&path[..], &["algorithms"]].concat(), text, algorithm)
    });
    let algorithms: Option<Vec<Algorithm>> = algorithms.collect();
    let location = match (&written.jwks_url, &written.jwks_file) {
        (Some(url), _) => {
            let location = KeyLocation::parse_url(url);
            report.keep(&[&path[..], &["jwks_url"]].concat(), url, location)
        }
        (None, Some(file)) => Some(KeyLocation::File(file.into())),
        (None, None) => None,
    };
    let claims = claims(report, &path, &written.claims);
    let name: Arc<str> = name.into();
    let keys = IssuerKeys::of(report, &name, location?);
    let issuer = Issuer {
        name: Arc::clone(&name),
        issuer: written.issuer.as_str().into(),
        audiences: written.audience.as_slice().iter().map(|one| one.as_str().into()).collect(),
        algorithms: algorithms?,
        token_types: written.token_types.iter().map(|one| one.as_str().into()).collect(),
        claims: claims?,
        max_lifetime: written.max_lifetime.unwrap_or(jwt.max_lifetime).get(),
        clock_skew: written.clock_skew.unwrap_or(jwt.clock_skew).get(),
        keys: Arc::clone(&keys.keys),
    };
    Some((issuer, keys))
}

/// The platform's mapping, and over it what the issuer says of its own.
fn claims(
    report: &mut Report<'_>,
    issuer: &[&str],
    own: &platform::ClaimsOverride,
) -> Option<ClaimMapping> {
    let identity = &report.platform().identity;
    let platform = &identity.claims;
    let mut pointer = |key, own: &Option<String>, inherited: &str| match own {
        Some(text) => {
            let path = [issuer, &["claims", key]].concat();
            report.keep(&path, text, ClaimPointer::parse(text))
        }
        None => {
            let parsed = ClaimPointer::parse(inherited);
            report.keep(&["identity", "claims", key], inherited, parsed)
        }
    };
    let user_id = pointer("user_id", &own.user_id, &platform.user_id);
    let role = pointer("role", &own.role, &platform.role);
    let roles = pointer("roles", &own.roles, &platform.roles);
    let tenant = pointer("tenant", &own.tenant, &platform.tenant);
    let tier = pointer("tier", &own.tier, &platform.tier);
    let default = &identity.default_tier;
    let default_tier =
        report.keep(&["identity", "default_tier"], default, IdentityText::parse(default));
    Some(ClaimMapping {
        user_id: user_id?,
        role: role?,
        roles: roles?,
        tenant: tenant?,
        tier: tier?,
        default_tier: default_tier?,
    })
}

fn session_policy(
    report: &mut Report<'_>,
    session: &platform::SessionAuth,
) -> Option<SessionPolicy> {
    let lifetime = SessionLifetime {
        idle_timeout: session.idle_timeout.get(),
        lifetime: session.lifetime.get(),
    };
    let policy = SessionPolicy::build(&session.cookie, lifetime);
    report.keep(&["auth", "session", "cookie"], &session.cookie, policy)
}

fn api_key_policy(report: &mut Report<'_>, api_key: &platform::ApiKeyAuth) -> Option<ApiKeyPolicy> {
    let prefix = KeyPrefix::parse(&api_key.prefix);
    let prefix = report.keep(&["auth", "api_key", "prefix"], &api_key.prefix, prefix);
    let pepper = Pepper::build(api_key.pepper.expose().as_bytes());
    let pepper = report.keep(&["auth", "api_key", "pepper"], "***", pepper);
    let policy = ApiKeyPolicy::build(prefix?, pepper?, &api_key.realm);
    report.keep(&["auth", "api_key", "realm"], &api_key.realm, policy)
}

fn client_certificate_policy(
    report: &mut Report<'_>,
    written: &platform::ClientCertificateAuth,
) -> Option<ClientCertificatePolicy> {
    let path = |key| ["auth", "client_certificate", key];
    let role = written.role.as_deref();
    let role = role.map(|role| report.keep(&path("role"), role, IdentityText::parse(role)));
    let tier = match &written.tier {
        Some(tier) => report.keep(&path("tier"), tier, IdentityText::parse(tier)),
        None => {
            let tier = &report.platform().identity.default_tier;
            report.keep(&["identity", "default_tier"], tier, IdentityText::parse(tier))
        }
    };
    let name = match written.user_id {
        platform::CertificateName::Uri => NameKind::Uri,
        platform::CertificateName::Dns => NameKind::Dns,
        platform::CertificateName::Email => NameKind::Email,
        platform::CertificateName::CommonName => NameKind::CommonName,
    };
    let role = match role {
        Some(role) => Some(role?),
        None => None,
    };
    Some(ClientCertificatePolicy {
        name,
        prefix: written.prefix.as_str().into(),
        role,
        tier: tier?,
    })
}
