//! Preflights, answers and configurations, with the look-alikes of an origin.

use super::*;
use crate::clock::Timestamp;
use crate::error::Refused;
use crate::exchange::RequestId;

const APP: &str = "https://app.example";
const LOOK_ALIKES: [&str; 9] = [
    "https://app.example.e.com",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example:443",
    "https://APP.example",
    "https://app.example.",
    "https://app.example/",
    "https://xapp.example",
    "null",
];

fn config() -> CorsConfig {
    CorsConfig {
        origins: vec![APP.to_owned(), "http://localhost:5173".to_owned()],
        credentials: true,
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        headers: vec!["Content-Type".to_owned(), "X-CSRF".to_owned()],
        expose_headers: vec!["X-Request-ID".to_owned(), "Retry-After".to_owned()],
        preflight_max_age: Duration::from_secs(600),
    }
}

fn cors() -> Cors {
    Cors::build(&config()).expect("a good configuration")
}

fn preflight_of(origin: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (header::ORIGIN, HeaderValue::from_static(origin)),
        (header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("DELETE")),
    ])
}

#[track_caller]
fn check_fields(headers: &HeaderMap, expected: &[(&str, &str)]) {
    let mut got: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    got.sort_unstable();
    assert_eq!(got, expected);
}

#[test]
fn a_preflight_of_a_listed_origin_is_answered_with_everything_a_browser_asks() {
    let answer = cors().preflight(&Method::OPTIONS, &preflight_of(APP));
    check_fields(
        &answer.expect("a preflight").expect("allowed"),
        &[
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "Content-Type, X-CSRF"),
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-origin", APP),
            ("access-control-max-age", "600"),
            ("vary", PREFLIGHT_VARY),
        ],
    );
}

#[test]
fn a_preflight_of_any_other_origin_is_a_403_that_names_no_origin() {
    for origin in LOOK_ALIKES {
        let refusal = cors()
            .preflight(&Method::OPTIONS, &preflight_of(origin))
            .expect("a preflight")
            .expect_err(origin);
        let request_id = RequestId::generate(Timestamp::from_unix_seconds(0));
        let mut answer = Refused::from(refusal).to_response(&request_id);
        cors().apply(Some(&HeaderValue::from_static(origin)), answer.headers_mut());
        assert_eq!(answer.status(), 403);
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}");
        assert_eq!(answer.headers()["vary"], PREFLIGHT_VARY);
    }
}

#[test]
fn a_request_that_is_no_preflight_is_routed() {
    let headers = preflight_of(APP);
    assert!(cors().preflight(&Method::GET, &headers).is_none());
    let mut without = headers.clone();
    without.remove(header::ACCESS_CONTROL_REQUEST_METHOD);
    assert!(cors().preflight(&Method::OPTIONS, &without).is_none());
    let mut without = headers.clone();
    without.remove(header::ORIGIN);
    assert!(cors().preflight(&Method::OPTIONS, &without).is_none());
    assert!(Cors::default().preflight(&Method::OPTIONS, &headers).is_none());
}

#[test]
fn an_answer_names_a_listed_origin_exactly_and_no_look_alike() {
    let mut headers = HeaderMap::new();
    cors().apply(Some(&HeaderValue::from_static(APP)), &mut headers);
    check_fields(
        &headers,
        &[
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-origin", APP),
            ("access-control-expose-headers", "X-Request-ID, Retry-After"),
            ("vary", "Origin"),
        ],
    );
    for origin in LOOK_ALIKES {
        let mut headers = HeaderMap::new();
        cors().apply(Some(&HeaderValue::from_static(origin)), &mut headers);
        check_fields(&headers, &[("vary", "Origin")]);
    }
}

#[test]
fn an_answer_without_an_origin_still_varies_by_it() {
    let mut headers = HeaderMap::from_iter([(header::VARY, HeaderValue::from_static("Cookie"))]);
    cors().apply(None, &mut headers);
    check_fields(&headers, &[("vary", "Cookie, Origin")]);
}

#[test]
fn applying_twice_says_nothing_twice() {
    let origin = HeaderValue::from_static(APP);
    let mut headers = cors().preflight(&Method::OPTIONS, &preflight_of(APP)).unwrap().unwrap();
    cors().apply(Some(&origin), &mut headers);
    assert_eq!(headers.get_all("access-control-allow-origin").iter().count(), 1);
    assert_eq!(headers["vary"], PREFLIGHT_VARY);
}

#[test]
fn when_cors_is_off_no_answer_mentions_it() {
    let cors = Cors::build(&CorsConfig { origins: Vec::new(), ..config() }).expect("off");
    let mut headers = HeaderMap::new();
    cors.apply(Some(&HeaderValue::from_static(APP)), &mut headers);
    check_fields(&headers, &[]);
    assert!(cors.credentialed_origins().is_empty());
}

#[test]
fn any_origin_is_allowed_without_credentials_and_refused_with_them() {
    let any = CorsConfig { origins: vec!["*".to_owned()], ..config() };
    let refused = Cors::build(&any).expect_err("credentials");
    assert_eq!(
        refused.to_string(),
        "origins \"*\" cannot be used with credentials: list the origins"
    );

    let cors = Cors::build(&CorsConfig { credentials: false, ..any }).expect("no credentials");
    let mut headers = HeaderMap::new();
    cors.apply(Some(&HeaderValue::from_static("https://anyone.example")), &mut headers);
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    assert!(!headers.contains_key("vary"));
    assert!(cors.credentialed_origins().is_empty());
}

#[test]
fn an_origin_that_no_browser_sends_is_refused_when_it_is_configured() {
    let build =
        |origin: &str| Cors::build(&CorsConfig { origins: vec![origin.to_owned()], ..config() });
    for good in [
        "https://app.example",
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "http://[::1]",
        "https://app.example:8443",
        "chrome-extension://abcdefgh",
    ] {
        assert!(build(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "null",
        "app.example",
        "https://",
        "https://app.example/",
        "https://App.example",
        "https://app.example.",
        "https://app.example.:8443",
        "https://app.example:443",
        "http://app.example:80",
        "https://app.example:",
        "https://app.example:0",
        "https://app.example:99999",
        "https://*.example",
        "https://user@app.example",
        "https://app.example?x",
        "https://a.example, https://b.example",
    ] {
        assert!(build(bad).is_err(), "{bad}");
    }
    let both = CorsConfig { origins: vec![APP.to_owned(), "*".to_owned()], ..config() };
    assert!(Cors::build(&both).is_err());
}

#[test]
fn names_that_are_none_are_refused_when_they_are_configured() {
    let one = |name: &str| vec![name.to_owned()];
    for bad in ["*", "a b", "", "a\r\nb"] {
        assert!(Cors::build(&CorsConfig { methods: one(bad), ..config() }).is_err(), "{bad}");
        assert!(Cors::build(&CorsConfig { headers: one(bad), ..config() }).is_err(), "{bad}");
        let config = CorsConfig { expose_headers: one(bad), ..config() };
        assert!(Cors::build(&config).is_err(), "{bad}");
    }
}
