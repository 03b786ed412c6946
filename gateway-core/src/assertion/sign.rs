//! Signing: once for each call, so it is written by hand into one buffer.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::Mac as _;
use http::HeaderValue;

use super::{AssertionKey, HEADER};
use crate::clock::Timestamp;
use crate::json_object::ObjectWriter;
use crate::principal::{IdentityText, Principal};

/// Makes assertions for one gateway.
#[derive(Debug, Clone)]
pub struct Signer {
    issuer: Arc<str>,
    lifetime_s: u64,
}

/// What one call is about.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// The service.
    pub audience: &'a str,
    /// The method.
    pub method: &'a str,
    /// Path and query as the service will see them.
    pub target: &'a str,
}

/// What the assertions of all calls of one request have in common, encoded.
#[derive(Debug, Clone)]
pub struct CommonClaims(String);

/// Bytes of a signature: those of SHA-256.
const SIGNATURE_LENGTH: usize = 32;

/// Letters of base64 for so many bytes.
fn letters(bytes: usize) -> usize {
    base64::encoded_len(bytes, false).unwrap_or(0)
}

impl Signer {
    /// A signer that speaks for `issuer`, in assertions that hold for `lifetime`.
    #[must_use]
    pub fn new(issuer: &str, lifetime: Duration) -> Self {
        Self { issuer: issuer.into(), lifetime_s: lifetime.as_secs().max(1) }
    }

    /// What all calls of a request say: its public name, and who asks.
    #[must_use]
    pub fn common(&self, request_id: &str, principal: Option<&Principal>) -> CommonClaims {
        let mut json = Vec::with_capacity(240);
        let mut payload = ObjectWriter::begin(&mut json);
        payload.text("iss", &self.issuer);
        payload.text("jti", request_id);
        if let Some(principal) = principal {
            payload.text("sub", principal.user_id.as_str());
            let optional = [("role", &principal.role), ("tenant", &principal.tenant)];
            for (name, text) in optional {
                if let Some(text) = text.as_ref().map(IdentityText::as_str) {
                    payload.text(name, text);
                }
            }
            payload.text("tier", principal.tier.as_str());
        }
        // Base64 makes four letters of three bytes: what follows can be encoded on its own.
        json.resize(json.len().next_multiple_of(3), b' ');
        CommonClaims(BASE64_URL_SAFE_NO_PAD.encode(json))
    }

    /// The assertion for one call.
    #[must_use]
    pub fn sign(
        &self,
        key: &AssertionKey,
        CommonClaims(common): &CommonClaims,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> HeaderValue {
        let payload = self.own(claims, now.unix_seconds());
        let encoded = [payload.len(), SIGNATURE_LENGTH].map(letters).iter().sum::<usize>();
        // Exactly: what has room left over costs one more allocation to become a header's value.
        let mut token = String::with_capacity(HEADER.len() + common.len() + encoded + 2);
        token.push_str(HEADER);
        token.push('.');
        token.push_str(common);
        BASE64_URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let mut mac = key.0.clone();
        mac.update(token.as_bytes());
        let signature = mac.finalize().into_bytes();
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        let value = HeaderValue::from_maybe_shared(Bytes::from(token));
        // Base64url and dots are always a header value; were they not, nothing would be proved.
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// What a call says beside what all have in common.
    fn own(&self, claims: &Claims<'_>, now: u64) -> Vec<u8> {
        let mut json = Vec::with_capacity(120 + claims.target.len());
        let mut payload = ObjectWriter::go_on(&mut json);
        payload.text("aud", claims.audience);
        payload.text("htm", claims.method);
        payload.text("htu", claims.target);
        payload.number("iat", now);
        payload.number("exp", now.saturating_add(self.lifetime_s));
        payload.end();
        json
    }
}
