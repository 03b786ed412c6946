//! Trace context: which trace a request belongs to, in and out.
//!
//! Source: W3C Trace Context. A valid `traceparent` is continued, with a span of its own for each
//! call; anything else starts a new trace. `tracestate` passes on only with a valid parent, and whole
//! or not at all.
//!
//! Not here: spans and their export.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use rand::RngExt as _;

use crate::header::{TRACEPARENT, TRACESTATE};

/// The longest `tracestate` that is passed on; the recommendation asks for at least 512 bytes.
const STATE_SIZE_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;

/// The trace of one request.
#[derive(Debug, Clone)]
pub struct TraceContext {
    trace_id: [u8; 32],
    is_sampled: bool,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// The trace that a request's head continues, or a new one.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let only = parents.next().filter(|_| parents.next().is_none());
        match only.and_then(|parent| parse(parent.as_bytes())) {
            Some((trace_id, is_sampled)) => Self { trace_id, is_sampled, state: state(headers) },
            None => Self { trace_id: new_trace_id(), is_sampled: false, state: None },
        }
    }

    /// The trace's id: 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.trace_id).unwrap_or_default()
    }

    /// A `traceparent` for one call: this trace, a span of its own.
    #[must_use]
    pub fn child(&self) -> HeaderValue {
        let mut text = Vec::with_capacity(55);
        text.extend_from_slice(b"00-");
        text.extend_from_slice(&self.trace_id);
        text.push(b'-');
        text.extend_from_slice(&hex::<16>(rand::rng().random_range(1..=u64::MAX).into()));
        text.extend_from_slice(if self.is_sampled { b"-01" } else { b"-00" });
        HeaderValue::from_maybe_shared(Bytes::from(text))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The same trace without what vendors, or a client, have added.
    #[must_use]
    pub fn without_state(&self) -> Self {
        Self { state: None, ..self.clone() }
    }

    /// What vendors have added, to be passed on as it is.
    #[must_use]
    pub const fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }
}

/// The trace id and the sampled flag of a valid `traceparent`.
fn parse(text: &[u8]) -> Option<([u8; 32], bool)> {
    let (head, rest) = text.split_at_checked(55)?;
    let version = head.get(..2)?;
    // Version 00 ends here; a later one may go on after another dash.
    let ends_well =
        if version == b"00" { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
    let dashes = [2, 35, 52].iter().all(|&place| head.get(place) == Some(&b'-'));
    let trace_id: [u8; 32] = head.get(3..35)?.try_into().ok()?;
    let parent_id = head.get(36..52)?;
    let flags = head.get(53..)?;
    let are_digits = [version, &trace_id, parent_id, flags]
        .iter()
        .all(|digits| digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
    let is_zero = |digits: &[u8]| digits.iter().all(|&digit| digit == b'0');
    let is_valid = ends_well && dashes && are_digits && version != b"ff";
    if !is_valid || is_zero(&trace_id) || is_zero(parent_id) {
        return None;
    }
    let last = char::from(*flags.last()?).to_digit(16)?;
    Some((trace_id, last & 1 == 1))
}

/// All fields in one, if they are a list of members within the bounds (§3.3); else none of them.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(TRACESTATE).iter();
    let first = fields.next()?;
    if first.len() > STATE_SIZE_MAX {
        return None;
    }
    let mut joined = first.clone();
    for field in fields {
        if joined.len() + 1 + field.len() > STATE_SIZE_MAX {
            return None;
        }
        let both = [joined.as_bytes(), field.as_bytes()].join(&b',');
        joined = HeaderValue::from_maybe_shared(Bytes::from(both)).ok()?;
    }
    is_list(joined.as_bytes()).then_some(joined)
}

/// Whether a list has from 1 to 32 members; empty places between commas are allowed, and no member.
fn is_list(state: &[u8]) -> bool {
    let members = state.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let mut count = 0;
    for member in members.filter(|member| !member.is_empty()) {
        count += 1;
        if !is_member(member) {
            return false;
        }
    }
    (1..=STATE_MEMBERS_MAX).contains(&count)
}

/// `key=value`: a key of lower-case letters, digits and `_-*/@`, and a value of visible ASCII and
/// spaces.
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', member) else { return false };
    let (key, value) = member.split_at(equals);
    let is_key =
        |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value = value.get(1..).unwrap_or_default();
    let is_value = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'=';
    !key.is_empty() && key.iter().all(is_key) && !value.is_empty() && value.iter().all(is_value)
}

fn new_trace_id() -> [u8; 32] {
    hex::<32>(rand::rng().random_range(1..=u128::MAX))
}

