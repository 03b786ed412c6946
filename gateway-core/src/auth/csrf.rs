//! Cross-site request forgery: whether a page of ours made this request.
//!
//! A browser adds the session cookie to requests that other people's pages make. Three signs tell
//! them apart, and each is required as far as the client sends it:
//!
//! 1. `Sec-Fetch-Site`, which no script can write: `same-origin` and `none` pass; `same-site` and
//!    `cross-site` pass for the origins that CORS lists.
//! 2. `Origin`: never `null`; from browsers without Fetch Metadata, this host or a listed origin.
//! 3. `X-CSRF: 1`, which a page of another origin cannot send without a preflight. For `GET` too:
//!    an answer can be read across sites by including it as a script, or by its timing.
//!
//! A program that is no browser sends the third alone. `EventSource` and `WebSocket` cannot send
//! it: a stream passes on `Sec-Fetch-Site: same-origin`, a WebSocket on an `Origin` that is this
//! host or listed. A body of `text/plain` is refused, since a form can fill one with JSON.
//!
//! Nothing here, and nothing else in the gateway, reads `X-HTTP-Method-Override` or `_method`.
//!
//! Not here: which routes this holds for (those whose credential is a cookie), CORS itself.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::error::Refusal;
use crate::header::{SEC_FETCH_SITE, X_CSRF};

/// Who may make requests with a browser's session.
#[derive(Debug, Clone, Default)]
pub struct CsrfPolicy {
    listed_origins: Box<[HeaderValue]>,
}

impl CsrfPolicy {
    /// The policy that spares these origins: those whose pages CORS lets read the answers.
    pub fn new(listed_origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        Self { listed_origins: listed_origins.into_iter().collect() }
    }

    /// Lets a request with a session cookie pass, or says why not.
    ///
    /// # Errors
    ///
    /// [`CsrfRefusal`]: 403 when the request may come from another site's page, 415 when its body
    /// is of the type that such a page could have filled in.
    pub fn judge(&self, head: &Parts) -> Result<(), CsrfRefusal> {
        self.judge_page(head)?;
        if !is_exactly(&head.headers, &X_CSRF, "1") && !self.may_lack_the_header(head) {
            return Err(CsrfRefusal::HeaderMissing);
        }
        if !head.method.is_safe() && is_plain_text(&head.headers) {
            return Err(CsrfRefusal::PlainText);
        }
        Ok(())
    }

    /// What the browser itself says of the page, as far as it says anything; enough where it is
    /// programs that call, and a browser only might: with a client's certificate.
    ///
    /// # Errors
    ///
    /// [`CsrfRefusal`] when a page of another site has made the request.
    pub fn judge_page(&self, head: &Parts) -> Result<(), CsrfRefusal> {
        let origin = single(&head.headers, &header::ORIGIN)?;
        if origin.is_some_and(|origin| origin == "null") {
            return Err(CsrfRefusal::NullOrigin);
        }
        if origin.is_some_and(|origin| self.listed_origins.contains(origin)) {
            return Ok(());
        }
        let site = single(&head.headers, &SEC_FETCH_SITE)?.map(HeaderValue::as_bytes);
        match (site, origin) {
            (Some(b"same-origin" | b"none"), _) | (None, None) => Ok(()),
            (Some(b"same-site"), _) => Err(CsrfRefusal::SameSite),
            // A value that no standard knows is a stranger's as well.
            (Some(_), _) => Err(CsrfRefusal::CrossSite),
            (None, Some(origin)) if is_this_host(origin, head) => Ok(()),
            (None, Some(_)) => Err(CsrfRefusal::ForeignOrigin),
        }
    }

    /// The two kinds of request for which browsers have no way to add a header.
    fn may_lack_the_header(&self, head: &Parts) -> bool {
        if head.method != Method::GET {
            return false;
        }
        let headers = &head.headers;
        if is_exactly(headers, &header::ACCEPT, "text/event-stream") {
            return is_exactly(headers, &SEC_FETCH_SITE, "same-origin");
        }
        let is_ours = |origin| self.listed_origins.contains(origin) || is_this_host(origin, head);
        let upgrade = headers.get(header::UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
        upgrade.eq_ignore_ascii_case(b"websocket")
            && headers.get(header::ORIGIN).is_some_and(is_ours)
    }
}

/// The field's one value. A browser sends each of these once; two are somebody's attempt to show
/// each reader another.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, CsrfRefusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(CsrfRefusal::CrossSite),
    }
}

fn is_exactly(headers: &HeaderMap, name: &HeaderName, expected: &str) -> bool {
    matches!(single(headers, name), Ok(Some(value)) if value == expected)
}

/// Whether the origin is the host that the request is for. The scheme is not compared: behind a
/// proxy that ends TLS the gateway does not see it.
fn is_this_host(origin: &HeaderValue, head: &Parts) -> bool {
    let host = match head.headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => head.uri.authority().map(http::uri::Authority::as_str),
    };
    let authority = origin.to_str().ok().and_then(|text| text.split_once("://"));
    matches!((authority, host), (Some((_, of_origin)), Some(host))
        if of_origin.eq_ignore_ascii_case(host))
}

/// `text/plain`, whatever its parameters.
fn is_plain_text(headers: &HeaderMap) -> bool {
    let essence = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"text/plain")
    };
    headers.get_all(header::CONTENT_TYPE).iter().any(essence)
}

/// Why a request is taken for a forged one. The variant's text is the reason for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrfRefusal {
    /// A page of another origin could have sent this without asking.
    #[error("the request has a session cookie but no `X-CSRF: 1`")]
    HeaderMissing,
    /// The browser says that another site's page made it.
    #[error("the request was made by a page of another site")]
    CrossSite,
    /// The browser says that another host of this site made it.
    #[error("the request was made by a page of another origin of this site")]
    SameSite,
    /// A browser without Fetch Metadata, and a page that is neither this host's nor listed.
    #[error("the request was made by a page whose origin is neither this host nor listed")]
    ForeignOrigin,
    /// A sandboxed frame, a file, or a redirect across origins.
    #[error("the request was made by a page without an origin")]
    NullOrigin,
    /// A form can send this body.
    #[error("the request's body is text/plain")]
    PlainText,
}

impl Refusal for CsrfRefusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::PlainText => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::FORBIDDEN,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::HeaderMissing => "csrf_header_missing",
            Self::PlainText => "csrf_plain_text",
            _ => "csrf_cross_site",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::HeaderMissing => "Requests with a session need the header `X-CSRF: 1`.",
            Self::PlainText => "Send the body as application/json, not as text/plain.",
            _ => "A page of this origin may not make requests with a session here.",
        }
        .into()
    }
}

#[cfg(test)]
mod tests;
