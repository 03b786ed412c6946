//! What can go wrong with a call, and how each is answered.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::body::{BodyError, BodyRefused, ReadTimedOut};
use crate::error::Refusal;
use crate::upstream::http1::Failed;

/// A call to a service that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// No connection could be opened.
    #[error("the service cannot be reached")]
    Unreachable(#[source] BodyError),
    /// The connection was not open in time.
    #[error("the connection was not open after {0:?}")]
    ConnectTimedOut(Duration),
    /// The head of the answer was not there in time.
    #[error("no answer after {0:?}")]
    ResponseTimedOut(Duration),
    /// The service stopped taking the request's body.
    #[error("the service took nothing of the request's body for {0:?}")]
    WriteTimedOut(Duration),
    /// The answer's body stopped arriving.
    #[error("the answer's body stopped arriving")]
    ReadTimedOut(#[source] ReadTimedOut),
    /// The connection broke, or what came back is not HTTP.
    #[error("the connection broke or the answer is not HTTP")]
    Broken(#[source] BodyError),
    /// Head or body of the answer is larger than the gateway may hold.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// As many requests are in flight to the target, or as many connections in use, as allowed.
    #[error("{0} requests or connections to the target are all that there may be")]
    Busy(u32),
    /// No target of the service takes calls; after so long one may.
    #[error("no target of the service takes calls for another {0:?}")]
    Unavailable(Duration),
    /// The service has as much to do as it can, or the gateway itself; those of a lower priority
    /// stay out first.
    #[error("there is no room for a call of this priority")]
    Overloaded,
    /// The client's body was cut off on its way; the cut says how it is answered.
    #[error("the client's body was cut off")]
    BodyRefused(#[source] BodyRefused),
    /// The client's body broke off.
    #[error("the client's body broke off")]
    BodyBroken(#[source] BodyError),
}

impl CallFailed {
    /// Sorts what a connection says.
    pub(super) fn of_connection(failed: Failed) -> Self {
        match failed {
            Failed::HeadTooLarge(size_max) => Self::TooLarge(size_max),
            Failed::Body(error) => match BodyRefused::find(&*error) {
                Some(refused) => Self::BodyRefused(refused),
                None => Self::BodyBroken(error),
            },
            broken => Self::Broken(broken.into()),
        }
    }

    /// Sorts why a body ended early.
    #[must_use]
    pub fn from_body(error: BodyError) -> Self {
        if let Some(refused) = BodyRefused::find(&*error) {
            return Self::BodyRefused(refused);
        }
        match error.downcast::<ReadTimedOut>() {
            Ok(timed_out) => Self::ReadTimedOut(*timed_out),
            Err(error) => Self::Broken(error),
        }
    }
}

impl Refusal for CallFailed {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::TooLarge(_) => StatusCode::BAD_GATEWAY,
            Self::ConnectTimedOut(_)
            | Self::ResponseTimedOut(_)
            | Self::WriteTimedOut(_)
            | Self::ReadTimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Busy(_) | Self::Unavailable(_) | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BodyRefused(refused) => refused.status(),
            Self::BodyBroken(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::ConnectTimedOut(_)
            | Self::ResponseTimedOut(_)
            | Self::WriteTimedOut(_)
            | Self::ReadTimedOut(_) => "upstream_timeout",
            Self::Broken(_) => "upstream_broken",
            Self::TooLarge(_) => "upstream_too_large",
            Self::Busy(_) => "upstream_busy",
            Self::Unavailable(_) => "upstream_unavailable",
            Self::Overloaded => "upstream_overloaded",
            Self::BodyRefused(refused) => refused.code(),
            Self::BodyBroken(_) => "body_incomplete",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Unreachable(_) => "The service behind this route cannot be reached.".into(),
            Self::ConnectTimedOut(_)
            | Self::ResponseTimedOut(_)
            | Self::WriteTimedOut(_)
            | Self::ReadTimedOut(_) => {
                "The service behind this route did not answer in time.".into()
            }
            Self::Broken(_) => "The service behind this route did not answer properly.".into(),
            Self::TooLarge(_) => "The answer of the service behind this route is too large.".into(),
            Self::Busy(_) => "The service behind this route is busy. Try again in a moment.".into(),
            Self::Unavailable(_) => {
                "The service behind this route is not available. Try again later.".into()
            }
            Self::Overloaded => {
                "The service behind this route has too much to do. Try again in a moment.".into()
            }
            Self::BodyRefused(refused) => refused.detail(),
            Self::BodyBroken(_) => "The request's body ended before it was complete.".into(),
        }
    }

    fn is_mass(&self) -> bool {
        matches!(self, Self::Overloaded | Self::Busy(_) | Self::Unavailable(_))
    }

    fn problem_type(&self) -> &'static str {
        if let Self::BodyRefused(refused) = self { refused.problem_type() } else { "about:blank" }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            // Permits come back with each answer; a second is the shortest wait HTTP can name.
            Self::Busy(_) | Self::Overloaded => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Unavailable(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            Self::BodyRefused(refused) => refused.add_headers(headers),
            _ => {}
        }
    }

    fn add_members(&self, members: &mut serde_json::Map<String, serde_json::Value>) {
        if let Self::BodyRefused(refused) = self {
            refused.add_members(members);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_everybody_at_once_is_no_warning_for_each() {
        let wait = Duration::from_secs(1);
        for mass in [CallFailed::Overloaded, CallFailed::Busy(1), CallFailed::Unavailable(wait)] {
            assert!(mass.is_mass(), "{mass}");
        }
        let own = [CallFailed::ResponseTimedOut(wait), CallFailed::Broken("it broke".into())];
        assert!(own.iter().all(|failed| !failed.is_mass()));
    }
}
