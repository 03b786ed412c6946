//! Ceilings: how much a client may send before it has a route.
//!
//! A route may tighten them after the match; it never loosens them. What hyper itself refuses
//! (heads beyond its own buffer) never gets here.
//!
//! Not here: bodies of unknown length, which are measured while they arrive (`body`).

use std::borrow::Cow;

use http::request::Parts;
use http::{StatusCode, header};

use crate::error::Refusal;

/// The most a request may have of each; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// Of the request target: path and query.
    pub target_size_max: usize,
    /// Header fields; those of one name count each.
    pub header_count_max: usize,
    /// Of the head: request line and header fields, as HTTP/1.1 writes them.
    pub head_size_max: usize,
    /// Of the body.
    pub body_size_max: u64,
}

/// A request beyond a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CeilingExceeded {
    /// The request target is too long.
    #[error("the request target is longer than {max} bytes")]
    TargetTooLong {
        /// The ceiling.
        max: usize,
    },
    /// There are too many header fields.
    #[error("the head has more than {max} header fields")]
    TooManyHeaders {
        /// The ceiling.
        max: usize,
    },
    /// The head is too large.
    #[error("the head is larger than {max} bytes")]
    HeadTooLarge {
        /// The ceiling.
        max: usize,
    },
    /// The body says that it is too large.
    #[error("the body's Content-Length is more than {max} bytes")]
    BodyTooLarge {
        /// The ceiling.
        max: u64,
    },
}

impl Refusal for CeilingExceeded {
    fn status(&self) -> StatusCode {
        match self {
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::TooManyHeaders { .. } | Self::HeadTooLarge { .. } => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TargetTooLong { .. } => "target_too_long",
            Self::TooManyHeaders { .. } | Self::HeadTooLarge { .. } => "head_too_large",
            Self::BodyTooLarge { .. } => "body_too_large",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        let detail = match self {
            Self::TargetTooLong { max } => format!("Path and query may have {max} bytes."),
            Self::TooManyHeaders { max } => format!("A request may have {max} header fields."),
            Self::HeadTooLarge { max } => {
                format!("Request line and header fields may have {max} bytes.")
            }
            Self::BodyTooLarge { max } => format!("The body may have {max} bytes."),
        };
        detail.into()
    }
}

impl Ceilings {
    /// Measures a head. The body's announced length is part of it.
    ///
    /// # Errors
    ///
    /// [`CeilingExceeded`] with the first ceiling that is too low.
    pub fn check(&self, head: &Parts) -> Result<(), CeilingExceeded> {
        let target_size = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target_size > self.target_size_max {
            return Err(CeilingExceeded::TargetTooLong { max: self.target_size_max });
        }
        if head.headers.len() > self.header_count_max {
            return Err(CeilingExceeded::TooManyHeaders { max: self.header_count_max });
        }
        if head_size(head, target_size) > self.head_size_max {
            return Err(CeilingExceeded::HeadTooLarge { max: self.head_size_max });
        }
        check_body(head, self.body_size_max)
    }
}

/// Holds the announced length of a body to a route's ceiling, once there is a route.
///
/// # Errors
///
/// [`CeilingExceeded::BodyTooLarge`].
pub fn check_body(head: &Parts, max: u64) -> Result<(), CeilingExceeded> {
    if announced_body_size(head) > max {
        return Err(CeilingExceeded::BodyTooLarge { max });
    }
    Ok(())
}

/// Two spaces, `HTTP/1.1` and the line's end; the empty line that ends the head.
const REQUEST_LINE_EXTRA: usize = 12 + 2;
/// `: ` and the line's end.
const FIELD_EXTRA: usize = 4;

fn head_size(head: &Parts, target_size: usize) -> usize {
    let field_size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_EXTRA
    };
    let fields: usize = head.headers.iter().map(field_size).sum();
    head.method.as_str().len() + target_size + REQUEST_LINE_EXTRA + fields
}

/// Zero when there is none; a number too long to be read is more than any ceiling.
fn announced_body_size(head: &Parts) -> u64 {
    let Some(length) = head.headers.get(header::CONTENT_LENGTH) else { return 0 };
    length.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const CEILINGS: Ceilings =
        Ceilings { target_size_max: 20, header_count_max: 3, head_size_max: 80, body_size_max: 10 };

    #[track_caller]
    fn check(target: &str, headers: &[(&str, &str)], expected: Result<(), (u16, &str)>) {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let found = CEILINGS.check(&head).map_err(|error| (error.status().as_u16(), error.code()));
        assert_eq!(found, expected, "{target} {headers:?}");
    }

    #[test]
    fn each_ceiling_admits_exactly_what_it_says() {
        check("/3456789?123456789ab", &[], Ok(()));
        check("/3456789?123456789abc", &[], Err((414, "target_too_long")));

        check("/", &[("a", "1"), ("a", "2"), ("b", "3")], Ok(()));
        check("/", &[("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")], Err((431, "head_too_large")));

        // "GET / HTTP/1.1", its end and the empty line: 18 bytes; "a: " and its end: 5 bytes.
        check("/", &[("a", &"x".repeat(57))], Ok(()));
        check("/", &[("a", &"x".repeat(58))], Err((431, "head_too_large")));

        check("/", &[("content-length", "10")], Ok(()));
        check("/", &[("content-length", "11")], Err((413, "body_too_large")));
        let beyond_u64 = [("content-length", "18446744073709551616")];
        check("/", &beyond_u64, Err((413, "body_too_large")));
    }
}
