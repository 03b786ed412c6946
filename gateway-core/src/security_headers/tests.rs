//! What stands on an answer afterwards, whatever stood there before.

use super::*;

fn config() -> SecurityHeadersConfig {
    SecurityHeadersConfig {
        referrer_policy: "no-referrer".to_owned(),
        resource_policy: "same-origin".to_owned(),
        hsts: "max-age=31536000; includeSubDomains".to_owned(),
    }
}

fn applied(fields: &[(HeaderName, &'static str)], is_https: bool) -> HeaderMap {
    let fields = fields.iter().cloned();
    let mut headers: HeaderMap =
        fields.map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    let security = SecurityHeaders::build(&config()).expect("a good configuration");
    security.apply(&mut headers, is_https);
    headers
}

#[test]
fn every_answer_is_protected_whatever_a_service_said() {
    let said = [
        (header::REFERRER_POLICY, "unsafe-url"),
        (RESOURCE_POLICY, "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "sniff"),
    ];
    for headers in [applied(&[], true), applied(&said, true)] {
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000; includeSubDomains");
        assert_eq!(headers.len(), 5);
    }
}

#[test]
fn plain_http_never_speaks_of_https() {
    let said = [(header::STRICT_TRANSPORT_SECURITY, "max-age=1")];
    assert!(!applied(&said, false).contains_key("strict-transport-security"));
}

#[test]
fn only_a_page_may_load_anything_and_none_may_be_framed() {
    let check = |content_type, expected: &str| {
        let headers = applied(&[(header::CONTENT_TYPE, content_type)], false);
        assert_eq!(headers["content-security-policy"], expected, "{content_type}");
    };
    let data = "default-src 'none'; frame-ancestors 'none'";
    check("application/json", data);
    check("application/problem+json", data);
    check("image/svg+xml", data);
    check("text/htmlx", data);
    for page in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
        let headers = applied(&[(header::CONTENT_TYPE, page)], false);
        assert_eq!(headers["content-security-policy"], CSP_PAGE, "{page}");
    }
    assert_eq!(applied(&[], false)["content-security-policy"], data);
}

#[test]
fn a_page_of_ours_keeps_its_own_policy() {
    let policy = HeaderValue::from_static("script-src 'self'");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    SecurityHeaders::build(&config()).expect("good").apply(&mut headers, true);
    assert_eq!(headers["content-security-policy"], policy);
}

#[test]
fn a_service_tells_neither_who_it_serves_nor_what_it_is_made_of() {
    let mut headers = HeaderMap::new();
    for name in [
        "x-user-id",
        "x-user-role",
        "X-Internal-Trace",
        "server",
        "via",
        "x-powered-by",
        "x-aspnet-version",
        "x-runtime",
        "access-control-allow-origin",
        "access-control-allow-private-network",
        "content-security-policy",
        "content-security-policy-report-only",
        "strict-transport-security",
    ] {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(&name, HeaderValue::from_static("one"));
        headers.append(&name, HeaderValue::from_static("two"));
    }
    let kept = ["content-type", "etag", "x-users", "x-request-id", "server-timing"];
    for name in kept {
        headers.insert(name, HeaderValue::from_static("kept"));
    }
    strip_internal(&mut headers);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let mut expected = kept;
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn an_answer_varies_by_what_identified_its_caller() {
    let check = |scheme: Scheme, expected: &str| {
        let mut headers = HeaderMap::new();
        vary(&mut headers, scheme);
        assert_eq!(headers["vary"], expected);
    };
    check(Scheme::Session, "Cookie, Origin, Accept, Accept-Encoding");
    check(Scheme::Jwt, "Authorization, Origin, Accept, Accept-Encoding");
    check(Scheme::ClientCertificate, "Origin, Accept, Accept-Encoding");
    check(Scheme::ApiKey, "Authorization, X-API-Key, Origin, Accept, Accept-Encoding");
}

#[test]
fn what_a_service_says_about_caches_is_only_ever_tightened() {
    let check = |said: &[&'static str], expected: &str| {
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        keep_private(&mut headers);
        let got: Vec<_> = headers.get_all(header::CACHE_CONTROL).iter().collect();
        assert_eq!(got, [expected], "{said:?}");
    };
    check(&[], "private, no-cache");
    check(&["public, max-age=3600"], "private, no-cache");
    check(&["no-store"], "no-store");
    check(&["public, No-Store , max-age=60"], "no-store");
    check(&["public", "no-store"], "no-store");
    check(&["max-age=60, no-transform"], "private, no-cache, no-transform");
    check(&["no-store-at-all"], "private, no-cache");
}

#[test]
fn a_value_that_cannot_be_sent_is_refused_when_it_is_configured() {
    let refused =
        |config: SecurityHeadersConfig| SecurityHeaders::build(&config).expect_err("refused").key;
    let bad = || "a\r\nb".to_owned();
    assert_eq!(refused(SecurityHeadersConfig { hsts: bad(), ..config() }), "hsts");
    let config_with = SecurityHeadersConfig { referrer_policy: String::new(), ..config() };
    assert_eq!(refused(config_with), "referrer_policy");
    let without = SecurityHeadersConfig { hsts: String::new(), ..config() };
    assert!(SecurityHeaders::build(&without).is_ok());
}

#[test]
fn what_holds_for_the_services_connection_ends_there() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, X-Hop"),
        ("keep-alive", "timeout=5"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-checksum"),
        ("content-length", "3"),
        ("etag", "\"a\""),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    strip_internal(&mut headers);
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["etag"], "a length beside a coding is not believed");
}
