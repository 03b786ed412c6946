//! Framing: a request must have one meaning for every server on its way.
//!
//! Where its body ends, whom it is for and what it asks must not depend on who reads it: that is
//! what request smuggling lives on. These rules hold for a parsed head of every protocol; what
//! only the bytes of HTTP/1.1 still show is looked for there (`head`, `chunks`).
//!
//! Sources: RFC 9112 §3.2 and §6, RFC 9110 §9.1 and §10.1.1, RFC 8441 §4 and §5.
//!
//! Not here: sizes (`ceilings`), the path (`path`).

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::ext::Protocol;

use crate::error::Refusal;
use crate::guard::head::has_target_chars;

/// A request that has no one meaning, or asks for what a gateway never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingRefused {
    /// No `Host`, an empty one, several, or one that is no host.
    #[error("the request does not have exactly one valid Host")]
    HostInvalid,
    /// The target names another host than `Host`.
    #[error("the target and Host name different hosts")]
    HostMismatch,
    /// The target of an HTTP/2 request has a byte that HTTP/1.1's could not have.
    #[error("the request target has a character that no target has")]
    TargetMalformed,
    /// Several lengths, one that is no number, or one beside a transfer coding.
    #[error("the body's length is ambiguous")]
    LengthAmbiguous,
    /// A transfer coding other than `chunked` alone.
    #[error("the transfer coding is not implemented")]
    TransferCodingUnknown,
    /// `CONNECT` or `TRACE`.
    #[error("the method is not implemented")]
    MethodNotImplemented,
    /// `CONNECT` for another `:protocol` than `websocket`.
    #[error("the protocol of the extended CONNECT is not implemented")]
    ProtocolNotImplemented,
    /// An expectation other than `100-continue`.
    #[error("the expectation cannot be met")]
    ExpectationUnknown,
}

impl Refusal for FramingRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::HostInvalid
            | Self::HostMismatch
            | Self::TargetMalformed
            | Self::LengthAmbiguous => StatusCode::BAD_REQUEST,
            // 501 and not 405: no target of a gateway has these, so there is no `Allow` to give.
            Self::TransferCodingUnknown
            | Self::MethodNotImplemented
            | Self::ProtocolNotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::ExpectationUnknown => StatusCode::EXPECTATION_FAILED,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::HostInvalid | Self::HostMismatch => "host_invalid",
            Self::TargetMalformed => "request_malformed",
            Self::LengthAmbiguous => "body_length_ambiguous",
            Self::TransferCodingUnknown => "transfer_coding_not_implemented",
            Self::MethodNotImplemented => "method_not_implemented",
            Self::ProtocolNotImplemented => "protocol_not_implemented",
            Self::ExpectationUnknown => "expectation_failed",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        let detail = match self {
            Self::HostInvalid => "Send exactly one `Host`, with the name you connect to.",
            Self::HostMismatch => "The request target and `Host` name different hosts.",
            Self::TargetMalformed => "The request target has a character to be escaped.",
            Self::LengthAmbiguous => {
                "Send one `Content-Length`, or `Transfer-Encoding: chunked`, not both."
            }
            Self::TransferCodingUnknown => "The only transfer coding is `chunked`.",
            Self::MethodNotImplemented => "CONNECT and TRACE are not offered.",
            Self::ProtocolNotImplemented => {
                "The only protocol that a stream can be given to is `websocket`."
            }
            Self::ExpectationUnknown => "The only expectation is `100-continue`.",
        };
        detail.into()
    }
}

/// Checks a head as the client sent it.
///
/// # Errors
///
/// [`FramingRefused`] with the first rule that is broken.
pub fn check(head: &Parts) -> Result<(), FramingRefused> {
    check_method(head)?;
    check_target(head)?;
    check_host(head)?;
    check_length(&head.headers)?;
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !head.headers.get_all(header::EXPECT).iter().all(is_known) {
        return Err(FramingRefused::ExpectationUnknown);
    }
    Ok(())
}

/// Whether it is an extended CONNECT, whatever has been made of it: a success is no answer to it, but
/// opens the stream.
#[must_use]
pub fn is_extended_connect(head: &Parts) -> bool {
    head.extensions.get::<Protocol>().is_some()
}

