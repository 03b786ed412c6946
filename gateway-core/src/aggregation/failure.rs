//! Failure: why an aggregate has no answer, and how that is told.
//!
//! | what failed | status | code |
//! |---|---|---|
//! | a required part: 404 / 401 / 403 / 429 | the same | `part_not_found` / `part_unauthorized` / `part_forbidden` / `part_rate_limited` |
//! | a required part: in time | 504 | `part_timeout` |
//! | a required part: its service takes no calls | 503 | `part_unavailable`, `part_busy`, `part_overloaded`, `part_maintenance` |
//! | a required part: anything else | 502 | `part_failed` |
//! | a required part: the request lacks what it needs | 400 | `missing_input`, `invalid_input` |
//! | a required part: the caller's identity lacks it | 403 | `missing_identity` |
//! | all parts, in time / otherwise | 504 / 502 | `all_parts_timeout` / `all_parts_failed` |
//! | all parts, left out under overload | 503 | `all_parts_left_out` |
//! | all parts, their services take no calls | 503 | `all_parts_unavailable` |
//! | the size of the answer | 502 | `answer_too_large` |
//! | the request's body, where calls read it | 400 | `body_not_json` |
//! | `?fields=` | 400 | `invalid_fields`, `unknown_field` |
//!
//! Invariant: a problem names part and reason, and holds no word of a service's answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::error::Refusal;

use super::fields::{InvalidFields, UnknownField};
use super::status::{Reason, Report};

/// An aggregate that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AggregateFailed {
    /// A required part failed.
    #[error("part {part} failed: {reason:?}")]
    Part {
        /// Its name.
        part: Arc<str>,
        /// Why.
        reason: Reason,
        /// When its service wants to be asked again.
        retry_after: Option<Duration>,
        /// What was known of the other parts.
        report: Box<Report>,
    },
    /// A required part cannot be called for this request.
    #[error("part {part} cannot be called: {} {input}", reason.as_str())]
    Input {
        /// Its name.
        part: Arc<str>,
        /// Whether the value is missing or cannot be used.
        reason: Reason,
        /// The binding: `query.id`.
        input: Box<str>,
        /// What was known of the parts, where any had been called.
        report: Option<Box<Report>>,
    },
    /// No part that the view shows was delivered.
    #[error("all parts failed")]
    AllParts(Box<Report>),
    /// The parts together are larger than an answer may be.
    #[error("the parts together are larger than {size_max} bytes")]
    TooLarge {
        /// The cap.
        size_max: usize,
        /// What was known of the parts.
        report: Box<Report>,
    },
    /// The request's body, which the calls read, is not JSON.
    #[error("the request's body is not JSON")]
    InvalidBody,
    /// The client's `fields` cannot be read.
    #[error("the client's fields cannot be read")]
    InvalidFields(#[from] InvalidFields),
    /// The client asks for what the view does not show.
    #[error(transparent)]
    UnknownField(#[from] UnknownField),
}

impl AggregateFailed {
    /// What became of the parts, where any was called.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Part { report, .. } | Self::AllParts(report) | Self::TooLarge { report, .. } => {
                Some(report)
            }
            Self::Input { report, .. } => report.as_deref(),
            Self::InvalidBody | Self::InvalidFields(_) | Self::UnknownField(_) => None,
        }
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Part { reason, .. } => part_answer(*reason),
            Self::Input { reason: Reason::MissingInput, input, .. }
                if input.starts_with("identity.") =>
            {
                (StatusCode::FORBIDDEN, "missing_identity")
            }
            Self::Input { reason, .. } => (StatusCode::BAD_REQUEST, reason.as_str()),
            Self::AllParts(report) if report.is_left_out() => {
                (StatusCode::SERVICE_UNAVAILABLE, "all_parts_left_out")
            }
            Self::AllParts(report) if report.closed_for().is_some() => {
                (StatusCode::SERVICE_UNAVAILABLE, "all_parts_unavailable")
            }
            Self::AllParts(report) if report.is_late() => {
                (StatusCode::GATEWAY_TIMEOUT, "all_parts_timeout")
            }
            Self::AllParts(_) => (StatusCode::BAD_GATEWAY, "all_parts_failed"),
            Self::TooLarge { .. } => (StatusCode::BAD_GATEWAY, "answer_too_large"),
            Self::InvalidBody => (StatusCode::BAD_REQUEST, "body_not_json"),
            Self::InvalidFields(_) => (StatusCode::BAD_REQUEST, "invalid_fields"),
            Self::UnknownField(_) => (StatusCode::BAD_REQUEST, "unknown_field"),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Part { reason, retry_after, .. } if reason.takes_no_call() => {
                Some(retry_after.unwrap_or(Duration::from_secs(1)))
            }
            Self::AllParts(report) => report.closed_for(),
            Self::Part {
                reason: Reason::Status(StatusCode::TOO_MANY_REQUESTS),
                retry_after,
                ..
            } => *retry_after,
            _ => None,
        }
    }
}

