//! Refusals: how anything that goes wrong with a request becomes its answer.
//!
//! Each module has one closed error enum and implements [`Refusal`] for it; this module alone
//! renders them, as `application/problem+json` (RFC 9457). Two texts: `Display` is for the log,
//! [`Refusal::detail`] for the client, and never holds a token, an address or an upstream's words.
//!
//! Not here: which header fields go on every answer (`pipeline::respond`), the list of codes for
//! readers (docs/status-codes.md; a test holds it against the code).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

use crate::exchange::RequestId;

/// An error that knows how it is answered.
pub trait Refusal: std::error::Error + Send + Sync + 'static {
    /// The status of the answer.
    fn status(&self) -> StatusCode;

    /// The stable, published name of what happened, in `snake_case`.
    fn code(&self) -> &'static str;

    /// What the client is told: a sentence with the remedy where there is one.
    fn detail(&self) -> Cow<'static, str>;

    /// The problem's `type`. Most have none of their own.
    fn problem_type(&self) -> &'static str {
        "about:blank"
    }

    /// Whether there may be so many of these at once that each must cost little: then the log tells
    /// of them only where it tells of clients' mistakes, and the metrics do.
    fn is_mass(&self) -> bool {
        false
    }

    /// Header fields that belong to this answer, such as `Retry-After` or `WWW-Authenticate`.
    fn add_headers(&self, _headers: &mut HeaderMap) {}

    /// Members of the problem beyond RFC 9457's own and `code` and `request_id`.
    fn add_members(&self, _members: &mut Map<String, Value>) {}
}

/// A fault of the gateway's own: a panic, or a configuration that loading should have refused.
///
/// The text is for the log; the client learns where to look it up and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InternalError(pub Cow<'static, str>);

impl InternalError {
    /// What its record and its problem are called.
    pub const CODE: &str = "internal_error";

    /// The fault that `text` describes to operators.
    pub const fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Refusal for InternalError {
    fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }
    fn code(&self) -> &'static str {
        Self::CODE
    }
    fn detail(&self) -> Cow<'static, str> {
        "The gateway failed to serve this request. It is recorded under its request id.".into()
    }
}

/// A refusal on its way to the client, whatever module it came from.
///
/// Deliberately not an `Error`, so that `?` turns every [`Refusal`] into one.
#[derive(Clone)]
pub struct Refused(Arc<dyn Refusal>);

impl Refused {
    /// The refusal itself.
    #[must_use]
    pub fn refusal(&self) -> &dyn Refusal {
        self.0.as_ref()
    }

    /// The problem, as the answer's body says it.
    #[must_use]
    pub fn problem(&self, request_id: &RequestId) -> Value {
        problem(self.refusal(), request_id)
    }

    /// Renders the answer. `Cache-Control: no-store`, since a refusal holds for one request.
    #[must_use]
    pub fn to_response(&self, request_id: &RequestId) -> Response<Bytes> {
        let refusal = self.refusal();
        let body = problem(refusal, request_id).to_string();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = refusal.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        refusal.add_headers(headers);
        response
    }
}

impl<R: Refusal> From<R> for Refused {
    fn from(refusal: R) -> Self {
        Self(Arc::new(refusal))
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("status", &self.0.status().as_u16())
            .field("code", &self.0.code())
            .finish_non_exhaustive()
    }
}

/// The log's text: the error and each cause behind it.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

fn problem(refusal: &dyn Refusal, request_id: &RequestId) -> Value {
    let status = refusal.status();
    let mut members = Map::new();
    refusal.add_members(&mut members);
    let mut set = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    set("type", refusal.problem_type().into());
    set("title", status.canonical_reason().unwrap_or("Error").into());
    set("status", status.as_u16().into());
    set("detail", refusal.detail().into());
    set("code", refusal.code().into());
    set("request_id", request_id.as_str().into());
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the key store at 10.0.0.7 does not answer")]
    struct StoreDown;

    impl Refusal for StoreDown {
        fn status(&self) -> StatusCode {
            StatusCode::SERVICE_UNAVAILABLE
        }
        fn code(&self) -> &'static str {
            "store_unavailable"
        }
        fn detail(&self) -> Cow<'static, str> {
            "Try again in a moment.".into()
        }
        fn add_headers(&self, headers: &mut HeaderMap) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }

    #[test]
    fn a_refusal_is_a_problem_that_never_shows_the_text_of_the_log() {
        let request_id = RequestId::parse("req_01JDEXAMPLE000000000000000").expect("well-formed");
        let response = Refused::from(StoreDown).to_response(&request_id);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body: Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Service Unavailable", "status": 503,
                "detail": "Try again in a moment.", "code": "store_unavailable",
                "request_id": "req_01JDEXAMPLE000000000000000",
            })
        );
    }
}
