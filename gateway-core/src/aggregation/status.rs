//! Status: what an aggregate delivered, part by part, for machines and for people.
//!
//! [`Report`] is the truth; it is written in four places: `Aggregate-Status` and `Server-Timing`
//! on every answer, `_meta` in the body where a view asks for it, and the record's completeness.
//!
//! ```text
//! Aggregate-Status: profile;o=ok;ms=12, usage;o=fallback;r=status;status=503;ms=48
//! ```
//!
//! A list of RFC 9651: the item is the part's name, `o` its outcome, `r` the reason where it is not
//! ok, `status` the service's answer where that was the reason, `failed` and `of` the items of a
//! `for_each` where some are missing, `ms` the time it took.
//!
//! Not here: what a required part's failure does to the answer (`failure`).

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_STATUS;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::header::{AGGREGATE_STATUS, SERVER_TIMING};
use crate::json_object::{Digits, decimal};

use super::part_cache::CacheUse;

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service's answer is in the body.
    Ok,
    /// An answer that was kept, and is as good as a new one, is in the body.
    Cached,
    /// An answer that was kept, and is older than it should be, is in the body.
    Stale,
    /// The declared value is in the body.
    Fallback,
    /// Some items of a `for_each` have what was fetched for them, the others null.
    Partial,
    /// Null is in the body.
    Failed,
    /// It was not called, or not to the end; null is in the body.
    Skipped,
}

impl Outcome {
    /// The word in the report, in metrics and in `_meta`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cached => "cached",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Fallback => "fallback",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the client has something to show.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        !matches!(self, Self::Failed | Self::Skipped)
    }
}

/// Why a part is not ok.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request lacks a value that the call needs.
    MissingInput,
    /// The request holds a value that cannot stand in the call.
    InvalidInput,
    /// No connection could be opened.
    Refused,
    /// The connection broke, or what came back is not HTTP.
    Reset,
    /// The answer was not there in time.
    Timeout,
    /// The answer is larger than its cap.
    TooLarge,
    /// The service pointed elsewhere, and redirects are not followed.
    Redirect,
    /// The service answered with a status that is no success.
    Status(StatusCode),
    /// The service answered with something that is not one JSON (or XML) document.
    Unparsable,
    /// The answer has another shape than the declaration says.
    Contract,
    /// The answer holds another user's data.
    ForeignData,
    /// There are more items than a `for_each` runs over.
    TooManyItems,
    /// The part's `when` does not hold.
    Condition,
    /// No target of the service takes calls: it is known to be down.
    Unavailable,
    /// As many calls to the service are in flight as there may be.
    Busy,
    /// The service has as much to do as it can, or the gateway itself.
    Overloaded,
    /// The service is closed for maintenance.
    Maintenance,
    /// There was too much to do, and the answer can do without it.
    Brownout,
    /// The answer failed before this part had landed.
    Cancelled,
}

impl Reason {
    /// The word in the report, in metrics and in `_meta`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingInput => "missing_input",
            Self::InvalidInput => "invalid_input",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Redirect => "redirect",
            Self::Status(_) => "status",
            Self::Unparsable => "unparsable",
            Self::Contract => "contract",
            Self::ForeignData => "foreign_data",
            Self::TooManyItems => "too_many_items",
            Self::Condition => "condition",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Overloaded => "overloaded",
            Self::Maintenance => "maintenance",
            Self::Brownout => "brownout",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the call was not made because its service takes none at the moment.
    #[must_use]
    pub const fn takes_no_call(self) -> bool {
        matches!(self, Self::Unavailable | Self::Busy | Self::Overloaded | Self::Maintenance)
    }
}

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReport {
    /// Its name.
    pub part: Arc<str>,
    /// Its number in the declaration.
    pub number: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it is not ok.
    pub reason: Option<Reason>,
    /// From its call to its landing; `None` when it was not called.
    pub took: Option<Duration>,
    /// Its share in the completeness, next to the other parts' weights.
    pub weight: u32,
    /// Items that lack what was to be fetched for them, and all items; of a `for_each`.
    pub items: Option<(usize, usize)>,
    /// What the cache had to do with it, where it has one.
    pub cache: Option<CacheUse>,
    /// When its service wants to be asked again, where that is why it failed.
    pub retry_after: Option<Duration>,
}

