//! Cookie sessions: which session a request names, and whether it still holds.
//!
//! Read in this order: [`SessionPolicy`] says what is configured, [`credential`] finds the
//! digest in a request's head, the pipeline asks the vault, [`judge`] decides. [`SessionId`] is
//! what a browser holds.
//!
//! Invariants
//! - The id itself is known to the browser alone: everything that is kept or looked up is its
//!   SHA-256, and nothing prints either.
//! - A refusal that follows from a dead cookie takes that cookie away; one that may follow from
//!   somebody else's cookie does not sign anybody out.
//! - Time-outs are judged here, by the same [`SessionLifetime`] that the vaults apply before they
//!   count a request as a use.
//!
//! Not here: where sessions are kept (`stores`), what begins and ends one (`web-bff`).

mod cookie;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

pub use self::cookie::{credential, keep_set_cookie, presented, strip_cookies};
use crate::clock::Timestamp;
use crate::error::Refusal;
use crate::principal::Principal;
use crate::store::{Session, SessionDigest, SessionLookup, StoreUnavailable};

/// What a browser holds: 16 random bytes, written as 22 characters of base64url.
///
/// The size is the one of tower-sessions' own id, so that one id serves the pipeline and the
/// handlers alike; 128 bits are beyond guessing.
#[derive(Clone, Copy)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The number of characters of an id.
    const TEXT_LEN: usize = 22;

    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::rng().random())
    }

    /// The id of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads an id; `None` when it is not exactly 22 characters of canonical base64url.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (text.len() == Self::TEXT_LEN && length == bytes.len()).then_some(Self(bytes))
    }

    /// What the id is kept and looked up by: SHA-256 of its 22 characters.
    #[must_use]
    pub fn digest(&self) -> SessionDigest {
        SessionDigest(Sha256::digest(self.text()).into())
    }

    fn text(self) -> [u8; Self::TEXT_LEN] {
        let mut text = [b'A'; Self::TEXT_LEN];
        // 16 bytes always fill 22 characters, so there is nothing to report.
        let _written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        text
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// How long a session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetime {
    /// It ends after this long without a use. Too short signs people out over lunch.
    pub idle_timeout: Duration,
    /// It ends this long after it began, however busy it is.
    pub lifetime: Duration,
}

impl SessionLifetime {
    /// Whether the session has ended by itself.
    #[must_use]
    pub fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.used_at) >= self.idle_timeout
            || now.since(session.created_at) >= self.lifetime
    }
}

/// The session cookie and how long what it names lasts, as configured.
#[derive(Debug, Clone)]
pub struct SessionPolicy {
    cookie: Box<str>,
    removal: HeaderValue,
    lifetime: SessionLifetime,
}

/// A name that no cookie can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no cookie name: use letters, digits, `-` and `_`")]
pub struct InvalidCookieName {
    /// The name as configured.
    pub name: String,
}

/// The attributes of every cookie written here. `Strict` and no `Domain`: it is this host's alone.
const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Strict";

impl SessionPolicy {
    /// Compiles the policy for a cookie of that name.
    ///
    /// # Errors
    ///
    /// [`InvalidCookieName`] when the name is empty or holds more than letters, digits, `-`, `_`.
    pub fn build(cookie: &str, lifetime: SessionLifetime) -> Result<Self, InvalidCookieName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let invalid = || InvalidCookieName { name: cookie.to_owned() };
        if cookie.is_empty() || !cookie.bytes().all(is_plain) {
            return Err(invalid());
        }
        let removal = HeaderValue::try_from(format!("{cookie}={ATTRIBUTES}; Max-Age=0"))
            .map_err(|_| invalid())?;
        Ok(Self { cookie: cookie.into(), removal, lifetime })
    }

    /// The cookie's name.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.cookie
    }

    /// How long a session lasts.
    #[must_use]
    pub const fn lifetime(&self) -> SessionLifetime {
        self.lifetime
    }

    /// The `Set-Cookie` that gives a browser its session. It has no `Max-Age`: the time-outs are
    /// the vault's, and the cookie goes with the browser's own session.
    #[must_use]
    pub fn set_cookie(&self, id: SessionId) -> HeaderValue {
        let mut text = Vec::with_capacity(self.cookie.len() + 1 + 22 + ATTRIBUTES.len());
        text.extend_from_slice(self.cookie.as_bytes());
        text.push(b'=');
        text.extend_from_slice(&id.text());
        text.extend_from_slice(ATTRIBUTES.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text));
        // A checked name, base64url and fixed attributes are visible ASCII; were they ever not,
        // the browser would be left without a session rather than with a wrong one.
        let mut value = value.unwrap_or_else(|_| self.removal_cookie());
        value.set_sensitive(true);
        value
    }

    /// The `Set-Cookie` that takes the session away. `Secure` is part of it, since a browser
    /// ignores a `__Host-` cookie without it.
    #[must_use]
    pub fn removal_cookie(&self) -> HeaderValue {
        self.removal.clone()
    }
}

