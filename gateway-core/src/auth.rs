//! Authentication: how a request's credential becomes a [`Principal`](crate::principal::Principal).
//!
//! One scheme per file, each a pure function of what the client sent, what is kept in memory and
//! the time. Cookies: [`session`], and [`csrf`] for what a foreign page may have caused. Partners:
//! [`api_key`]. Machines: [`client_certificate`]. Bearer JSON Web Tokens: [`jwt`] verifies them with the keys of [`jwks`], and
//! [`claims`] says which claim is which part of an identity.
//!
//! Invariants
//! - No I/O: keys arrive through a [`jwks::KeyCell`] that somebody else fills.
//! - Every scheme fails closed: what is not understood is refused, never skipped.
//! - No text of a refusal holds a credential, whole or in part.
//!
//! Not here: fetching keys (`upstream::key_source`), issuing, refreshing or ending a credential
//! (the gateways' own crates), what a principal may do (`routing`, the services).

pub mod api_key;
pub mod claims;
pub mod client_certificate;
pub mod csrf;
pub mod jwks;
pub mod jwt;
pub mod session;

#[cfg(test)]
pub(crate) mod test_issuer;