/// Gives heads of every protocol one form, once they are checked: the host stands in `Host` and not
/// in the target, HTTP/2's cookies, which may come one by one, in one field (RFC 9113 §8.2.3), and
/// its handshake for a WebSocket is the `GET` that it is in HTTP/1.1, but for the key (RFC 8441 §5).
pub fn settle(head: &mut Parts) {
    if is_extended_connect(head) {
        head.method = Method::GET;
        // HTTP/2 itself knows neither: no client can have sent them.
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if let Some(authority) = head.uri.authority() {
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            head.headers.insert(header::HOST, host);
        }
        let target = std::mem::take(&mut head.uri).into_parts().path_and_query;
        head.uri = target.map_or_else(Uri::default, Uri::from);
    }
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
}

fn check_method(head: &Parts) -> Result<(), FramingRefused> {
    match (&head.method, head.extensions.get::<Protocol>()) {
        (&Method::CONNECT, Some(protocol)) => {
            let is_known = protocol.as_str().eq_ignore_ascii_case("websocket");
            is_known.then_some(()).ok_or(FramingRefused::ProtocolNotImplemented)
        }
        (&Method::CONNECT | &Method::TRACE, _) => Err(FramingRefused::MethodNotImplemented),
        _ => Ok(()),
    }
}

/// What the bytes of an HTTP/1.1 head were asked about before. A fragment cannot be seen here: the
/// library has cut it off.
fn check_target(head: &Parts) -> Result<(), FramingRefused> {
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let is_sound = head.version != Version::HTTP_2 || has_target_chars(target.as_bytes());
    is_sound.then_some(()).ok_or(FramingRefused::TargetMalformed)
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let crumbs = [first, second].into_iter().chain(crumbs).map(HeaderValue::as_bytes);
    let whole = crumbs.collect::<Vec<_>>().join(&b"; "[..]);
    // Sound values make a sound one.
    if let Ok(whole) = HeaderValue::from_maybe_shared(Bytes::from(whole)) {
        headers.insert(header::COOKIE, whole);
    }
}

fn check_host(head: &Parts) -> Result<(), FramingRefused> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| authority(value.as_bytes()));
    if hosts.next().is_some() {
        return Err(FramingRefused::HostInvalid);
    }
    match (host, head.uri.authority()) {
        (Some(None), _) => Err(FramingRefused::HostInvalid),
        // HTTP/2 says it in `:authority`, which is the target's; only HTTP/1.0 knows no `Host`.
        (None, None) if head.version > Version::HTTP_10 => Err(FramingRefused::HostInvalid),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err(FramingRefused::HostInvalid),
        (Some(Some(host)), Some(target)) if host != *target => Err(FramingRefused::HostMismatch),
        (_, Some(target)) if target.as_str().contains('@') => Err(FramingRefused::HostInvalid),
        _ => Ok(()),
    }
}

/// A host and perhaps a port, without user and password.
fn authority(bytes: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(bytes).ok()?;
    let is_host = !authority.host().is_empty() && !authority.as_str().contains('@');
    is_host.then_some(authority)
}

