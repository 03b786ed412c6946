//! Verification, for services in Rust.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Mac as _;
use serde::Deserialize;

use super::{AssertionKey, HEADER};
use crate::clock::Timestamp;

/// Longer ones are not looked at.
const SIZE_MAX: usize = 16 * 1024;

/// The longest time from `iat` to `exp` that is accepted.
const LIFETIME_MAX_S: u64 = 30;

/// How far a gateway's clock may be ahead.
const SKEW_S: u64 = 5;

/// Why an assertion proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefused {
    /// There is none.
    #[error("there is no assertion")]
    Missing,
    /// It is not in the one form there is.
    #[error("it is malformed")]
    Malformed,
    /// No key of ours made its signature.
    #[error("its signature is wrong")]
    Signature,
    /// It is for another service.
    #[error("it is for another service")]
    Audience,
    /// It is for another method or target.
    #[error("it is for another request")]
    Request,
    /// It is over, not valid yet, or valid for too long.
    #[error("it does not hold at this time")]
    Time,
}

/// What an assertion proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The gateway.
    pub issuer: String,
    /// The request's public name.
    pub request_id: String,
    /// Who asks; `None` for anonymous callers.
    pub user_id: Option<String>,
    /// Their role.
    pub role: Option<String>,
    /// Their tenant.
    pub tenant: Option<String>,
    /// Their tier.
    pub tier: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    aud: String,
    htm: String,
    htu: String,
    jti: String,
    sub: Option<String>,
    role: Option<String>,
    tenant: Option<String>,
    tier: Option<String>,
    iat: u64,
    exp: u64,
}

/// Verifies the assertions that one service receives.
#[derive(Debug, Clone)]
pub struct Verifier {
    audience: Box<str>,
    keys: Vec<AssertionKey>,
}

impl Verifier {
    /// A verifier for `audience`. While a key rotates there are two.
    #[must_use]
    pub fn new(audience: &str, keys: Vec<AssertionKey>) -> Self {
        Self { audience: audience.into(), keys }
    }

    /// What the assertion of a request proves. `target` is path and query as received.
    ///
    /// # Errors
    ///
    /// [`AssertionRefused`], with the first rule that is broken.
    pub fn verify(
        &self,
        assertion: Option<&str>,
        method: &str,
        target: &str,
        now: Timestamp,
    ) -> Result<Verified, AssertionRefused> {
        let token = assertion.ok_or(AssertionRefused::Missing)?;
        let claims = self.signed(token)?;
        let now = now.unix_seconds();
        if *claims.aud != *self.audience {
            return Err(AssertionRefused::Audience);
        }
        if claims.htm != method || claims.htu != target {
            return Err(AssertionRefused::Request);
        }
        let lifetime = claims.exp.checked_sub(claims.iat).ok_or(AssertionRefused::Time)?;
        if lifetime > LIFETIME_MAX_S || claims.iat > now + SKEW_S || claims.exp <= now {
            return Err(AssertionRefused::Time);
        }
        let Payload { iss, jti, sub, role, tenant, tier, .. } = claims;
        Ok(Verified { issuer: iss, request_id: jti, user_id: sub, role, tenant, tier })
    }

    /// The claims, once it is certain who wrote them.
    fn signed(&self, token: &str) -> Result<Payload, AssertionRefused> {
        if token.len() > SIZE_MAX {
            return Err(AssertionRefused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(AssertionRefused::Malformed)?;
        let payload = signed.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('.'));
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let payload = payload.and_then(decode).ok_or(AssertionRefused::Malformed)?;
        let signature = decode(signature).ok_or(AssertionRefused::Malformed)?;
        let is_ours = |key: &AssertionKey| {
            let mut mac = key.0.clone();
            mac.update(signed.as_bytes());
            mac.verify_slice(&signature).is_ok()
        };
        if !self.keys.iter().any(is_ours) {
            return Err(AssertionRefused::Signature);
        }
        serde_json::from_slice(&payload).map_err(|_| AssertionRefused::Malformed)
    }
}
