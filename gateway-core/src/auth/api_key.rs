//! API keys: a partner's credential, checked for typing errors before anything is looked up.
//!
//! Read in this order: [`ApiKey`] is the secret and its format, [`Pepper`] turns it into what is
//! kept, [`ApiKeyPolicy`] reads a request's head and judges the record that the store found.
//!
//! Invariants
//! - A key with a wrong letter, or of the other environment, is refused by its checksum: no store
//!   is asked and nothing is remembered of it.
//! - Unknown, revoked and expired keys are answered alike to the byte; only the log knows which.
//! - A key is never printed whole, and never read from a query, where others would log it.
//!
//! Not here: where records are kept (`stores`), issuing and revoking (`partner-gateway`).

mod format;

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

pub use self::format::{ApiKey, Environment, InvalidKeyPrefix, KeyPrefix, MalformedKey};
use crate::clock::Timestamp;
use crate::error::Refusal;
use crate::header::X_API_KEY;
use crate::principal::{Principal, Scheme};
use crate::store::{KeyDigest, KeyRecord, StoreUnavailable};

/// The secret under which keys are digested. Without it a stolen list of digests is useless.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

/// A pepper that adds too little to what it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pepper must have at least 32 bytes, this one has {length}")]
pub struct WeakPepper {
    /// How many bytes it has.
    pub length: usize,
}

impl Pepper {
    /// Takes a secret of at least 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`WeakPepper`] when it is shorter.
    pub fn build(secret: &[u8]) -> Result<Self, WeakPepper> {
        let weak = WeakPepper { length: secret.len() };
        if secret.len() < 32 {
            return Err(weak);
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| weak)
    }

    /// What the key is kept and looked up by: its HMAC-SHA-256 under this pepper.
    #[must_use]
    pub fn digest(&self, key: &ApiKey) -> KeyDigest {
        let mut mac = self.0.clone();
        mac.update(key.expose().as_bytes());
        KeyDigest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// How a gateway takes API keys.
#[derive(Debug, Clone)]
pub struct ApiKeyPolicy {
    prefix: KeyPrefix,
    pepper: Pepper,
    challenge: HeaderValue,
}

/// A realm that cannot be written into a challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{realm:?} is no realm: use letters, digits, spaces, `.`, `-` and `_`")]
pub struct InvalidRealm {
    /// The realm as configured.
    pub realm: String,
}

impl ApiKeyPolicy {
    /// Compiles the policy.
    ///
    /// # Errors
    ///
    /// [`InvalidRealm`] when the realm holds more than letters, digits, spaces, `.`, `-` and `_`.
    pub fn build(prefix: KeyPrefix, pepper: Pepper, realm: &str) -> Result<Self, InvalidRealm> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" .-_".contains(&byte);
        let invalid = || InvalidRealm { realm: realm.to_owned() };
        if realm.is_empty() || !realm.bytes().all(is_plain) {
            return Err(invalid());
        }
        let challenge = format!("Bearer realm=\"{realm}\"").try_into().map_err(|_| invalid())?;
        Ok(Self { prefix, pepper, challenge })
    }

    /// The digest of the key that the request's head presents, if it presents one: as
    /// `Authorization: Bearer` or as `X-API-Key`.
    ///
    /// # Errors
    ///
    /// [`ApiKeyRefusal`] when there are two keys, when one stands in the query, or when it is
    /// malformed; no store need be asked then.
    pub fn credential(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<KeyDigest>, ApiKeyRefusal> {
        if query.is_some_and(|query| self.stands_in(query)) {
            return Err(ApiKeyRefusal::InQuery);
        }
        let bearer = single(headers, &header::AUTHORIZATION)?.map(|value| bearer_token(value));
        let plain = single(headers, &X_API_KEY)?.map(HeaderValue::as_bytes);
        let text = match (bearer, plain) {
            (None, None) => return Ok(None),
            (Some(Some(bearer)), Some(plain)) if bool::from(bearer.ct_eq(plain)) => plain,
            (Some(_), Some(_)) => return Err(ApiKeyRefusal::Ambiguous),
            (None, Some(plain)) => plain,
            (Some(bearer), None) => bearer.ok_or_else(|| self.malformed())?,
        };
        let key = ApiKey::parse(text, &self.prefix).map_err(|_| self.malformed())?;
        Ok(Some(self.pepper.digest(&key)))
    }

    /// Decides who the key's holder is, by the record that the store found for `digest`.
    ///
    /// # Errors
    ///
    /// [`ApiKeyRefusal`], the same answer whether the key is unknown, revoked or expired.
    pub fn judge(
        &self,
        digest: KeyDigest,
        record: Option<&KeyRecord>,
        now: Timestamp,
    ) -> Result<Principal, ApiKeyRefusal> {
        let refused = |why| ApiKeyRefusal::Invalid { why, challenge: self.challenge.clone() };
        let record = record.ok_or_else(|| refused(Invalidity::Unknown))?;
        // A store finds by the digest; that it found this one is not left to its comparison.
        if !bool::from(record.digest.0.ct_eq(&digest.0)) {
            return Err(refused(Invalidity::Unknown));
        }
        if record.is_revoked {
            return Err(refused(Invalidity::Revoked));
        }
        if record.expires_at.is_some_and(|end| now >= end) {
            return Err(refused(Invalidity::Expired));
        }
        Ok(principal(record))
    }

    /// The refusal for a route that needs a key when none was presented.
    #[must_use]
    pub fn missing(&self) -> ApiKeyRefusal {
        ApiKeyRefusal::Missing { challenge: self.challenge.clone() }
    }

    fn malformed(&self) -> ApiKeyRefusal {
        ApiKeyRefusal::Malformed { challenge: self.challenge.clone() }
    }

    /// Whether the query holds a key: by the parameter's name, or by what its value begins with.
    fn stands_in(&self, query: &str) -> bool {
        const NAMES: [&[u8]; 4] = [b"api_key", b"apikey", b"api-key", b"x-api-key"];
        query.split('&').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = Cow::from(percent_decode(name.as_bytes()));
            let value = Cow::from(percent_decode(value.as_bytes()));
            NAMES.iter().any(|one| name.eq_ignore_ascii_case(one))
                || [name, value].iter().any(|text| self.prefix.begins(text))
        })
    }
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, ApiKeyRefusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(ApiKeyRefusal::Ambiguous),
    }
}