fn check_length(headers: &HeaderMap) -> Result<(), FramingRefused> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (length, coding) = (lengths.next(), codings.next());
    let is_number =
        |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_some()
        || length.is_some_and(|length| coding.is_some() || !is_number(length))
    {
        return Err(FramingRefused::LengthAmbiguous);
    }
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some() || coding.is_some_and(|coding| !is_chunked(coding)) {
        return Err(FramingRefused::TransferCodingUnknown);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(start: (&str, &str), headers: &[(&str, &str)], expected: Result<(), FramingRefused>) {
        let mut request = Request::builder().method(start.0).uri(start.1);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        assert_eq!(super::check(&head), expected, "{start:?} {headers:?}");
    }

    const GET: (&str, &str) = ("GET", "/");
    const HOST: (&str, &str) = ("host", "api.example.com");

    #[test]
    fn a_request_has_exactly_one_host() {
        for host in ["api.example.com", "api.example.com:3000", "127.0.0.1:1", "[::1]:1"] {
            check(GET, &[("host", host)], Ok(()));
        }
        let invalid = Err(FramingRefused::HostInvalid);
        check(GET, &[], invalid);
        for host in ["", "a b", "user@api.example.com", ":80", "a/b", "http://a"] {
            check(GET, &[("host", host)], invalid);
        }
        check(GET, &[HOST, HOST], invalid);
        check(("GET", "http://api.example.com/links"), &[], invalid);
    }

    #[test]
    fn http_1_0_may_leave_the_host_out_and_http_2_says_it_in_the_target() {
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_10;
        assert_eq!(super::check(&request.into_parts().0), Ok(()));
        let request = Request::get("https://api.example.com/").version(Version::HTTP_2).body(());
        assert_eq!(super::check(&request.expect("a request").into_parts().0), Ok(()));
    }

    #[test]
    fn a_target_cannot_name_another_host_than_the_host_header() {
        let target = ("GET", "http://api.example.com/links");
        check(target, &[HOST], Ok(()));
        check(target, &[("host", "API.example.com")], Ok(()));
        check(target, &[("host", "evil.example")], Err(FramingRefused::HostMismatch));
        check(target, &[("host", "api.example.com:81")], Err(FramingRefused::HostMismatch));
        let with_user = ("GET", "http://u:p@api.example.com/");
        check(with_user, &[("host", "u:p@api.example.com")], Err(FramingRefused::HostInvalid));
    }

    #[test]
    fn whatever_the_protocol_the_host_stands_in_its_field_and_cookies_in_one() {
        let mut request = Request::get("https://api.example.com/links?a=b");
        for cookie in ["a=1", "b=2; c=3", "d=4"] {
            request = request.header("cookie", cookie);
        }
        let request = request.version(Version::HTTP_2).body(()).expect("a request");
        let (mut head, ()) = request.into_parts();
        settle(&mut head);
        assert_eq!(head.uri, "/links?a=b");
        assert_eq!(head.headers["host"], "api.example.com");
        let cookies: Vec<_> = head.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=4"]);
        let (mut head, ()) = Request::new(()).into_parts();
        settle(&mut head);
        assert_eq!((head.uri.path(), head.headers.len()), ("/", 0));
    }

    #[test]
    fn a_body_ends_in_one_place() {
        check(GET, &[HOST, ("content-length", "5")], Ok(()));
        check(GET, &[HOST, ("transfer-encoding", "Chunked")], Ok(()));
        let ambiguous = Err(FramingRefused::LengthAmbiguous);
        check(GET, &[HOST, ("content-length", "5"), ("content-length", "5")], ambiguous);
        check(GET, &[HOST, ("content-length", "5"), ("transfer-encoding", "chunked")], ambiguous);
        for length in ["", "+5", "-1", "5, 5", "0x5", "5 "] {
            check(GET, &[HOST, ("content-length", length)], ambiguous);
        }
        let unknown = Err(FramingRefused::TransferCodingUnknown);
        for coding in ["gzip, chunked", "identity", "xchunked", "chunked, chunked", ""] {
            check(GET, &[HOST, ("transfer-encoding", coding)], unknown);
        }
        let twice = [HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        check(GET, &twice, unknown);
    }

    #[test]
    fn what_a_gateway_never_does_is_refused_by_name() {
        check(("TRACE", "/"), &[HOST], Err(FramingRefused::MethodNotImplemented));
        check(("CONNECT", "a.example:1"), &[HOST], Err(FramingRefused::MethodNotImplemented));
        check(("POST", "/"), &[HOST, ("expect", "100-Continue")], Ok(()));
        check(("POST", "/"), &[HOST, ("expect", "2x")], Err(FramingRefused::ExpectationUnknown));
    }

    #[test]
    fn an_extended_connect_is_the_get_of_a_websocket_and_of_nothing_else() {
        for (protocol, expected) in [
            ("websocket", Ok(())),
            ("WebSocket", Ok(())),
            ("connect-udp", Err(FramingRefused::ProtocolNotImplemented)),
            ("", Err(FramingRefused::ProtocolNotImplemented)),
        ] {
            let request = Request::connect("https://api.example.com/live?room=1")
                .version(Version::HTTP_2)
                .extension(Protocol::from_static(protocol));
            let (mut head, ()) = request.body(()).expect("a request").into_parts();
            assert_eq!(super::check(&head), expected, "{protocol:?}");
            settle(&mut head);
            assert_eq!((&head.method, head.uri.path()), (&Method::GET, "/live"));
            assert!(is_extended_connect(&head));
            assert_eq!(head.headers["host"], "api.example.com");
            assert_eq!(head.headers["connection"], "Upgrade");
            assert_eq!(head.headers["upgrade"], "websocket");
        }
        let (mut head, ()) = Request::get("/").body(()).expect("a request").into_parts();
        settle(&mut head);
        assert!(!is_extended_connect(&head) && head.headers.is_empty());
    }
}
