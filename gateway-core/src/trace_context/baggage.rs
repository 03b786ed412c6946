//! `baggage`: what applications pass on along a request (W3C Baggage).
//!
//! Services act on it, so it is believed from listed proxies only; whatever a client sends is
//! dropped. Within the limits of the recommendation it is passed on whole, else not at all: half
//! of it could say something else.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::header::BAGGAGE;

const SIZE_MAX: usize = 8_192;
const MEMBERS_MAX: usize = 64;

/// All fields as one value, where they are a list within the limits.
pub(super) fn read(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(BAGGAGE).iter();
    let (first, second) = (fields.next()?, fields.next());
    let value = match second {
        None => first.clone(),
        Some(second) => {
            let all = [first, second].into_iter().chain(fields).map(HeaderValue::as_bytes);
            let joined = all.collect::<Vec<_>>().join(&b',');
            HeaderValue::from_maybe_shared(Bytes::from(joined)).ok()?
        }
    };
    let bytes = value.as_bytes();
    let mut members = 0;
    for member in bytes.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        members += usize::from(!member.is_empty());
        if !member.is_empty() && !is_member(member) {
            return None;
        }
    }
    ((1..=MEMBERS_MAX).contains(&members) && bytes.len() <= SIZE_MAX).then_some(value)
}

/// `key=value`, perhaps with properties: a token, and visible ASCII without quotes or backslashes.
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', member) else { return false };
    let (key, value) = member.split_at(equals);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~') && !b"\"\\".contains(byte);
    let key = key.trim_ascii_end();
    !key.is_empty() && key.iter().all(is_token) && value.iter().all(is_value)
}