impl PartReport {
    /// The share of it that was delivered, 0 to 1.
    fn delivered(&self) -> f64 {
        match (self.outcome, self.items) {
            (Outcome::Partial, Some((failed, of))) if of > 0 => {
                #[expect(clippy::cast_precision_loss, reason = "items are capped far below 2^52")]
                let share = 1.0 - failed as f64 / of as f64;
                share
            }
            (outcome, _) if outcome.is_delivered() => 1.0,
            _ => 0.0,
        }
    }

    /// A part that was not wanted for this request is no gap.
    fn is_due(&self) -> bool {
        self.reason != Some(Reason::Condition)
    }
}

/// What one answer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each part that was asked for, in declaration order.
    pub parts: Vec<PartReport>,
    /// The services that were called, each once, in declaration order: the resolver's numbers.
    pub services: Vec<usize>,
    /// From the first call being sent to the last landing: the critical path of the calls.
    pub upstream: Duration,
}

impl Report {
    /// The weighted share that was delivered, 0 to 1, in thousandths. A fallback counts, and so
    /// does a stale value; a part whose condition does not hold is left out.
    #[must_use]
    pub fn completeness(&self) -> f64 {
        let due = || self.parts.iter().filter(|part| part.is_due());
        let all: f64 = due().map(|part| f64::from(part.weight)).sum();
        if all == 0.0 {
            return 1.0;
        }
        let delivered: f64 = due().map(|part| f64::from(part.weight) * part.delivered()).sum();
        (delivered / all * 1_000.0).round() / 1_000.0
    }

