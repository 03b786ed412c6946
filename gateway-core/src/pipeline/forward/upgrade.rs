//! WebSocket: the handshake is a request like any other, and passes the same steps.
//!
//! What a browser cannot be kept from sending, a cookie, is no danger here: on routes with sessions
//! step 6 lets a handshake pass only from a page of this host or a listed origin (`auth::csrf`). The
//! service gets the handshake with identity and assertion, and decides. Its 101 is checked, and then
//! bytes pass both ways ([`tunnel`]); any other answer of its passes as it is.
//!
//! HTTP/2 asks for a stream instead of the connection, by an extended CONNECT. `guard` has given it the
//! form of HTTP/1.1's handshake; what differs is that it has no key, since nobody between could take
//! it for anything else, and that 200 and not 101 accepts it. The service is asked by HTTP/1.1.
//!
//! Sources: RFC 6455 §4.2, RFC 8441 §5. Not here: what is said over the WebSocket.

mod frames;
mod tunnel;

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use http::{Request, response};

use self::tunnel::Tunnel;
use super::DeadlineExceeded;
use super::pass_through::{self, events};
use crate::alarm::within;
use crate::body::{Body, ByteCount};
use crate::error::{Refusal, Refused};
use crate::exchange::{Exchange, Step};
use crate::guard::framing;
use crate::permit::Permit;
use crate::pipeline::Worker;
use crate::pipeline::calls::{self, CallContext};
use crate::pipeline::closing::LateClosing;
use crate::site::{Proxy, Service, Site};
use crate::upstream::{CallFailed, ServiceIo, Upgraded};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether a request asks for a WebSocket. Other upgrades are ignored, as RFC 9110 §7.8 allows.
pub(super) fn is_handshake(head: &Parts) -> bool {
    head.headers.contains_key(header::UPGRADE)
        && (head.version == Version::HTTP_11 || framing::is_extended_connect(head))
        && lists(&head.headers, &header::UPGRADE, "websocket")
}

/// Passes a handshake on, and what comes of it back.
pub(super) async fn upgrade(
    worker: &Worker,
    site: &Arc<Site>,
    proxy: &Proxy,
    exchange: &mut Exchange,
) -> Result<Response<Body>, Refused> {
    if !proxy.takes_websockets {
        return Err(HandshakeRefused::NotOffered.into());
    }
    let is_stream = framing::is_extended_connect(&exchange.head);
    let key = check(&exchange.head)?;
    // It is the client's own where that has one.
    exchange.head.headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
    let service = pass_through::service_of(site, proxy, exchange)?;
    let permit = service.websockets.take();
    let permit = permit.ok_or(HandshakeRefused::TooMany(service.websockets.max()))?;
    exchange.steps.take(Step::TransformRequest);
    let mut request = pass_through::request(site, proxy, exchange, Body::empty()).await?;
    ask_for_websocket(&mut request);
    exchange.record.upstream_service = Some(Arc::clone(&service.name));

    exchange.steps.take(Step::Call);
    let context = CallContext::of(exchange);
    let started = worker.core.clock.now();
    let behalf = (&context, &exchange.record.attempts);
    let upgraded = calls::upgrade((worker, site), service, behalf, request).await;
    exchange.record.upstream = worker.core.clock.now().since(started);
    let Upgraded { answer, io } = upgraded?;
    exchange.steps.take(Step::TransformResponse);
    let Some(io) = io else {
        if is_stream && answer.response.status().is_success() {
            // Passed on as it is, it would open the stream.
            let reason = "a handshake was answered as if it were a request";
            return Err(CallFailed::Broken(reason.into()).into());
        }
        // From here on it is a request that was answered.
        let time_left = || exchange.deadline.since(worker.core.clock.now());
        let made = pin!(pass_through::response(site, proxy, service, answer));
        let response = within(made, time_left).await.ok_or(DeadlineExceeded)??;
        return Ok(pass_through::entered(worker, proxy, exchange, response));
    };
    let (head, _) = answer.response.into_parts();
    let accept = head.headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(accept_of(&key).as_bytes())
        || !lists(&head.headers, &header::UPGRADE, "websocket")
    {
        return Err(CallFailed::Broken("the 101 does not accept this handshake".into()).into());
    }
    let mut response = switched(site, proxy, service, head)?;
    if is_stream {
        accept_stream(&mut response);
    }
    begin(worker, proxy, exchange, (io, permit), &mut response);
    Ok(response)
}

/// What makes a request ask for a WebSocket, as far as it holds for one connection only.
fn ask_for_websocket(request: &mut Request<Body>) {
    let headers = request.headers_mut();
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
}

/// The 101 as the client gets it.
fn switched(
    site: &Site,
    proxy: &Proxy,
    service: &Service,
    head: response::Parts,
) -> Result<Response<Body>, Refused> {
    let mut response = Response::from_parts(head, Body::empty());
    pass_through::clean(site, proxy, service, response.headers_mut());
    proxy.response.apply(response.headers_mut(), bytes::Bytes::new())?;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    Ok(response)
}

/// Makes of the 101 what accepts an extended CONNECT.
fn accept_stream(response: &mut Response<Body>) {
    *response.status_mut() = StatusCode::OK;
    for name in [
        header::SEC_WEBSOCKET_ACCEPT,
        header::UPGRADE,
        header::CONNECTION,
        // No 101 has these; a success of CONNECT must not (RFC 9110 §9.3.6).
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        response.headers_mut().remove(name);
    }
}

