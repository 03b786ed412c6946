//! What a client is told of its limits.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-10. `RateLimit-Policy` lists every limit that was
//! charged, `RateLimit` the tightest of them: the one with the least left of what it allows. `t` is
//! the time until `r` grows by one, in whole seconds, rounded up.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{BucketState, Quota};
use crate::header::{RATELIMIT, RATELIMIT_POLICY};

/// One limit that was charged.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// Its name.
    pub name: &'a Arc<str>,
    /// Its item in `RateLimit-Policy`.
    pub policy: &'a str,
    /// What it allows.
    pub quota: &'a Quota,
    /// What is left.
    pub state: BucketState,
}

/// A limit's item in `RateLimit-Policy`: `"consumer";q=100;w=60`.
#[must_use]
pub fn policy(name: &str, quota: &Quota) -> String {
    let mut text = String::with_capacity(name.len() + 32);
    push_string(name, &mut text);
    let window = whole_seconds(quota.period()).max(1);
    let _ = write!(text, ";q={};w={window}", quota.limit());
    text
}

/// Writes both fields for the limits that were charged; nothing when there were none.
pub fn write(applied: &[Applied<'_>], out: &mut Vec<(HeaderName, HeaderValue)>) {
    if let Some(tightest) = tightest(applied) {
        out.push((RATELIMIT_POLICY, policies(applied)));
        out.push((RATELIMIT, item(tightest)));
    }
}

pub(super) fn policies(applied: &[Applied<'_>]) -> HeaderValue {
    let mut text = String::with_capacity(applied.len() * 32);
    for (place, limit) in applied.iter().enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        text.push_str(limit.policy);
    }
    value(text)
}

/// The limit with the smallest share left; of equals the one that takes longest to fill.
pub(super) fn tightest<'s, 'a>(applied: &'s [Applied<'a>]) -> Option<&'s Applied<'a>> {
    applied.iter().min_by(|one, other| {
        let share = |limit: &Applied<'_>, by: u32| u64::from(limit.state.remaining) * u64::from(by);
        share(one, other.quota.limit())
            .cmp(&share(other, one.quota.limit()))
            .then(other.state.reset_after.cmp(&one.state.reset_after))
    })
}

pub(super) fn item(limit: &Applied<'_>) -> HeaderValue {
    // Where the burst is larger than the rate, more may be left than a window allows.
    let remaining = limit.state.remaining.min(limit.quota.limit());
    let mut text = String::with_capacity(limit.name.len() + 24);
    push_string(limit.name, &mut text);
    let _ = write!(text, ";r={remaining}");
    if let Some(grows_after) = limit.state.grows_after {
        let _ = write!(text, ";t={}", whole_seconds(grows_after).max(1));
    }
    value(text)
}

/// Rounded up: who waits that long has waited long enough.
pub(super) fn whole_seconds(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}

/// A string of RFC 9651 §4.1.6; what it cannot hold becomes `?`.
fn push_string(name: &str, text: &mut String) {
    text.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('?'),
        }
    }
    text.push('"');
}

/// All that is written here is visible ASCII, so this is always a value.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}
