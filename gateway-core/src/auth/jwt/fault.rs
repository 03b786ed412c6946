//! What can be wrong with a bearer token, and how each fault is answered (RFC 6750 §3).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::TOKEN_LENGTH_MAX;
use crate::auth::claims::ClaimFault;
use crate::error::Refusal;
use crate::principal::IdentityText;

/// The name of the protected space in `WWW-Authenticate`: visible ASCII without `"` and `\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm(Arc<str>);

/// A text that cannot name a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters, without quotes and backslashes")]
pub struct InvalidRealm;

impl Realm {
    /// Reads a realm.
    ///
    /// # Errors
    ///
    /// [`InvalidRealm`] when it could not stand between quotes in a header field.
    pub fn parse(text: &str) -> Result<Self, InvalidRealm> {
        let is_quotable = IdentityText::parse(text).is_ok() && !text.contains(['"', '\\']);
        if is_quotable { Ok(Self(text.into())) } else { Err(InvalidRealm) }
    }
}

/// Why a request is not admitted by its bearer token.
#[derive(Debug)]
pub struct JwtRefusal {
    pub(super) realm: Realm,
    /// What happened.
    pub reason: JwtReason,
}

/// What happened to a bearer token.
#[derive(Debug, thiserror::Error)]
pub enum JwtReason {
    /// The request shows none.
    #[error("no bearer token")]
    Missing,
    /// Several credentials, so that two readers could choose differently.
    #[error("more than one credential")]
    Ambiguous,
    /// Longer than any token should be.
    #[error("the token has {length} bytes")]
    TooLong {
        /// Its bytes.
        length: usize,
    },
    /// The token cannot be believed.
    #[error("the token is not accepted")]
    Invalid(#[source] TokenFault),
    /// The token was good until its time was over.
    #[error("the token has expired")]
    Expired,
    /// The issuer's keys in force have none of this id; fetching them again may help.
    #[error("the keys of {issuer} have no {key_id:?}")]
    UnknownKey {
        /// The issuer's name in the configuration.
        issuer: Arc<str>,
        /// The generation of the keys that were looked through.
        generation: u64,
        /// The id, as the token has it: at most 256 bytes, of any kind.
        key_id: Box<str>,
    },
    /// The issuer's keys were never fetched, or are too old; fetching them may help.
    #[error("the keys of {issuer} are not loaded")]
    KeysNotLoaded {
        /// The issuer's name in the configuration.
        issuer: Arc<str>,
    },
    /// The token is bound to a key that its bearer must prove to hold (RFC 9449 §7.2).
    #[error("a token bound to a key was sent as a bearer token")]
    BoundToKey,
    /// The token is genuine, but a claim cannot become the identity the services need.
    #[error("the token is genuine, but cannot be mapped")]
    UnusableClaim(#[source] ClaimFault),
    /// The token is genuine, but not for this.
    #[error("the token lacks a scope of {required:?}")]
    InsufficientScope {
        /// All scopes that are needed, between spaces.
        required: Box<str>,
    },
}

/// Why a token cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The header field is no `Bearer`, spaces and one token.
    #[error("the Authorization field is malformed")]
    MalformedField,
    /// Not the compact form of a signed token.
    #[error("it has not exactly three parts")]
    NotThreeParts,
    /// A part is not strict base64url.
    #[error("its {part} is not strict base64url")]
    NotBase64Url {
        /// `header` or `claims`.
        part: &'static str,
    },
    /// A part is no JSON object, has a member twice, or is nested too deeply.
    #[error("its {part} is not acceptable JSON")]
    NotStrictJson {
        /// `header` or `claims`.
        part: &'static str,
        /// What the reader said; it never repeats the text.
        source: serde_json::Error,
    },
    /// A header parameter that changes what the token means.
    #[error("its header has {name:?}")]
    RefusedParameter {
        /// Which one.
        name: &'static str,
    },
    /// None, symmetric, unknown, or not this issuer's.
    #[error("its algorithm is not accepted")]
    RefusedAlgorithm,
    /// An ID token, a logout token, or anything else that is no access token.
    #[error("its type is not accepted")]
    RefusedType,
    /// Not a text of at most 256 bytes.
    #[error("its key id is malformed")]
    MalformedKeyId,
    /// `iss` is missing, no text, or exactly none of the issuers.
    #[error("its issuer is not known")]
    UnknownIssuer,
    /// The id stands for several keys, for one of another algorithm, or is missing where several
    /// keys would do.
    #[error("no single key is the one it asks for")]
    NoSingleKey,
    /// The signature is not the key's.
    #[error("its signature is wrong")]
    WrongSignature,
    /// `aud` has none of our names.
    #[error("it is meant for another audience")]
    OtherAudience,
    /// A point in time is missing or malformed.
    #[error("its claim {claim} is no point in time")]
    NoTime {
        /// `exp`, `iat` or `nbf`.
        claim: &'static str,
    },
    /// `nbf` or `iat` lies ahead.
    #[error("its claim {claim} lies in the future")]
    NotYetValid {
        /// `iat` or `nbf`.
        claim: &'static str,
    },
    /// `exp` is further from `iat` than the issuer's tokens may live.
    #[error("it lives longer than allowed")]
    TooLongLived,
    /// A claim names nobody, or holds bytes that no header field may hold.
    #[error("it names nobody")]
    Claim(#[source] ClaimFault),
}

/// Keys that a refusal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedKeys<'r> {
    /// The name of their issuer in the configuration.
    pub issuer: &'r str,
    /// The generation that was not enough; `None` when there was none.
    pub newer_than: Option<u64>,
}

impl JwtRefusal {
    /// Which keys, fetched anew, might turn this into a yes.
    #[must_use]
    pub fn wants_keys(&self) -> Option<WantedKeys<'_>> {
        match &self.reason {
            JwtReason::UnknownKey { issuer, generation, .. } => {
                Some(WantedKeys { issuer, newer_than: Some(*generation) })
            }
            JwtReason::KeysNotLoaded { issuer } => Some(WantedKeys { issuer, newer_than: None }),
            _ => None,
        }
    }

