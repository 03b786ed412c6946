//! `tracestate`: what vendors have added to a trace, passed on with a valid parent only (W3C Trace
//! Context §3.3).
//!
//! Several fields are one list. A list that breaks the grammar, or has more than 32 members, is not
//! passed on at all. Of two members with one key the first is the newer and stays. A list that is
//! too long loses whole members: those of more than 128 bytes first, then those at the end.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::header::TRACESTATE;

/// Bytes that are passed on; the recommendation asks for no more.
const SIZE_MAX: usize = 512;
const MEMBERS_MAX: usize = 32;
/// A member that is longer goes first where the list is too long.
const MEMBER_SIZE: usize = 128;
const KEY_SIZE_MAX: usize = 256;
const VALUE_SIZE_MAX: usize = 256;

/// All fields as one value, where they are a list.
pub(super) fn read(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(TRACESTATE).iter();
    let (first, is_only) = (fields.next()?, fields.next().is_none());
    let mut members: Vec<&[u8]> = Vec::new();
    for field in headers.get_all(TRACESTATE) {
        let all = field.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        // Empty places are allowed, and are no members.
        for member in all.filter(|member| !member.is_empty()) {
            let key = key(member)?;
            if members.len() == MEMBERS_MAX {
                return None;
            }
            if members.iter().all(|known| self::key(known) != Some(key)) {
                members.push(member);
            }
        }
    }
    shorten(&mut members);
    if members.is_empty() {
        return None;
    }
    // Nothing of it was left out.
    if is_only && size(&members) == first.len() {
        return Some(first.clone());
    }
    HeaderValue::from_maybe_shared(Bytes::from(members.join(&b','))).ok()
}

/// The key of a member that is `key=value`; `None` where it is not.
fn key(member: &[u8]) -> Option<&[u8]> {
    let (key, value) = member.split_at_checked(memchr::memchr(b'=', member)?)?;
    let value = value.get(1..)?;
    let is_start = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let is_key = |byte: &u8| is_start(byte) || b"_-*/@".contains(byte);
    let is_value = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'=';
    let is_well_formed = key.first().is_some_and(is_start)
        && key.iter().all(is_key)
        && key.len() <= KEY_SIZE_MAX
        && !value.is_empty()
        && value.iter().all(is_value)
        && value.len() <= VALUE_SIZE_MAX;
    is_well_formed.then_some(key)
}

fn shorten(members: &mut Vec<&[u8]>) {
    while size(members) > SIZE_MAX {
        match members.iter().rposition(|member| member.len() > MEMBER_SIZE) {
            Some(place) => drop(members.remove(place)),
            None => drop(members.pop()),
        }
    }
}

/// Bytes of the list, commas included.
fn size(members: &[&[u8]]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}
