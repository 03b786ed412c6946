//! Signing: once for each call, so it is written by hand into one buffer.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::Mac as _;
use http::HeaderValue;

use super::{AssertionKey, HEADER};
use crate::clock::Timestamp;
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
    /// The request's public name.
    pub request_id: &'a str,
    /// Who asks.
    pub principal: Option<&'a Principal>,
}

impl Signer {
    /// A signer that speaks for `issuer`, in assertions that hold for `lifetime`.
    #[must_use]
    pub fn new(issuer: &str, lifetime: Duration) -> Self {
        Self { issuer: issuer.into(), lifetime_s: lifetime.as_secs().max(1) }
    }

    /// The assertion for one call.
    #[must_use]
    pub fn sign(&self, key: &AssertionKey, claims: &Claims<'_>, now: Timestamp) -> HeaderValue {
        let payload = self.payload(claims, now.unix_seconds());
        let mut token = String::with_capacity(HEADER.len() + payload.len() * 4 / 3 + 48);
        token.push_str(HEADER);
        token.push('.');
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

    fn payload(&self, claims: &Claims<'_>, now: u64) -> String {
        let mut json = String::with_capacity(320 + claims.target.len());
        json.push('{');
        member(&mut json, "iss", &self.issuer);
        member(&mut json, "aud", claims.audience);
        member(&mut json, "htm", claims.method);
        member(&mut json, "htu", claims.target);
        member(&mut json, "jti", claims.request_id);
        if let Some(principal) = claims.principal {
            member(&mut json, "sub", principal.user_id.as_str());
            let optional = [("role", &principal.role), ("tenant", &principal.tenant)];
            for (name, text) in optional {
                if let Some(text) = text.as_ref().map(IdentityText::as_str) {
                    member(&mut json, name, text);
                }
            }
            member(&mut json, "tier", principal.tier.as_str());
        }
        let _ = write!(json, "\"iat\":{now},\"exp\":{}}}", now.saturating_add(self.lifetime_s));
        json
    }
}

/// `"name":"value",` with what JSON wants escaped, escaped.
fn member(json: &mut String, name: &str, value: &str) {
    json.push('"');
    json.push_str(name);
    json.push_str("\":\"");
    if value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        json.push_str(value);
    } else {
        for letter in value.chars() {
            match letter {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\0'..='\x1f' => {
                    let _ = write!(json, "\\u{:04x}", u32::from(letter));
                }
                _ => json.push(letter),
            }
        }
    }
    json.push_str("\",");
}
