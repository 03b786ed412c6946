//! Trailers: what may come after a body, in either direction.
//!
//! They arrive when every policy has decided. So nothing in them may say who asks, what the message
//! is, where it ends or how it is kept: a reader that merges trailers into the header fields would
//! believe it (RFC 9110 §6.5.1).
//!
//! Not here: what is sent to clients; the HTTP library sends them only what they want (`TE`) and the
//! answer's head has announced (`Trailer`).

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::spoofed_headers::SpoofedHeaders;

/// What belongs into a head, whatever the direction.
const HEADS_ONLY: [HeaderName; 26] = [
    header::AGE,
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// Drops from a client's trailers what it may not say there: everything it may not say in a head,
/// and what belongs into a head.
pub fn strip_request(trailers: &mut HeaderMap, spoofed: &SpoofedHeaders) {
    spoofed.strip(trailers);
    strip_heads_only(trailers);
}

/// Drops from a service's trailers what belongs into a head. What a service may not say to a client
/// anywhere is dropped beside.
pub fn strip_heads_only(trailers: &mut HeaderMap) {
    for name in &HEADS_ONLY {
        trailers.remove(name);
    }
}

/// The announcement of trailers, as far as it goes on: the names of a `Trailer` field without those
/// that `strip` drops; `None` when nothing is left.
pub fn announced(headers: &HeaderMap, strip: impl Fn(&mut HeaderMap)) -> Option<HeaderValue> {
    let mut names = HeaderMap::new();
    for value in headers.get_all(header::TRAILER) {
        let listed = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        for name in listed.filter_map(|name| HeaderName::from_bytes(name).ok()) {
            names.insert(name, HeaderValue::from_static(""));
        }
    }
    strip(&mut names);
    let names: Vec<&str> = names.keys().map(HeaderName::as_str).collect();
    if names.is_empty() { None } else { names.join(", ").parse().ok() }
}

/// Drops what was not announced: the names are those that [`announced`] has found.
pub fn keep_announced(trailers: &mut HeaderMap, announced: Option<&HeaderValue>) {
    let names = announced.map(HeaderValue::as_bytes).unwrap_or_default();
    let names: HashSet<&[u8]> = names.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
    let is_news = |name: &&HeaderName| !names.contains(name.as_str().as_bytes());
    let news: Vec<HeaderName> = trailers.keys().filter(is_news).cloned().collect();
    for name in &news {
        trailers.remove(name);
    }
}

/// Whether a client takes trailers: `TE: trailers`, among whatever else it says there.
#[must_use]
pub fn are_wanted(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|&byte| byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_can_say_nothing_that_a_head_decides() {
        let spoofed = SpoofedHeaders::new(["x-user-id", "authorization", "cookie"]);
        let mut trailers = HeaderMap::new();
        for name in [
            "x-checksum",
            "grpc-status",
            "x-user-id",
            "x_user_id",
            "X-Forwarded-For",
            "authorization",
            "cookie",
            "connection",
            "transfer-encoding",
            "content-length",
            "host",
            "set-cookie",
            "cache-control",
        ] {
            let name: HeaderName = name.parse().expect("a name");
            trailers.insert(name, HeaderValue::from_static("x"));
        }
        let mut announcement = HeaderMap::new();
        let list = "X-Checksum, x-user-id, grpc-status , content-length,,";
        announcement.insert(header::TRAILER, HeaderValue::from_static(list));
        let strip = |trailers: &mut HeaderMap| strip_request(trailers, &spoofed);
        strip(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "x-checksum"]);
        let named = announced(&announcement, strip).expect("some");
        let mut named: Vec<_> = named.to_str().expect("ASCII").split(", ").collect();
        named.sort_unstable();
        assert_eq!(named, ["grpc-status", "x-checksum"]);
        announcement.insert(header::TRAILER, HeaderValue::from_static("Host"));
        assert_eq!(announced(&announcement, strip), None);
        assert_eq!(announced(&HeaderMap::new(), strip), None);
    }

    #[test]
    fn trailers_are_wanted_by_whoever_says_so() {
        for (te, expected) in
            [("trailers", true), ("gzip;q=0.5, Trailers", true), ("gzip", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::TE, HeaderValue::from_static(te));
            assert_eq!(are_wanted(&headers), expected, "{te}");
        }
    }
}
