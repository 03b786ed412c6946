//! Bearer JSON Web Tokens: access tokens of RFC 9068, checked by the rules of RFC 8725.
//!
//! Read in this order: [`JwtScheme::credential`] finds the token in a request,
//! [`JwtScheme::verify`] says whose it is, `compact` takes it apart, `fault` answers for it.
//!
//! Invariants
//! - `jsonwebtoken` checks signatures and nothing else: the form, the header, the times and the
//!   audience are checked here, more strictly and with our clock.
//! - A token is verified with the keys of the issuer it names, never with another's, and a key
//!   or an address in its header is never looked at.
//! - A verified token is remembered by the hash of all of it, until it expires or the keys of its
//!   issuer change, whichever comes first.
//! - No clock and no I/O: the caller passes `now`, and fetches keys when a refusal asks for them
//!   ([`JwtRefusal::wants_keys`]).
//!
//! Not here: issuing or refreshing tokens (the user service), revocation.

mod compact;
mod fault;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use quick_cache::sync::Cache;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::compact::Compact;
pub use self::fault::{InvalidRealm, JwtReason, JwtRefusal, Realm, TokenFault, WantedKeys};
use super::claims::ClaimMapping;
use super::jwks::{Algorithm, KeyCell, KeyChoice};
use crate::clock::Timestamp;
use crate::principal::{IdentityText, Principal, Scheme};

/// Longest token that is looked at, in bytes.
pub const TOKEN_LENGTH_MAX: usize = 8_192;

/// The type of access tokens (RFC 9068 §2.1).
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// Who issues tokens, and which of them are good here.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// `iss`, byte for byte.
    pub issuer: Box<str>,
    /// Our names: `aud` must have one of them.
    pub audiences: Vec<Box<str>>,
    /// The algorithms it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Types of token beside `at+jwt`, for issuers older than RFC 9068: often `JWT`. Each one
    /// added lets the issuer's other tokens of that type in, ID tokens perhaps.
    pub token_types: Vec<Box<str>>,
    /// Which claim is which part of an identity.
    pub claims: ClaimMapping,
    /// Longest time from `iat` to `exp`.
    pub max_lifetime: Duration,
    /// How far its clock may be ahead of ours. Never makes a token live longer.
    pub clock_skew: Duration,
    /// Its keys in force.
    pub keys: Arc<KeyCell>,
}

/// The scheme of bearer tokens: one realm, one or more issuers, and the tokens verified lately.
pub struct JwtScheme {
    realm: Realm,
    issuers: Vec<Issuer>,
    verified: Cache<[u8; 32], Verified>,
}

/// A token that was verified, and how long that holds.
#[derive(Debug, Clone)]
struct Verified {
    principal: Arc<Principal>,
    expires_at: Timestamp,
    /// Its issuer's place in the scheme, and the generation of the key that verified it.
    issuer: usize,
    generation: u64,
}

impl JwtScheme {
    /// A scheme that remembers at most `verified_tokens_max` verified tokens; 0 for none.
    #[must_use]
    pub fn new(realm: Realm, issuers: Vec<Issuer>, verified_tokens_max: usize) -> Self {
        // One backend is compiled in and would be found without this; but a second one, switched
        // on by some other crate's features, would make the first verification panic. An error
        // here means that one is installed already.
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().ok();
        Self { realm, issuers, verified: Cache::new(verified_tokens_max) }
    }

