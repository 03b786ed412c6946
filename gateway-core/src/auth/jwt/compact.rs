//! A token taken apart before anything in it is believed: the compact form of RFC 7515 §3.1, in
//! the one way it can be written.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::fault::TokenFault;
use crate::auth::jwks::{Algorithm, KEY_ID_LENGTH_MAX};
use crate::strict_json;

/// Header parameters that change what a token means: extensions that must be understood, an
/// unencoded or compressed payload, a token inside the token, an encrypted one. Nothing here needs
/// them, so a token that has one is refused, whatever its value.
const REFUSED_PARAMETERS: [&str; 5] = ["crit", "b64", "zip", "cty", "enc"];

/// Objects and arrays inside one another. Real claims have three or four; the cap keeps hostile
/// ones from costing anything.
const NESTING_MAX: u8 = 16;

/// A token whose form is right, and nothing more.
#[derive(Debug)]
pub(super) struct Compact<'t> {
    pub(super) header: Header,
    pub(super) claims: Value,
    /// What the signature is over.
    pub(super) signed: &'t str,
    /// In base64url.
    pub(super) signature: &'t str,
}

/// What a token's header may say. Keys, or addresses of keys, in a header are never looked at.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Box<str>>,
    /// The media type, without `application/`, in lower case; empty when there is none.
    pub(super) token_type: String,
}

impl<'t> Compact<'t> {
    pub(super) fn parse(token: &'t str) -> Result<Self, TokenFault> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::NotThreeParts);
        };
        let header = Header::read(&read("header", header)?)?;
        let claims = read("claims", claims)?;
        let signed = token.get(..token.len() - signature.len() - 1).unwrap_or_default();
        Ok(Self { header, claims, signed, signature })
    }
}

impl Header {
    fn read(header: &Value) -> Result<Self, TokenFault> {
        if let Some(name) = REFUSED_PARAMETERS.into_iter().find(|name| header.get(name).is_some()) {
            return Err(TokenFault::RefusedParameter { name });
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= KEY_ID_LENGTH_MAX => Some(id.as_str().into()),
            Some(_) => return Err(TokenFault::MalformedKeyId),
        };
        let token_type = match header.get("typ") {
            None => String::new(),
            Some(Value::String(written)) => media_type(written),
            Some(_) => return Err(TokenFault::RefusedType),
        };
        Ok(Self { algorithm: algorithm.ok_or(TokenFault::RefusedAlgorithm)?, key_id, token_type })
    }
}

/// Media types have no case, and `application/` may be left out (RFC 7515 §4.1.9).
pub(super) fn media_type(written: &str) -> String {
    let lower = written.to_ascii_lowercase();
    lower.strip_prefix("application/").map_or_else(|| lower.clone(), str::to_owned)
}

fn read(part: &'static str, text: &str) -> Result<Value, TokenFault> {
    // Strict: no padding, no other alphabet, no white space, no bits left over. Otherwise one
    // signature would fit many tokens, and each of them would be a new one to the cache.
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::NotBase64Url { part })?;
    strict_json::object(&bytes, NESTING_MAX)
        .map_err(|source| TokenFault::NotStrictJson { part, source })
}
