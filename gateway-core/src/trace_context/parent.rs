//! `traceparent`: version, trace id, the caller's span, flags (W3C Trace Context §3.2).

use bytes::Bytes;
use http::HeaderValue;
use rand::RngExt as _;

use super::span::SpanId;
use super::{Flags, TraceId};

/// Bytes of version 00; a later version has at least as many.
const LENGTH: usize = 55;

const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// A valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: TraceId,
    pub(super) span: SpanId,
    pub(super) flags: Flags,
}

impl Parent {
    /// Reads one of any version: what a later one adds is left out (§3.2.4).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.trim_ascii().split_at_checked(LENGTH)?;
        let (version, dashes) = (head.get(..2)?, [2, 35, 52]);
        // Version 00 ends here; a later one may go on after another dash.
        let ends_well = rest.is_empty() || (version != b"00" && rest.first() == Some(&b'-'));
        let is_divided = dashes.iter().all(|&place| head.get(place) == Some(&b'-'));
        let trace_id: TraceId = head.get(3..35)?.try_into().ok()?;
        let is_zero = trace_id.iter().all(|&digit| digit == b'0');
        if !ends_well || !is_divided || is_zero || number(version)? == 0xff {
            return None;
        }
        // Both halves, because a number has room for one.
        number(trace_id.get(..16)?).and(number(trace_id.get(16..)?))?;
        let span = SpanId::new(number(head.get(36..52)?)?)?;
        let flags = u8::try_from(number(head.get(53..)?)?).ok()?;
        let (is_sampled, is_random) = (flags & SAMPLED != 0, flags & RANDOM != 0);
        Some(Self { trace_id, span, flags: Flags { is_sampled, is_random } })
    }

    /// The field's value, in version 00.
    pub(super) fn write(&self) -> HeaderValue {
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(b"00-");
        text.extend_from_slice(&self.trace_id);
        text.push(b'-');
        text.extend_from_slice(&hex::<16>(self.span.get().into()));
        text.push(b'-');
        text.extend_from_slice(&hex::<2>(self.flags.bits().into()));
        HeaderValue::from_maybe_shared(Bytes::from(text))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl Flags {
    /// The flags as their byte.
    pub(super) const fn bits(self) -> u8 {
        let sampled = if self.is_sampled { SAMPLED } else { 0 };
        let random = if self.is_random { RANDOM } else { 0 };
        sampled | random
    }
}

/// A trace id of sixteen random bytes.
pub(super) fn new_trace_id() -> TraceId {
    hex(rand::rng().random_range(1..=u128::MAX))
}

/// Up to sixteen hex digits in small letters, as their number.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u64::from(digit))
    })
}

/// The last `N` hex digits of a number.
fn hex<const N: usize>(mut number: u128) -> [u8; N] {
    let mut text = [b'0'; N];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(number & 15).unwrap_or_default();
        *place = b"0123456789abcdef".get(digit).copied().unwrap_or(b'0');
        number >>= 4;
    }
    text
}
