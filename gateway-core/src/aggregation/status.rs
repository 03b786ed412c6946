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
//! ok, `status` the service's answer where that was the reason, `ms` the time it took.
//!
//! Not here: what a required part's failure does to the answer (`failure`).

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::header::{AGGREGATE_STATUS, SERVER_TIMING};

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service's answer is in the body.
    Ok,
    /// The declared value is in the body.
    Fallback,
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
            Self::Fallback => "fallback",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the client has something to show.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Ok | Self::Fallback)
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
    /// The service takes no calls at the moment: too many in flight, or known to be down.
    Unavailable,
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
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReport {
    /// Its name.
    pub part: Arc<str>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it is not ok.
    pub reason: Option<Reason>,
    /// From its call to its landing; `None` when it was not called.
    pub took: Option<Duration>,
    /// Its share in the completeness, next to the other parts' weights.
    pub weight: u32,
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
    /// The weighted share that was delivered, 0 to 1, in thousandths. A fallback counts.
    #[must_use]
    pub fn completeness(&self) -> f64 {
        let weigh = |counts: fn(&PartReport) -> bool| -> f64 {
            self.parts.iter().filter(|part| counts(part)).map(|part| f64::from(part.weight)).sum()
        };
        let all = weigh(|_| true);
        if all == 0.0 {
            return 1.0;
        }
        (weigh(|part| part.outcome.is_delivered()) / all * 1_000.0).round() / 1_000.0
    }

    /// Whether every part is what its service says at this moment.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.parts.iter().all(|part| part.outcome == Outcome::Ok)
    }

    /// Whether time alone kept the parts that failed from being delivered.
    #[must_use]
    pub(super) fn is_late(&self) -> bool {
        let mut failed = self.parts.iter().filter(|part| part.outcome == Outcome::Failed);
        failed.all(|part| part.reason == Some(Reason::Timeout))
    }

    /// Adds `Aggregate-Status` and `Server-Timing`.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(AGGREGATE_STATUS, self.aggregate_status());
        if let Some(timing) = self.server_timing() {
            headers.insert(SERVER_TIMING, timing);
        }
    }

    /// The value of `Aggregate-Status`.
    #[must_use]
    pub fn aggregate_status(&self) -> HeaderValue {
        header_value(&list(", ", &self.parts, |part, out| {
            write!(out, "{};o={}", part.part, part.outcome.as_str())?;
            if let Some(reason) = part.reason {
                write!(out, ";r={}", reason.as_str())?;
                if let Reason::Status(status) = reason {
                    write!(out, ";status={}", status.as_u16())?;
                }
            }
            part.took.map_or(Ok(()), |took| write!(out, ";ms={}", took.as_millis()))
        }))
    }

    /// The value of `Server-Timing` (W3C): the parts that were called; `None` when none was.
    #[must_use]
    pub fn server_timing(&self) -> Option<HeaderValue> {
        let called = self.parts.iter().filter_map(|part| Some((part, part.took?)));
        let timing = list(", ", called, |(part, took), out| {
            let micros = took.as_micros();
            write!(out, "{};dur={}.{:03}", part.part, micros / 1_000, micros % 1_000)
        });
        (!timing.is_empty()).then(|| header_value(&timing))
    }

    /// The value of `_meta`. Times are left out, so that equal answers are equal bytes.
    pub(super) fn write_meta(&self, out: &mut Vec<u8>) {
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

/// Names of parts and the words above are tokens, so the text is always a header value.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use sfv::{BareItem, ListEntry, Parser};

    use super::*;

    fn part(name: &str, outcome: Outcome, reason: Option<Reason>, us: Option<u64>) -> PartReport {
        let took = us.map(Duration::from_micros);
        PartReport { part: name.into(), outcome, reason, took, weight: 1 }
    }

    fn report() -> Report {
        let bad_gateway = Reason::Status(StatusCode::BAD_GATEWAY);
        Report {
            parts: vec![
                part("profile", Outcome::Ok, None, Some(12_345)),
                part("usage", Outcome::Fallback, Some(Reason::Timeout), Some(300_000)),
                part("clicks", Outcome::Failed, Some(bad_gateway), Some(7)),
                part("hooks", Outcome::Skipped, Some(Reason::MissingInput), None),
            ],
            services: vec![0, 1, 2],
            upstream: Duration::from_millis(300),
        }
    }

    #[test]
    fn the_report_is_a_structured_field_that_any_parser_reads() {
        let value = report().aggregate_status();
        assert_eq!(
            value,
            "profile;o=ok;ms=12, usage;o=fallback;r=timeout;ms=300, \
             clicks;o=failed;r=status;status=502;ms=0, hooks;o=skipped;r=missing_input"
        );
        let list: sfv::List = Parser::new(value.as_bytes()).parse().expect("RFC 9651");
        let words = list.iter().map(|entry| match entry {
            ListEntry::Item(item) => {
                let token = |item: &BareItem| item.as_token().map(ToString::to_string);
                (token(&item.bare_item), item.params.get("o").and_then(token))
            }
            ListEntry::InnerList(_) => (None, None),
        });
        let word = |word: &str| Some(word.to_owned());
        assert_eq!(
            words.collect::<Vec<_>>(),
            [
                (word("profile"), word("ok")),
                (word("usage"), word("fallback")),
                (word("clicks"), word("failed")),
                (word("hooks"), word("skipped")),
            ]
        );
    }

    #[test]
    fn server_timing_shows_each_call_in_milliseconds() {
        let timing = report().server_timing().expect("three were called");
        assert_eq!(timing, "profile;dur=12.345, usage;dur=300.000, clicks;dur=0.007");
        assert_eq!(Report { parts: Vec::new(), ..report() }.server_timing(), None);
    }

    #[test]
    fn completeness_is_the_weighted_share_and_a_fallback_counts() {
        let mut report = report();
        assert!((report.completeness() - 0.5).abs() < f64::EPSILON);
        report.parts[0].weight = 4;
        assert!((report.completeness() - 0.714).abs() < f64::EPSILON);
        report.parts.truncate(2);
        assert!((report.completeness() - 1.0).abs() < f64::EPSILON);
        assert!(!report.is_whole(), "a fallback is no answer of its service");
        report.parts.truncate(1);
        assert!(report.is_whole());
    }
}
