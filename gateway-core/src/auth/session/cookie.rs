//! The `Cookie` header, byte for byte.
//!
//! Cookie libraries percent-decode names and trim Unicode's white space, so a page of a
//! neighbouring host can set a cookie that *becomes* the session's on the way in. Here a name is a
//! sequence of bytes and nothing else: only the bytes that a browser protects are accepted.
//!
//! Not here: `Set-Cookie` of the session itself ([`super::SessionPolicy`]).

use http::{HeaderMap, HeaderValue, header};

use super::{SessionId, SessionPolicy, SessionRefusal};
use crate::store::SessionDigest;

/// The longest `Cookie` that is read: all fields of the name together, in bytes.
const SIZE_MAX: usize = 16 * 1024;
/// The most cookies that are read.
const COUNT_MAX: usize = 100;

/// The session that the request's head names, if it names one.
///
/// # Errors
///
/// [`SessionRefusal`] when the cookies are too many or too long, when two bear the session's name,
/// when the value cannot be an id, or when they are written in the syntax of RFC 2965.
pub fn credential(
    headers: &HeaderMap,
    policy: &SessionPolicy,
) -> Result<Option<SessionDigest>, SessionRefusal> {
    Ok(presented(headers, policy)?.map(|id| id.digest()))
}

/// As [`credential`], for those who have to give the id back to the browser.
///
/// # Errors
///
/// As [`credential`].
pub fn presented(
    headers: &HeaderMap,
    policy: &SessionPolicy,
) -> Result<Option<SessionId>, SessionRefusal> {
    let fields = || headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    if fields().map(<[u8]>::len).sum::<usize>() > SIZE_MAX {
        return Err(SessionRefusal::TooLarge);
    }
    let mut found = None;
    for (position, pair) in fields().flat_map(|field| field.split(|&b| b == b';')).enumerate() {
        if position >= COUNT_MAX {
            return Err(SessionRefusal::TooLarge);
        }
        let (name, value) = name_and_value(pair);
        if name.eq_ignore_ascii_case(b"$Version") {
            return Err(SessionRefusal::LegacySyntax);
        }
        if name == policy.cookie_name().as_bytes() && found.replace(value).is_some() {
            return Err(SessionRefusal::Ambiguous(policy.removal_cookie()));
        }
    }
    let malformed = || SessionRefusal::Malformed(policy.removal_cookie());
    found.map(|value| SessionId::parse(value).ok_or_else(malformed)).transpose()
}

/// Splits a pair at its first `=`; a pair without one is a value without a name (RFC 6265bis
/// §5.6). Only spaces in front are skipped: they are the separator's.
fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let start = pair.iter().position(|&byte| byte != b' ').unwrap_or(pair.len());
    let (_, pair) = pair.split_at_checked(start).unwrap_or_default();
    let mut halves = pair.splitn(2, |&byte| byte == b'=');
    match (halves.next(), halves.next()) {
        (Some(name), Some(value)) => (name, value),
        _ => (b"", pair),
    }
}

/// Takes the cookies from a request on its way to a service: they are between the browser and the
/// gateway.
pub fn strip_cookies(headers: &mut HeaderMap) {
    headers.remove(header::COOKIE);
}

/// Leaves on a service's answer only the cookies whose names are on the list, and never the
/// session's, in whatever case.
pub fn keep_set_cookie(headers: &mut HeaderMap, allowed: &[Box<str>], policy: &SessionPolicy) {
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let is_kept = |value: &&HeaderValue| {
        let name = set_cookie_name(value.as_bytes());
        !name.eq_ignore_ascii_case(policy.cookie_name().as_bytes())
            && allowed.iter().any(|one| one.as_bytes() == name)
    };
    let kept: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter(is_kept).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

/// The name that a browser will read (RFC 6265bis §5.6): white space around it is trimmed, and
/// without an `=` there is none.
fn set_cookie_name(value: &[u8]) -> &[u8] {
    let pair = value.split(|&byte| byte == b';').next().unwrap_or_default();
    match pair.iter().position(|&byte| byte == b'=') {
        Some(end) => pair.split_at_checked(end).unwrap_or_default().0.trim_ascii(),
        None => b"",
    }
}
