//! The refusal.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::headers::{self, Applied, whole_seconds};
use crate::error::Refusal;
use crate::header::{RATELIMIT, RATELIMIT_POLICY};

/// One or more limits did not let a request pass.
#[derive(Debug, thiserror::Error)]
#[error("above the limits: {}", violated.join(", "))]
pub struct RateLimited {
    violated: Vec<Arc<str>>,
    /// `None`: waiting does not help.
    retry_after: Option<Duration>,
    policy: HeaderValue,
    rate_limit: Option<HeaderValue>,
}

impl RateLimited {
    /// The refusal by those of the charged limits that were not kept.
    #[must_use]
    pub fn of(applied: &[Applied<'_>]) -> Self {
        let violated: Vec<Applied<'_>> =
            applied.iter().filter(|limit| !limit.state.is_admitted).copied().collect();
        let waits: Option<Vec<Duration>> =
            violated.iter().map(|limit| limit.state.retry_after).collect();
        Self {
            retry_after: waits.and_then(|waits| waits.into_iter().max()),
            policy: headers::policies(applied),
            rate_limit: headers::tightest(&violated).map(headers::item),
            violated: violated.iter().map(|limit| Arc::clone(limit.name)).collect(),
        }
    }

    fn seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| whole_seconds(wait).max(1))
    }
}

impl Refusal for RateLimited {
    fn status(&self) -> StatusCode {
        StatusCode::TOO_MANY_REQUESTS
    }

    fn code(&self) -> &'static str {
        "rate_limited"
    }

    fn detail(&self) -> Cow<'static, str> {
        match self.seconds() {
            Some(1) => "Try again in 1 second.".into(),
            Some(seconds) => format!("Try again in {seconds} seconds.").into(),
            None => "This request is above what the limit ever allows at once.".into(),
        }
    }

    fn problem_type(&self) -> &'static str {
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(RATELIMIT_POLICY, self.policy.clone());
        if let Some(rate_limit) = &self.rate_limit {
            headers.insert(RATELIMIT, rate_limit.clone());
        }
        if let Some(seconds) = self.seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    fn add_members(&self, members: &mut Map<String, Value>) {
        let names = self.violated.iter().map(|name| Value::from(&**name)).collect();
        members.insert("violated-policies".to_owned(), Value::Array(names));
    }
}