    /// The token in a request's `Authorization`, if it shows one. Tokens anywhere else, such as in
    /// the query, are not credentials.
    ///
    /// # Errors
    ///
    /// A refusal when there are several credentials, or what follows `Bearer` is not spaces and
    /// one token (RFC 6750 §2.1; the name in any case, RFC 9110 §11.1).
    pub fn credential<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, JwtRefusal> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(self.refuse(JwtReason::Ambiguous));
        }
        let Some(rest) = after_scheme(field.as_bytes()) else { return Ok(None) };
        bearer_token(rest).map(Some).ok_or_else(|| {
            let is_list = rest.contains(&b',');
            let malformed = JwtReason::Invalid(TokenFault::MalformedField);
            self.refuse(if is_list { JwtReason::Ambiguous } else { malformed })
        })
    }

    /// The refusal of a request that shows no token where one is needed.
    #[must_use]
    pub fn refuse_missing(&self) -> JwtRefusal {
        self.refuse(JwtReason::Missing)
    }

    /// Who the bearer of this token is at `now`. A token seen lately costs one SHA-256 and one
    /// look-up; another one costs a signature.
    ///
    /// # Errors
    ///
    /// [`JwtRefusal`] says why not. When it [wants keys](JwtRefusal::wants_keys), fetching them
    /// and trying once more may succeed.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, JwtRefusal> {
        if token.len() > TOKEN_LENGTH_MAX {
            return Err(self.refuse(JwtReason::TooLong { length: token.len() }));
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.verified.get(&digest)
            && self.still_holds(&known, now)
        {
            return Ok(known.principal);
        }
        let verified = self.verify_anew(token, now).map_err(|reason| self.refuse(reason))?;
        let principal = Arc::clone(&verified.principal);
        self.verified.insert(digest, verified);
        Ok(principal)
    }

    /// Lets a principal pass that has every one of these scopes.
    ///
    /// # Errors
    ///
    /// A refusal that names all of them (RFC 6750 §3.1), so that the client can ask for a token
    /// that has them.
    pub fn require_scopes(
        &self,
        principal: &Principal,
        required: &[IdentityText],
    ) -> Result<(), JwtRefusal> {
        if required.iter().all(|scope| principal.scopes.contains(scope)) {
            return Ok(());
        }
        let required: Vec<&str> = required.iter().map(IdentityText::as_str).collect();
        Err(self.refuse(JwtReason::InsufficientScope { required: required.join(" ").into() }))
    }

    /// How many verified tokens are remembered.
    #[must_use]
    pub fn verified_tokens(&self) -> usize {
        self.verified.len()
    }

    fn still_holds(&self, known: &Verified, now: Timestamp) -> bool {
        let generation = self.issuers.get(known.issuer).and_then(|it| it.keys.generation());
        generation == Some(known.generation) && now < known.expires_at
    }

    fn verify_anew(&self, token: &str, now: Timestamp) -> Result<Verified, JwtReason> {
        let token = Compact::parse(token).map_err(JwtReason::Invalid)?;
        let (place, issuer) = self.issuer_of(&token).map_err(JwtReason::Invalid)?;
        issuer.admit_header(&token).map_err(JwtReason::Invalid)?;
        let generation = issuer.check_signature(&token)?;
        // From here on the claims are the issuer's own words.
        let expires_at = issuer.check_times(&token.claims, now)?;
        if !issuer.is_meant_for_us(&token.claims) {
            return Err(JwtReason::Invalid(TokenFault::OtherAudience));
        }
        if token.claims.get("cnf").is_some() {
            return Err(JwtReason::BoundToKey);
        }
        let principal = issuer.principal(&token.claims, expires_at)?;
        Ok(Verified { principal: Arc::new(principal), expires_at, issuer: place, generation })
    }

    fn issuer_of(&self, token: &Compact<'_>) -> Result<(usize, &Issuer), TokenFault> {
        let claimed = token.claims.get("iss").and_then(Value::as_str);
        let claimed = claimed.ok_or(TokenFault::UnknownIssuer)?;
        let mut issuers = self.issuers.iter().enumerate();
        issuers.find(|(_, it)| *it.issuer == *claimed).ok_or(TokenFault::UnknownIssuer)
    }

    fn refuse(&self, reason: JwtReason) -> JwtRefusal {
        JwtRefusal { realm: self.realm.clone(), reason }
    }
}

impl Issuer {
    fn admit_header(&self, token: &Compact<'_>) -> Result<(), TokenFault> {
        if !self.algorithms.contains(&token.header.algorithm) {
            return Err(TokenFault::RefusedAlgorithm);
        }
        let shown = &token.header.token_type;
        let is_listed = self.token_types.iter().any(|listed| compact::media_type(listed) == *shown);
        let is_accepted = shown == ACCESS_TOKEN_TYPE || (is_listed && !shown.is_empty());
        if is_accepted { Ok(()) } else { Err(TokenFault::RefusedType) }
    }

    /// The generation of the keys that verified it.
    fn check_signature(&self, token: &Compact<'_>) -> Result<u64, JwtReason> {
        let Some(keys) = self.keys.load() else {
            return Err(JwtReason::KeysNotLoaded { issuer: Arc::clone(&self.name) });
        };
        let header = &token.header;
        match keys.set.choose(header.key_id.as_deref(), header.algorithm) {
            KeyChoice::Found(key)
                if key.verifies(token.signed, token.signature, header.algorithm) =>
            {
                Ok(keys.generation)
            }
            KeyChoice::Found(_) => Err(JwtReason::Invalid(TokenFault::WrongSignature)),
            KeyChoice::Unclear => Err(JwtReason::Invalid(TokenFault::NoSingleKey)),
            KeyChoice::Unknown => Err(JwtReason::UnknownKey {
                issuer: Arc::clone(&self.name),
                generation: keys.generation,
                key_id: header.key_id.clone().unwrap_or_default(),
            }),
        }
    }

