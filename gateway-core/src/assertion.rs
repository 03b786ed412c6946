//! The assertion: a signed proof that a request came through a gateway.
//!
//! A compact JWS (HS256) in a header of each call, under a key that one service and the gateways
//! share. It is bound to that service, the method and the target, and holds for seconds: what one
//! service receives is worth nothing at another, and nothing in a log a minute later.
//!
//! [`Signer`] makes it; [`Verifier`] is for services in Rust, docs/assertion.md for others.
//!
//! Claims: `iss` the gateway, `aud` the service, `htm` the method, `htu` path and query as sent,
//! `iat`, `exp`, `jti` the request id; `sub`, `role`, `tenant`, `tier` who asks, absent for
//! anonymous callers.
//!
//! Not here: who asks (`auth`), which service has which key (`site`).

mod sign;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

pub use self::sign::{Claims, CommonClaims, Signer};
pub use self::verify::{AssertionRefused, Verified, Verifier};

/// The one header there is, encoded: `{"alg":"HS256","typ":"gateway-assertion+jwt"}`. A verifier
/// accepts no other, so no algorithm can be chosen by whoever sends one.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImdhdGV3YXktYXNzZXJ0aW9uK2p3dCJ9";

/// A key of HS256 is as long as its hash (RFC 7518 §3.2).
const KEY_SIZE_MIN: usize = 32;

/// The key that a service and the gateways share.
#[derive(Clone)]
pub struct AssertionKey(Hmac<Sha256>);

/// A key that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be at least {KEY_SIZE_MIN} bytes, such as `openssl rand -hex 32` prints, and is {length}"
)]
pub struct WeakKey {
    /// Its length.
    pub length: usize,
}

impl AssertionKey {
    /// The key of these bytes.
    ///
    /// # Errors
    ///
    /// [`WeakKey`] for fewer than 32.
    pub fn build(secret: &[u8]) -> Result<Self, WeakKey> {
        let weak = WeakKey { length: secret.len() };
        if secret.len() < KEY_SIZE_MIN {
            return Err(weak);
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| weak)
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionKey(…)")
    }
}