/// Enters the WebSocket among the open streams. It begins once the 101 has been sent.
fn begin(
    worker: &Worker,
    proxy: &Proxy,
    exchange: &mut Exchange,
    (service, permit): (Box<dyn ServiceIo>, Permit),
    response: &mut Response<Body>,
) {
    let bytes_in = ByteCount::start();
    exchange.record.bytes_in = bytes_in.clone();
    let record = LateClosing::default();
    let tunnel = Tunnel {
        service,
        open: worker.core.streams.enter(exchange),
        idle_timeout: proxy.stream_idle_timeout,
        bytes_in,
        record: record.clone(),
        permit,
    };
    response.extensions_mut().insert(tunnel.into_handover());
    response.extensions_mut().insert(record);
    response.extensions_mut().insert(events::Streaming);
}

/// An extended CONNECT to what is no service.
pub(super) fn not_offered() -> Refused {
    HandshakeRefused::NotOffered.into()
}

/// The handshake's key, if it is a handshake of the one version there is.
fn check(head: &Parts) -> Result<HeaderValue, HandshakeRefused> {
    let headers = &head.headers;
    let version = single(headers, &header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err(HandshakeRefused::Version);
    }
    if framing::is_extended_connect(head) {
        let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
        return HeaderValue::try_from(key).map_err(|_| HandshakeRefused::Malformed);
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let is_whole =
        head.method == Method::GET && lists(headers, &header::CONNECTION, "upgrade") && !has_body;
    let key = single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_nonce(key));
    key.filter(|_| is_whole).cloned().ok_or(HandshakeRefused::Malformed)
}

/// 16 bytes in base64.
fn is_nonce(key: &HeaderValue) -> bool {
    BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

/// What a server that understands the handshake answers: RFC 6455 §4.2.2.
fn accept_of(key: &HeaderValue) -> String {
    let mut sha1 = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(sha1.finish())
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a list such as `Connection` has this token.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut tokens = value.as_bytes().split(|&byte| byte == b',');
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// Why a WebSocket is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum HandshakeRefused {
    #[error("the route takes no WebSockets")]
    NotOffered,
    #[error("the handshake is not whole")]
    Malformed,
    #[error("the handshake is of another version than 13")]
    Version,
    #[error("{0} WebSockets are open to the service")]
    TooMany(u32),
}

impl Refusal for HandshakeRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotOffered | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotOffered => "websocket_not_offered",
            Self::Malformed => "websocket_malformed",
            Self::Version => "websocket_version",
            Self::TooMany(_) => "websockets_exhausted",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::NotOffered => "No WebSocket is offered here.",
            Self::Malformed => {
                "The WebSocket handshake lacks `Connection: Upgrade` or a proper key."
            }
            Self::Version => "WebSockets are spoken in version 13 here.",
            Self::TooMany(_) => "Too many WebSockets are open. Try again in a moment.",
        }
        .into()
    }

    fn is_mass(&self) -> bool {
        matches!(self, Self::TooMany(_))
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            // RFC 6455 §4.4 and RFC 9110 §15.5.22.
            Self::Version => {
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                headers.insert(header::UPGRADE, WEBSOCKET);
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            }
            Self::TooMany(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::NotOffered | Self::Malformed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// A handshake, with these fields in place of its own; an empty one is left out.
    fn judged(method: &str, changes: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut request = Request::builder().method(method).uri("/live").body(()).expect("a head");
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ]
        .iter()
        .chain(changes)
        {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(&name, HeaderValue::from_str(value).expect("a value"));
            if value.is_empty() {
                request.headers_mut().remove(&name);
            }
        }
        let (head, ()) = request.into_parts();
        if !is_handshake(&head) {
            return Err("no handshake");
        }
        check(&head).map(drop).map_err(|refused| refused.code())
    }

    #[test]
    fn an_extended_connect_has_a_key_of_the_gateway_s_own() {
        let made = || {
            let request = Request::connect("http://a/live")
                .version(Version::HTTP_2)
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "no key")
                .extension(hyper::ext::Protocol::from_static("websocket"));
            let (mut head, ()) = request.body(()).expect("a head").into_parts();
            framing::settle(&mut head);
            assert!(is_handshake(&head));
            check(&head).expect("a handshake")
        };
        let (first, second) = (made(), made());
        assert!(is_nonce(&first) && is_nonce(&second) && first != second);
    }

    #[test]
    fn a_handshake_is_whole_or_refused() {
        assert_eq!(judged("GET", &[]), Ok(()));
        assert_eq!(judged("GET", &[("content-length", "0")]), Ok(()));
        assert_eq!(judged("GET", &[("upgrade", "h2c")]), Err("no handshake"));
        assert_eq!(judged("GET", &[("upgrade", "h2c, websocket")]), Ok(()));
        for version in ["", "8", "13, 8", "014"] {
            let change = [("sec-websocket-version", version)];
            assert_eq!(judged("GET", &change), Err("websocket_version"), "{version}");
        }
        assert_eq!(judged("POST", &[]), Err("websocket_malformed"));
        for change in [
            ("connection", ""),
            ("connection", "keep-alive"),
            ("sec-websocket-key", ""),
            ("sec-websocket-key", "c2hvcnQ="),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ] {
            assert_eq!(judged("GET", &[change]), Err("websocket_malformed"), "{change:?}");
        }
    }

    #[test]
    fn a_key_is_accepted_as_the_standard_s_own_example_says() {
        let key = HeaderValue::from_static(KEY);
        assert_eq!(accept_of(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
