//! Requests as browsers, programs and other people's pages send them.

use super::*;

/// Judges a request of `host app.example` whose origin list holds `https://spa.example`.
/// `request` is a method and fields, one a line; the answer is a status and a code, or `pass`.
#[track_caller]
fn check(request: &str, expected: &str) {
    let mut lines = request.split(" | ");
    let mut builder = http::Request::builder()
        .method(lines.next().unwrap())
        .header("host", "app.example")
        .header("cookie", "__Host-sid=AAECAwQFBgcICQoLDA0ODw");
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a field");
        builder = builder.header(name, value);
    }
    let (head, ()) = builder.body(()).expect("a request").into_parts();
    let policy = CsrfPolicy::new([HeaderValue::from_static("https://spa.example")]);
    let got = match policy.judge(&head) {
        Ok(()) => "pass".to_owned(),
        Err(refusal) => format!("{} {}", refusal.status().as_u16(), refusal.code()),
    };
    assert_eq!(got, expected, "{request}");
}

#[test]
fn every_method_needs_the_header_and_reads_do_too() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        check(method, "403 csrf_header_missing");
        check(&format!("{method} | x-csrf: 1"), "pass");
    }
    for value in ["0", "true", "11", ""] {
        check(&format!("GET | x-csrf: {value}"), "403 csrf_header_missing");
    }
    check("GET | x-csrf: 1 | x-csrf: 1", "403 csrf_header_missing");
}

#[test]
fn what_fetch_metadata_says_decides_whatever_else_is_sent() {
    check("GET | x-csrf: 1 | sec-fetch-site: same-origin", "pass");
    check("GET | x-csrf: 1 | sec-fetch-site: none", "pass");
    for site in ["cross-site", "same-site", "Same-Origin", "same-origin, none", ""] {
        let signs = format!("x-csrf: 1 | sec-fetch-site: {site}");
        check(&format!("GET | {signs}"), "403 csrf_cross_site");
        check(&format!("POST | {signs}"), "403 csrf_cross_site");
        check(&format!("POST | {signs} | origin: https://app.example"), "403 csrf_cross_site");
    }
    let twice = "x-csrf: 1 | sec-fetch-site: same-origin | sec-fetch-site: cross-site";
    check(&format!("GET | {twice}"), "403 csrf_cross_site");
}

#[test]
fn an_older_browser_is_judged_by_its_origin() {
    check("POST | x-csrf: 1 | origin: https://app.example", "pass");
    check("POST | x-csrf: 1 | origin: https://APP.example", "pass");
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "app.example",
        "https://",
    ] {
        check(&format!("POST | x-csrf: 1 | origin: {origin}"), "403 csrf_cross_site");
    }
    let twice = "origin: https://app.example | origin: https://evil.example";
    check(&format!("POST | x-csrf: 1 | {twice}"), "403 csrf_cross_site");
}

#[test]
fn a_page_without_an_origin_is_refused_even_as_same_origin() {
    check("POST | x-csrf: 1 | origin: null", "403 csrf_cross_site");
    let signs = "x-csrf: 1 | sec-fetch-site: same-origin";
    check(&format!("POST | {signs} | origin: null"), "403 csrf_cross_site");
}

#[test]
fn a_listed_origin_is_spared_the_cross_site_rule_and_nothing_else() {
    let listed = "origin: https://spa.example | sec-fetch-site: cross-site";
    check(&format!("GET | x-csrf: 1 | {listed}"), "pass");
    check(&format!("POST | x-csrf: 1 | {listed}"), "pass");
    check("POST | x-csrf: 1 | origin: https://spa.example", "pass");
    check(&format!("POST | {listed}"), "403 csrf_header_missing");
    for origin in ["http://spa.example", "https://SPA.example", "https://spa.example.e.com"] {
        let signs = format!("x-csrf: 1 | origin: {origin} | sec-fetch-site: cross-site");
        check(&format!("POST | {signs}"), "403 csrf_cross_site");
    }
}

#[test]
fn a_body_that_a_form_can_send_is_of_an_unsupported_type() {
    for content_type in ["text/plain", "Text/Plain;charset=utf-8", "text/plain ; x"] {
        let signs = format!("x-csrf: 1 | content-type: {content_type}");
        check(&format!("POST | {signs}"), "415 csrf_plain_text");
        check(&format!("DELETE | {signs}"), "415 csrf_plain_text");
        check(&format!("GET | {signs}"), "pass");
    }
    check("POST | x-csrf: 1 | content-type: application/json", "pass");
    check("POST | x-csrf: 1 | content-type: text/plaintive", "pass");
}

#[test]
fn an_event_stream_passes_on_the_browsers_word_alone() {
    let stream = "accept: text/event-stream";
    check(&format!("GET | {stream} | sec-fetch-site: same-origin"), "pass");
    check(&format!("GET | {stream}"), "403 csrf_header_missing");
    check(&format!("GET | {stream} | sec-fetch-site: none"), "403 csrf_header_missing");
    check(&format!("GET | {stream} | sec-fetch-site: cross-site"), "403 csrf_cross_site");
    check(&format!("POST | {stream} | sec-fetch-site: same-origin"), "403 csrf_header_missing");
    let mixed = "accept: text/event-stream, */* | sec-fetch-site: same-origin";
    check(&format!("GET | {mixed}"), "403 csrf_header_missing");
    let foreign = "origin: https://evil.example";
    check(&format!("GET | {stream} | {foreign}"), "403 csrf_cross_site");
}

#[test]
fn a_websocket_passes_on_an_exact_origin_alone() {
    let upgrade = "connection: upgrade | upgrade: WebSocket";
    check(&format!("GET | {upgrade} | origin: https://app.example"), "pass");
    check(&format!("GET | {upgrade} | origin: https://spa.example"), "pass");
    check(&format!("GET | {upgrade}"), "403 csrf_header_missing");
    check(&format!("GET | {upgrade} | origin: https://evil.example"), "403 csrf_cross_site");
    let lie = "origin: https://evil.example | sec-fetch-site: same-origin";
    check(&format!("GET | {upgrade} | {lie}"), "403 csrf_header_missing");
}

#[test]
fn a_method_in_a_header_changes_nothing() {
    check("POST | x-http-method-override: GET", "403 csrf_header_missing");
    let plain = "x-csrf: 1 | content-type: text/plain";
    check(&format!("POST | {plain} | x-http-method-override: GET"), "415 csrf_plain_text");
}