    /// Whether every part is what its service says at this moment, or said so lately that the
    /// declaration takes it for that.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_whole = |part: &PartReport| matches!(part.outcome, Outcome::Ok | Outcome::Cached);
        self.parts.iter().filter(|part| part.is_due()).all(is_whole)
    }

    /// Whether time alone kept the parts that failed from being delivered.
    #[must_use]
    pub(super) fn is_late(&self) -> bool {
        let mut failed = self.parts.iter().filter(|part| part.outcome == Outcome::Failed);
        failed.all(|part| part.reason == Some(Reason::Timeout))
    }

    /// Whether what is missing was not to be had because its services take no calls, and how long
    /// the first of them wants to be left alone.
    #[must_use]
    pub(super) fn closed_for(&self) -> Option<Duration> {
        let mut reasons = self.gaps().map(|part| part.reason);
        let is_closed = reasons.all(|reason| {
            reason.is_some_and(|reason| reason.takes_no_call() || reason == Reason::Brownout)
        });
        is_closed.then(|| {
            let first = self.gaps().filter_map(|part| part.retry_after).min();
            first.unwrap_or(Duration::from_secs(1))
        })
    }

    /// Whether all that is missing was left out for want of room.
    #[must_use]
    pub(super) fn is_left_out(&self) -> bool {
        self.gaps().all(|part| part.reason == Some(Reason::Brownout))
    }

    /// The parts that are missing of themselves, and not because another is.
    fn gaps(&self) -> impl Iterator<Item = &PartReport> {
        self.parts
            .iter()
            .filter(|part| part.outcome == Outcome::Failed || part.reason == Some(Reason::Brownout))
    }

    /// The value of `Cache-Status` (RFC 9211): a member for each part that has a cache; `None`
    /// when none has.
    #[must_use]
    pub fn cache_status(&self) -> Option<HeaderValue> {
        let mut line = Line::default();
        for (part, cache) in self.parts.iter().filter_map(|part| Some((part, part.cache?))) {
            line.member(&part.part);
            line.text(cache.parameters());
            if let Some(ttl) = cache.ttl() {
                line.text(if ttl < 0 { ";ttl=-" } else { ";ttl=" });
                line.number(ttl.unsigned_abs());
            }
        }
        line.value()
    }

    /// Adds `Aggregate-Status`, `Server-Timing` and `Cache-Status`.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(AGGREGATE_STATUS, self.aggregate_status());
        if let Some(timing) = self.server_timing() {
            headers.insert(SERVER_TIMING, timing);
        }
        if let Some(status) = self.cache_status() {
            headers.insert(CACHE_STATUS, status);
        }
    }

    /// The value of `Aggregate-Status`.
    #[must_use]
    pub fn aggregate_status(&self) -> HeaderValue {
        let mut line = Line::default();
        for part in &self.parts {
            line.member(&part.part);
            line.text(";o=");
            line.text(part.outcome.as_str());
            if let Some(reason) = part.reason {
                line.text(";r=");
                line.text(reason.as_str());
                if let Reason::Status(status) = reason {
                    line.parameter(";status=", status.as_u16());
                }
            }
            if let (Outcome::Partial, Some((failed, of))) = (part.outcome, part.items) {
                line.parameter(";failed=", failed as u64);
                line.parameter(";of=", of as u64);
            }
            if let Some(took) = part.took {
                line.parameter(";ms=", micros(took) / 1_000);
            }
        }
        line.value().unwrap_or_else(|| HeaderValue::from_static(""))
    }

    /// The value of `Server-Timing` (W3C): the parts that were called; `None` when none was.
    #[must_use]
    pub fn server_timing(&self) -> Option<HeaderValue> {
        let mut line = Line::default();
        for (part, took) in self.parts.iter().filter_map(|part| Some((part, part.took?))) {
            let micros = micros(took);
            line.member(&part.part);
            line.parameter(";dur=", micros / 1_000);
            line.text(".");
            for digit in [micros / 100, micros / 10, micros] {
                line.number(digit % 10);
            }
        }
        line.value()
    }

    /// The value of `_meta`, and of the last frame of progressive delivery. Times are left out, so that equal answers are equal bytes.
    pub(crate) fn write_meta(&self, out: &mut Vec<u8>) {
        let parts = list(",", &self.parts, |part, out| {
            write!(out, "\"{}\":{{\"outcome\":\"{}\"", part.part, part.outcome.as_str())?;
            match part.reason {
                Some(reason) => write!(out, ",\"reason\":\"{}\"}}", reason.as_str()),
                None => write!(out, "}}"),
            }
        });
        let completeness = self.completeness();
        let meta = format!("{{\"completeness\":{completeness},\"parts\":{{{parts}}}}}");
        out.extend_from_slice(meta.as_bytes());
    }
}

fn list<T>(
    separator: &str,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut String) -> fmt::Result,
) -> String {
    let mut out = String::with_capacity(128);
    for item in items {
        if !out.is_empty() {
            out.push_str(separator);
        }
        // Writing to a String does not fail.
        let _ = write(item, &mut out);
    }
    out
}

/// A field's value that is a list. Written by hand: it is on every answer, and `fmt` would cost
/// more than a part's JSON does.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    /// Begins the member of a part.
    fn member(&mut self, part: &str) {
        if self.0.is_empty() {
            self.0.reserve(256);
        } else {
            self.text(", ");
        }
        self.text(part);
    }

    fn parameter(&mut self, name: &str, value: impl Into<u64>) {
        self.text(name);
        self.number(value.into());
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(decimal(number, &mut Digits::default()));
    }

    /// The value; `None` where there is no member. Names of parts and the words above are tokens,
    /// so the text is always a header value.
    fn value(self) -> Option<HeaderValue> {
        if self.0.is_empty() { None } else { HeaderValue::from_bytes(&self.0).ok() }
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