/// The last `N` hex digits of a number.
fn hex<const N: usize>(number: u128) -> [u8; N] {
    std::array::from_fn(|place| {
        let digit = u32::try_from(number >> (4 * (N - 1 - place)) & 15).unwrap_or(0);
        char::from_digit(digit, 16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(b'0')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn context(fields: &[(&'static str, &str)]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        TraceContext::from_headers(&headers)
    }

    #[track_caller]
    fn check(parent: &str, goes_on: bool) {
        let context = context(&[("traceparent", parent), ("tracestate", "a=1")]);
        assert_eq!(context.trace_id() == TRACE, goes_on, "{parent}");
        assert_eq!(context.state().is_some(), goes_on, "{parent}");
    }

    #[test]
    fn a_valid_parent_is_continued_and_anything_else_starts_a_new_trace() {
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true);
        check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future", true);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false);
        check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more", false);
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01", false);
        check("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A", false);
        check("0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", true);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", false);
        check("", false);
        let zero =
            context(&[("traceparent", &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)))]);
        assert_ne!(zero.trace_id(), "0".repeat(32));
    }

    #[test]
    fn two_parents_are_none() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let context = context(&[("traceparent", &parent), ("traceparent", &parent)]);
        assert_ne!(context.trace_id(), TRACE);
    }

    #[test]
    fn each_call_has_a_span_of_its_own_in_the_same_trace_with_the_same_flag() {
        let context = context(&[("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"))]);
        let (one, other) = (context.child(), context.child());
        assert_ne!(one, other);
        for child in [one, other] {
            assert_eq!(
                parse(child.as_bytes()).map(|(_, sampled)| sampled),
                Some(true),
                "{child:?}"
            );
            assert!(child.to_str().expect("ASCII").contains(TRACE));
        }
    }

    #[test]
    fn the_sampled_flag_is_the_last_bit_and_no_other_flag_is_passed_on() {
        let check = |flags: &str, expected: &str| {
            let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let child = context(&[("traceparent", &parent)]).child();
            let child = child.to_str().expect("ASCII");
            assert_eq!((child.len(), &child[..3], &child[52..]), (55, "00-", expected), "{flags}");
        };
        check("00", "-00");
        check("01", "-01");
        check("02", "-00");
        check("ff", "-01");
        check("0b", "-01");
        check("a0", "-00");
    }

    #[test]
    fn a_new_trace_is_random_not_sampled_and_one_for_all_its_calls() {
        let (one, other) = (context(&[]), context(&[]));
        assert_ne!(one.trace_id(), other.trace_id());
        let child = one.child();
        let (trace_id, is_sampled) = parse(child.as_bytes()).expect("a valid parent");
        assert_eq!((&trace_id[..], is_sampled), (one.trace_id().as_bytes(), false));
        assert_eq!(one.clone().trace_id(), one.trace_id());
    }

    /// What becomes of these `tracestate` fields beside a valid parent.
    #[track_caller]
    fn check_state(fields: &[&str], expected: Option<&str>) {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let mut all = vec![("traceparent", parent.as_str())];
        all.extend(fields.iter().map(|field| ("tracestate", *field)));
        let context = context(&all);
        let state = context.state().map(|state| state.to_str().expect("ASCII"));
        assert_eq!(state, expected, "{fields:?}");
    }

    #[test]
    fn a_state_is_passed_on_whole_or_not_at_all() {
        check_state(&[], None);
        check_state(&[""], None);
        check_state(&[","], None);
        check_state(&["rojo=00f067aa0ba902b7,congo=t61"], Some("rojo=00f067aa0ba902b7,congo=t61"));
        check_state(&["a=1", "b=2", "c=3"], Some("a=1,b=2,c=3"));
        check_state(&["a=1 , ,\tb=2"], Some("a=1 , ,\tb=2"));
        check_state(&["fw529a3039@dt=x y", "_-*/@=1"], Some("fw529a3039@dt=x y,_-*/@=1"));
        check_state(&["a"], None);
        check_state(&["=1"], None);
        check_state(&["a="], None);
        check_state(&["a=1=2"], None);
        check_state(&["A=1"], None);
        check_state(&["a=1", "no member"], None);
    }

    #[test]
    fn a_state_is_dropped_above_512_bytes_or_32_members() {
        let of_size = |size: usize| format!("a={}", "x".repeat(size - 2));
        check_state(&[&of_size(512)], Some(&of_size(512)));
        check_state(&[&of_size(513)], None);
        check_state(&[&of_size(256), &of_size(255)], Some(&[of_size(256), of_size(255)].join(",")));
        check_state(&[&of_size(256), &of_size(256)], None);
        let of_members = |members: usize| vec!["a=1"; members].join(",");
        check_state(&[&of_members(32)], Some(&of_members(32)));
        check_state(&[&of_members(33)], None);
    }
}