    /// When the token ends, if now is within its time.
    fn check_times(&self, claims: &Value, now: Timestamp) -> Result<Timestamp, JwtReason> {
        let time = |claim| point_in_time(claims, claim).map_err(JwtReason::Invalid);
        let need = |claim| time(claim)?.ok_or(JwtReason::Invalid(TokenFault::NoTime { claim }));
        let (expires_at, issued_at) = (need("exp")?, need("iat")?);
        let latest = now.after(self.clock_skew);
        if issued_at > latest {
            return Err(JwtReason::Invalid(TokenFault::NotYetValid { claim: "iat" }));
        }
        if time("nbf")?.is_some_and(|not_before| not_before > latest) {
            return Err(JwtReason::Invalid(TokenFault::NotYetValid { claim: "nbf" }));
        }
        if expires_at.since(issued_at) > self.max_lifetime {
            return Err(JwtReason::Invalid(TokenFault::TooLongLived));
        }
        if now >= expires_at {
            return Err(JwtReason::Expired);
        }
        Ok(expires_at)
    }

    fn is_meant_for_us(&self, claims: &Value) -> bool {
        let is_ours = |name: &str| self.audiences.iter().any(|ours| **ours == *name);
        match claims.get("aud") {
            Some(Value::String(name)) => is_ours(name),
            Some(Value::Array(names)) => {
                let all_text = names.iter().all(Value::is_string);
                all_text && names.iter().filter_map(Value::as_str).any(is_ours)
            }
            _ => false,
        }
    }

    fn principal(&self, claims: &Value, expires_at: Timestamp) -> Result<Principal, JwtReason> {
        let mapped = self.claims.principal(claims, Scheme::Jwt).map_err(|fault| {
            if fault.spoils_credential() {
                JwtReason::Invalid(TokenFault::Claim(fault))
            } else {
                JwtReason::UnusableClaim(fault)
            }
        })?;
        let token_id = claims.get("jti").and_then(Value::as_str);
        let credential_id = token_id.and_then(|id| IdentityText::parse(id).ok());
        Ok(Principal { credential_id, expires_at: Some(expires_at), ..mapped })
    }
}

impl fmt::Debug for JwtScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtScheme")
            .field("realm", &self.realm)
            .field("issuers", &self.issuers)
            .field("verified_tokens", &self.verified_tokens())
            .finish()
    }
}

/// What follows the name of the scheme; `None` when another scheme is named.
fn after_scheme(field: &[u8]) -> Option<&[u8]> {
    let (name, rest) = field.split_at_checked("bearer".len())?;
    let ends_there = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
    (name.eq_ignore_ascii_case(b"bearer") && ends_there).then_some(rest)
}

/// Spaces and one `token68` (RFC 9110 §11.2).
fn bearer_token(rest: &[u8]) -> Option<&str> {
    let start = rest.iter().position(|&byte| byte != b' ').filter(|&spaces| spaces > 0)?;
    let token = rest.get(start..)?;
    // Looks at all of it, many at a time: that is faster than stopping at the first that is wrong.
    let is_good = token.iter().fold(true, |all, &byte| all & is_token68(byte));
    if is_good { std::str::from_utf8(token).ok() } else { None }
}

/// Without a branch, for whoever looks at many.
const fn is_token68(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/` and the digits stand in a row.
    let is_in_row = byte.wrapping_sub(b'-') < 13;
    is_letter | is_in_row | (byte == b'_') | (byte == b'~') | (byte == b'+') | (byte == b'=')
}

/// A `NumericDate` (RFC 7519 §2): seconds, perhaps with a fraction, which is dropped.
fn point_in_time(claims: &Value, claim: &'static str) -> Result<Option<Timestamp>, TokenFault> {
    /// Year 10000: from there on a number is a mistake or an attack.
    const TOO_FAR: u64 = 253_402_300_800;
    let Some(value) = claims.get(claim) else { return Ok(None) };
    value
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(|since_epoch| since_epoch.as_secs())
        .filter(|&seconds| seconds < TOO_FAR)
        .map(|seconds| Some(Timestamp::from_unix_seconds(seconds)))
        .ok_or(TokenFault::NoTime { claim })
}

#[cfg(test)]
mod tests;