const fn part_answer(reason: Reason) -> (StatusCode, &'static str) {
    match reason {
        Reason::Status(StatusCode::NOT_FOUND) => (StatusCode::NOT_FOUND, "part_not_found"),
        Reason::Status(StatusCode::UNAUTHORIZED) => (StatusCode::UNAUTHORIZED, "part_unauthorized"),
        Reason::Status(StatusCode::FORBIDDEN) => (StatusCode::FORBIDDEN, "part_forbidden"),
        Reason::Status(StatusCode::TOO_MANY_REQUESTS) => {
            (StatusCode::TOO_MANY_REQUESTS, "part_rate_limited")
        }
        Reason::Timeout => (StatusCode::GATEWAY_TIMEOUT, "part_timeout"),
        Reason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "part_unavailable"),
        Reason::Busy => (StatusCode::SERVICE_UNAVAILABLE, "part_busy"),
        Reason::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "part_overloaded"),
        Reason::Maintenance => (StatusCode::SERVICE_UNAVAILABLE, "part_maintenance"),
        _ => (StatusCode::BAD_GATEWAY, "part_failed"),
    }
}

impl Refusal for AggregateFailed {
    fn status(&self) -> StatusCode {
        self.answer().0
    }

    fn code(&self) -> &'static str {
        self.answer().1
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Part { part, reason, .. } => format!(
                "The part \"{part}\", without which there is no answer, failed: {}.",
                reason.as_str()
            )
            .into(),
            Self::Input { input, reason: Reason::MissingInput, .. } => {
                format!("The request needs a value for {input}.").into()
            }
            Self::Input { input, .. } => {
                format!("The request's value for {input} cannot be used.").into()
            }
            Self::AllParts(_) => "None of the parts of this answer could be had.".into(),
            Self::TooLarge { .. } => {
                "The answer is larger than the gateway may hold; ask for fewer fields.".into()
            }
            Self::InvalidBody => "The body must be one JSON value.".into(),
            Self::InvalidFields(error) => format!("The text of \"fields\": {error}.").into(),
            Self::UnknownField(UnknownField(name)) => {
                format!("There is no field \"{}\" here.", shortened(name)).into()
            }
        }
    }

    fn is_mass(&self) -> bool {
        match self {
            Self::Part { reason, .. } => reason.takes_no_call(),
            Self::AllParts(report) => report.closed_for().is_some(),
            _ => false,
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(report) = self.report() {
            report.add_headers(headers);
        }
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
    }

    fn add_members(&self, members: &mut Map<String, Value>) {
        let mut add = |name: &str, value: &str| {
            members.insert(name.to_owned(), value.into());
        };
        match self {
            Self::Part { part, reason, .. } => {
                add("part", part);
                add("reason", reason.as_str());
            }
            Self::Input { part, reason, input, .. } => {
                add("part", part);
                add("reason", reason.as_str());
                add("input", input);
            }
            Self::UnknownField(UnknownField(name)) => add("field", shortened(name)),
            Self::AllParts(_)
            | Self::TooLarge { .. }
            | Self::InvalidBody
            | Self::InvalidFields(_) => {}
        }
    }
}

/// A client's text is shown back only so far.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(200)).unwrap_or(text)
}