    /// `WWW-Authenticate`; only where a better token would help.
    fn challenge(&self) -> Option<String> {
        let realm = &self.realm.0;
        let error = match &self.reason {
            JwtReason::Missing => return Some(format!("Bearer realm=\"{realm}\"")),
            JwtReason::BoundToKey => {
                return Some(format!("DPoP realm=\"{realm}\", error=\"invalid_token\""));
            }
            JwtReason::InsufficientScope { required } => {
                let required = quoted(required);
                return Some(format!(
                    "Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope={required}"
                ));
            }
            JwtReason::Ambiguous => "invalid_request",
            JwtReason::Invalid(_) | JwtReason::Expired | JwtReason::UnknownKey { .. } => {
                "invalid_token"
            }
            JwtReason::TooLong { .. }
            | JwtReason::KeysNotLoaded { .. }
            | JwtReason::UnusableClaim(_) => return None,
        };
        Some(format!("Bearer realm=\"{realm}\", error=\"{error}\""))
    }
}

impl Refusal for JwtRefusal {
    fn status(&self) -> StatusCode {
        match &self.reason {
            JwtReason::Ambiguous => StatusCode::BAD_REQUEST,
            JwtReason::TooLong { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            JwtReason::KeysNotLoaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            JwtReason::UnusableClaim(_) | JwtReason::InsufficientScope { .. } => {
                StatusCode::FORBIDDEN
            }
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    fn code(&self) -> &'static str {
        match &self.reason {
            JwtReason::Missing => "credential_missing",
            JwtReason::Ambiguous => "credential_ambiguous",
            JwtReason::TooLong { .. } => "token_too_long",
            JwtReason::Expired => "token_expired",
            JwtReason::KeysNotLoaded { .. } => "keys_not_loaded",
            JwtReason::UnusableClaim(_) => "claim_unusable",
            JwtReason::InsufficientScope { .. } => "insufficient_scope",
            JwtReason::Invalid(_) | JwtReason::UnknownKey { .. } | JwtReason::BoundToKey => {
                "token_invalid"
            }
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match &self.reason {
            JwtReason::Missing => {
                "Send an access token in the Authorization header field: Bearer, a space, the \
                 token."
            }
            JwtReason::Ambiguous => "Send one Authorization header field with one credential.",
            JwtReason::TooLong { .. } => {
                return format!("Send an access token of at most {TOKEN_LENGTH_MAX} bytes.").into();
            }
            JwtReason::Expired => "The access token has expired. Get a new one.",
            JwtReason::KeysNotLoaded { .. } => {
                "Access tokens cannot be checked right now. Try again in a moment."
            }
            JwtReason::UnusableClaim(_) => {
                "The access token does not say what its user may do in a way this gateway reads."
            }
            JwtReason::InsufficientScope { required } => {
                return format!("The access token needs the scope {required}.").into();
            }
            JwtReason::Invalid(_) | JwtReason::UnknownKey { .. } | JwtReason::BoundToKey => {
                "The access token is not accepted. Get a new one."
            }
        }
        .into()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        let challenge = self.challenge().and_then(|text| HeaderValue::try_from(text).ok());
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if matches!(self.reason, JwtReason::KeysNotLoaded { .. }) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
    }
}

impl fmt::Display for JwtRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}

impl std::error::Error for JwtRefusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.reason.source()
    }
}

/// A quoted-string (RFC 9110 §5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