/// Decides who the session is, by what the vault knew of its digest at `now`.
///
/// # Errors
///
/// [`SessionRefusal`], a 401, when the session was ended, has timed out, is unknown, or nobody has
/// signed in to it.
pub fn judge(
    lookup: SessionLookup,
    policy: &SessionPolicy,
    now: Timestamp,
) -> Result<Arc<Principal>, SessionRefusal> {
    let session = match lookup {
        SessionLookup::Live(session) => session,
        SessionLookup::Ended => return Err(SessionRefusal::Ended(policy.removal_cookie())),
        // A session that was forgotten and one that never was cannot be told apart.
        SessionLookup::Unknown => return Err(SessionRefusal::Expired(policy.removal_cookie())),
    };
    if policy.lifetime.is_over(&session, now) {
        return Err(SessionRefusal::Expired(policy.removal_cookie()));
    }
    session.principal.clone().ok_or(SessionRefusal::Missing)
}

/// Why a request has no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionRefusal {
    /// There is no cookie, or nobody has signed in behind it.
    #[error("no session was presented")]
    Missing,
    /// Two cookies of the session's name: picking one would let a neighbour choose it.
    #[error("more than one session cookie was presented")]
    Ambiguous(HeaderValue),
    /// The cookie's value has not the shape of an id.
    #[error("the session cookie's value is not an id")]
    Malformed(HeaderValue),
    /// `$Version`: a syntax in which other parsers read other cookies out of the same bytes.
    #[error("the cookies are in the syntax of RFC 2965")]
    LegacySyntax,
    /// More or longer cookies than anybody needs.
    #[error("the cookies are too many or too long")]
    TooLarge,
    /// The session was ended, by its user or for it.
    #[error("the session was ended")]
    Ended(HeaderValue),
    /// The session timed out, or is not known any more.
    #[error("the session has expired or is unknown")]
    Expired(HeaderValue),
    /// Nobody can say.
    #[error("the session cannot be looked up")]
    Unavailable(#[from] StoreUnavailable),
}

impl Refusal for SessionRefusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing => "session_missing",
            Self::Ambiguous(_) => "ambiguous_session",
            Self::Malformed(_) | Self::LegacySyntax => "session_malformed",
            Self::TooLarge => "cookies_too_large",
            Self::Ended(_) => "session_ended",
            Self::Expired(_) => "session_expired",
            Self::Unavailable(_) => "session_store_unavailable",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Missing => "Sign in first.",
            Self::Ambiguous(_) => "Two session cookies were sent; sign in again.",
            Self::Malformed(_) => "The session cookie cannot be read; sign in again.",
            Self::LegacySyntax => "Cookies with `$Version` are not read; send plain ones.",
            Self::TooLarge => "At most 100 cookies and 16 KiB of them are read; remove some.",
            Self::Ended(_) => "The session was ended; sign in again.",
            Self::Expired(_) => "The session has expired; sign in again.",
            Self::Unavailable(_) => "Sessions cannot be looked up just now; try again in a moment.",
        }
        .into()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::Ambiguous(removal)
            | Self::Malformed(removal)
            | Self::Ended(removal)
            | Self::Expired(removal) => {
                headers.append(header::SET_COOKIE, removal.clone());
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Missing | Self::LegacySyntax | Self::TooLarge => {}
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2 wants a challenge. No scheme is registered for cookies; browsers
            // show no dialog for one that they do not know.
            let challenge = HeaderValue::from_static("Cookie realm=\"session\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
}

#[cfg(test)]
mod tests;
