//! Header names that this workspace uses beyond those of the `http` crate, spelled once.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A request's public name, through the gateway, the services and the answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The addresses a request came through, by its proxies' word.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme the client used, by its proxy's word.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host the client asked for, by its proxy's word.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C trace context: the vendors' part.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// W3C baggage: what applications pass on along a request.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// The custom header that a cross-site page cannot send without a preflight.
pub const X_CSRF: HeaderName = HeaderName::from_static("x-csrf");
/// Fetch Metadata: where the page that made the request stands.
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// An API key, for clients that cannot send `Authorization`.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The limits in force (draft-ietf-httpapi-ratelimit-headers-10).
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of them.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Lets a service tell that it has had a request before (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What an aggregate delivered, part by part.
pub const AGGREGATE_STATUS: HeaderName = HeaderName::from_static("aggregate-status");
/// Where an answer's time went.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Header fields that hold for one connection only (RFC 9110 §7.6.1), beside those that
/// `Connection` itself lists.
pub const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Adds names to `Vary`, without saying any of them twice. `names` is a list as in the field
/// itself, such as `"Cookie, Origin"`.
pub fn vary_on(headers: &mut HeaderMap, names: &'static str) {
    let mut said = headers.get_all(header::VARY).iter();
    let is_contained = match (said.next(), said.next()) {
        (None, _) => true,
        // One of the names alone, as the gateway itself writes it.
        (Some(one), None) => names.split(", ").any(|name| name == one),
        (Some(_), Some(_)) => false,
    };
    if is_contained {
        headers.insert(header::VARY, HeaderValue::from_static(names));
        return;
    }
    let fields = || headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let is_missing = |name: &&str| {
        let is_it = |one: &str| one.eq_ignore_ascii_case(name) || one == "*";
        !fields().flat_map(|field| field.split(',')).any(|one| is_it(one.trim()))
    };
    // Mostly none is missing, and then nothing is written.
    let mut missing = names.split(", ").filter(is_missing).peekable();
    if missing.peek().is_none() {
        return;
    }
    let mut all = String::new();
    for text in fields().chain(missing) {
        all.push_str(if all.is_empty() { "" } else { ", " });
        all.push_str(text);
    }
    if let Ok(value) = HeaderValue::try_from(all) {
        headers.insert(header::VARY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_says_each_name_once() {
        let check = |before: &[&'static str], names, expected: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in before {
                headers.append(header::VARY, HeaderValue::from_static(value));
            }
            vary_on(&mut headers, names);
            let got: Vec<_> = headers.get_all(header::VARY).iter().collect();
            assert_eq!(got, expected, "{before:?} and {names}");
        };
        check(&[], "Cookie, Origin", &["Cookie, Origin"]);
        check(&["origin"], "Cookie, Origin", &["origin, Cookie"]);
        check(&["Accept,cookie"], "Cookie, Origin", &["Accept,cookie, Origin"]);
        check(&["Cookie", "Accept"], "Origin", &["Cookie, Accept, Origin"]);
        check(&["Cookie, Origin"], "Origin", &["Cookie, Origin"]);
        check(&["X-Origin"], "Origin", &["X-Origin, Origin"]);
        check(&["Origin"], "Cookie, Origin", &["Cookie, Origin"]);
        check(&["*"], "Origin", &["*"]);
        check(&[""], "Origin", &["Origin"]);
    }
}