/// What follows `Bearer` and its spaces (RFC 9110 §11.4); `None` for another scheme.
fn bearer_token(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let start = token.iter().position(|&byte| byte != b' ')?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.get(start..)).flatten()
}

fn principal(record: &KeyRecord) -> Principal {
    Principal {
        scheme: Scheme::ApiKey,
        user_id: record.partner.clone(),
        role: None,
        roles: Vec::new(),
        tenant: None,
        tier: record.tier.clone(),
        scopes: record.scopes.clone(),
        credential_id: Some(record.id.clone()),
        expires_at: record.expires_at,
    }
}

/// Why a key of the right shape is no good. For the log alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidity {
    /// No record has its digest.
    Unknown,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl fmt::Display for Invalidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        })
    }
}

/// Why a request has no valid API key.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyRefusal {
    /// There is none.
    #[error("no API key was presented")]
    Missing {
        /// How to present one.
        challenge: HeaderValue,
    },
    /// Its shape or its checksum is wrong.
    #[error("the API key is malformed")]
    Malformed {
        /// How to present one.
        challenge: HeaderValue,
    },
    /// Its record does not let it pass, or there is none.
    #[error("the API key is {why}")]
    Invalid {
        /// Which it is, for the log.
        why: Invalidity,
        /// How to present one.
        challenge: HeaderValue,
    },
    /// Two different ones: picking one would hide the other's misuse.
    #[error("more than one API key was presented")]
    Ambiguous,
    /// Queries end up in logs and histories.
    #[error("an API key stands in the query")]
    InQuery,
    /// Nobody can say.
    #[error("the API key cannot be looked up")]
    Unavailable(#[from] StoreUnavailable),
}

impl Refusal for ApiKeyRefusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Missing { .. } | Self::Malformed { .. } | Self::Invalid { .. } => {
                StatusCode::UNAUTHORIZED
            }
            Self::Ambiguous | Self::InQuery => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "api_key_missing",
            Self::Malformed { .. } => "api_key_malformed",
            Self::Invalid { .. } => "api_key_invalid",
            Self::Ambiguous => "ambiguous_credentials",
            Self::InQuery => "api_key_in_query",
            Self::Unavailable(_) => "temporarily_unavailable",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Missing { .. } => "Send an API key as `Authorization: Bearer` or `X-API-Key`.",
            Self::Malformed { .. } => "The API key has a typing error or is not whole.",
            Self::Invalid { .. } => "The API key is not valid.",
            Self::Ambiguous => "Send one API key, as `Authorization: Bearer` or `X-API-Key`.",
            Self::InQuery => {
                "Send the API key as `Authorization: Bearer` or `X-API-Key`, never in the query; \
                 replace this one, since queries are logged."
            }
            Self::Unavailable(_) => "API keys cannot be looked up just now; try again in a moment.",
        }
        .into()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::Missing { challenge }
            | Self::Malformed { challenge }
            | Self::Invalid { challenge, .. } => {
                headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Ambiguous | Self::InQuery => {}
        }
    }
}

#[cfg(test)]
mod tests;
