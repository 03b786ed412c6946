//! `[auth.*]`: how callers prove who they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::ClaimsOverride;
use crate::Secret;
use crate::units::Duration;

/// A credential scheme.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// A session cookie, by `[auth.session]`.
    Session,
    /// A bearer JSON Web Token, by `[auth.jwt]`.
    Jwt,
    /// An API key, by `[auth.api_key]`.
    ApiKey,
    /// The certificate of the client's TLS connection, by `[auth.client_certificate]`.
    ClientCertificate,
}

impl Scheme {
    /// Its name in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

/// `[auth]`: the schemes that this gateway is set up for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Session cookies.
    pub session: Option<SessionAuth>,
    /// Bearer JSON Web Tokens.
    pub jwt: Option<JwtAuth>,
    /// API keys.
    pub api_key: Option<ApiKeyAuth>,
    /// Certificates of clients.
    pub client_certificate: Option<ClientCertificateAuth>,
}

impl Auth {
    /// Whether a scheme has its section.
    #[must_use]
    pub const fn has(&self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Session => self.session.is_some(),
            Scheme::Jwt => self.jwt.is_some(),
            Scheme::ApiKey => self.api_key.is_some(),
            Scheme::ClientCertificate => self.client_certificate.is_some(),
        }
    }
}

/// `[auth.session]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionAuth {
    /// The cookie's name. The prefix `__Host-Http-` makes browsers refuse it unless it is Secure,
    /// HttpOnly and of this host alone.
    #[serde(default = "session_cookie")]
    #[schemars(length(min = 1))]
    pub cookie: String,
    /// A session ends after this long without a request. Too long leaves forgotten browsers
    /// logged in, too short logs people out over lunch.
    #[serde(default = "session_idle_timeout")]
    pub idle_timeout: Duration,
    /// A session ends this long after its login in any case.
    #[serde(default = "session_lifetime")]
    pub lifetime: Duration,
    /// Sessions in memory; the longest unused is dropped first.
    #[serde(default = "remembered_max")]
    #[schemars(range(min = 1))]
    pub sessions_max: usize,
}

/// `[auth.jwt]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtAuth {
    /// The realm in the challenge.
    #[schemars(length(min = 1))]
    pub realm: String,
    /// Verified tokens kept in memory, so that a repeated token costs no signature; 0 for none.
    #[serde(default = "remembered_max")]
    pub verified_tokens_max: usize,
    /// Longest time from a token's issue to its expiry, unless its issuer has its own.
    #[serde(default = "token_lifetime_max")]
    pub max_lifetime: Duration,
    /// How far an issuer's clock may be ahead of ours, unless that issuer has its own.
    #[serde(default = "clock_skew")]
    #[schemars(extend("format" = "duration_or_zero"))]
    pub clock_skew: Duration,
    /// Who issues tokens, by any name.
    #[schemars(extend("minProperties" = 1))]
    pub issuers: BTreeMap<String, Issuer>,
}

/// `[auth.jwt.issuers.*]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// `iss`, byte for byte.
    #[schemars(length(min = 1))]
    pub issuer: String,
    /// Our names: `aud` must have one of them.
    pub audience: OneOrMore,
    /// Where its keys are fetched from; this or `jwks_file`.
    pub jwks_url: Option<String>,
    /// The file that holds its keys; this or `jwks_url`.
    pub jwks_file: Option<String>,
    /// The algorithms it may sign with.
    #[schemars(length(min = 1))]
    pub algorithms: Vec<SigningAlgorithm>,
    /// Types of token that are accepted beside `at+jwt` (RFC 9068), for older issuers: often
    /// `JWT`.
    #[serde(default)]
    pub token_types: Vec<String>,
    /// Where its claims differ from `[identity.claims]`.
    #[serde(default)]
    pub claims: ClaimsOverride,
    /// Longest time from a token's issue to its expiry.
    pub max_lifetime: Option<Duration>,
    /// How far its clock may be ahead of ours.
    #[schemars(extend("format" = "duration_or_zero"))]
    pub clock_skew: Option<Duration>,
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037, RFC 9864). Symmetric ones are not offered: a
/// key that verifies would also sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA over P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519, by its older name.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// Ed25519, by its newer name.
    #[serde(rename = "Ed25519")]
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
}

impl SigningAlgorithm {
    /// Its `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }
}

/// `[auth.api_key]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyAuth {
    /// The realm in the challenge.
    #[schemars(length(min = 1))]
    pub realm: String,
    /// What keys start with.
    #[schemars(length(min = 1))]
    pub prefix: String,
    /// The secret under which keys are stored as HMAC-SHA-256.
    pub pepper: Secret,
}

/// `[auth.client_certificate]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateAuth {
    /// Which name in the certificate is the user's.
    #[serde(default)]
    pub user_id: CertificateName,
    /// What the name must begin with, and the user's name does not: `spiffe://example.com/`.
    #[serde(default)]
    pub prefix: String,
    /// The role of whoever shows a certificate.
    #[schemars(length(min = 1))]
    pub role: Option<String>,
    /// Their tier; `identity.default_tier` unless set.
    #[schemars(length(min = 1))]
    pub tier: Option<String>,
}

/// A kind of name that certificates have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateName {
    /// The subject alternative name that is a URI, such as a SPIFFE id.
    #[default]
    Uri,
    /// The subject alternative name that is a host.
    Dns,
    /// The subject alternative name that is a mail address.
    Email,
    /// The subject's common name, for older authorities.
    CommonName,
}

/// One text, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// `"a"`
    One(String),
    /// `["a", "b"]`
    More(Vec<String>),
}

impl OneOrMore {
    /// The texts.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

impl JsonSchema for OneOrMore {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "minLength": 1,
            "minItems": 1,
            "items": { "type": "string", "minLength": 1 },
        })
    }
}

fn session_cookie() -> String {
    "__Host-Http-sid".to_owned()
}

const fn session_idle_timeout() -> Duration {
    Duration::from_secs(30 * 60)
}

const fn session_lifetime() -> Duration {
    Duration::from_secs(12 * 3_600)
}

const fn remembered_max() -> usize {
    100_000
}

const fn token_lifetime_max() -> Duration {
    Duration::from_secs(24 * 3_600)
}

const fn clock_skew() -> Duration {
    Duration::from_secs(60)
}
