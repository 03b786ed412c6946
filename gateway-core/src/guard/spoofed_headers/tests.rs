//! What clients may not say, in every spelling.

use http::HeaderValue;

use super::*;

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect(line);
        headers.append(name, HeaderValue::from_str(value).expect(line));
    }
    headers
}

/// Strips `sent`, knowing the identity's names, and compares what is left.
#[track_caller]
fn check(sent: &[&str], expected: &[&str]) {
    let identity = ["X-User-ID", "X-User-Role", "X-Auth-Verified", "X-Gateway-Assertion"];
    let mut left = headers(sent);
    SpoofedHeaders::new(identity).strip(&mut left);
    assert_eq!(left, headers(expected), "{sent:?}");
}

#[test]
fn nobody_but_the_gateway_speaks_of_identity() {
    check(
        &["X-User-ID: 1", "x-user-role: admin", "X-AUTH-VERIFIED: true", "Accept: */*"],
        &["Accept: */*"],
    );
}

#[test]
fn spellings_that_some_servers_cannot_tell_apart_are_dropped_too() {
    check(
        &["X_User_ID: 1", "x-user_id: 2", "X-uSeR-iD: 3", "x-user-id: 4", "x_forwarded_for: 5"],
        &[],
    );
}

#[test]
fn the_place_in_a_long_head_does_not_matter() {
    let fillers: Vec<String> = (0..150).map(|n| format!("X-Filler-{n}: x")).collect();
    let fillers: Vec<&str> = fillers.iter().map(String::as_str).collect();
    let sent: Vec<&str> = fillers.iter().copied().chain(["X-User-ID: 1"]).collect();
    check(&sent, &fillers);
}

#[test]
fn what_connection_names_goes_with_it() {
    check(
        &[
            "Connection: X-Secret , cookie",
            "Connection: close",
            "X-Secret: 1",
            "Cookie: a=b",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Upgrade: h2c",
            "Accept: */*",
        ],
        &["Accept: */*"],
    );
    check(&["Connection: keep-alive", "Accept: */*"], &["Accept: */*"]);
    let framing = ["Host: a.example", "Content-Length: 5"];
    check(&[&["Connection: host, Content-Length"], &framing[..]].concat(), &framing);
    check(&["Connection: é bad name, ,X-Gone", "X-Gone: 1", "Kept: 1"], &["Kept: 1"]);
}

#[test]
fn a_field_that_the_gateway_adds_cannot_be_named_away_by_the_client() {
    let mut left = headers(&["Connection: X-User-ID", "X-User-ID: 1"]);
    SpoofedHeaders::new(["X-User-ID"]).strip(&mut left);
    left.insert("x-user-id", HeaderValue::from_static("4821"));
    assert_eq!(left, headers(&["X-User-ID: 4821"]), "nothing is left that names it");
}

#[test]
fn what_claims_another_path_host_method_or_client_is_dropped() {
    check(
        &[
            "X-Forwarded-Uri: /admin",
            "X-Forwarded-Host: evil.example",
            "X-Forwarded-Prefix: /x",
            "X-Forwarded-For: 10.0.0.1",
            "Forwarded: for=10.0.0.1",
            "X-Original-URL: /admin",
            "X-Rewrite-URL: /admin",
            "X-HTTP-Method-Override: DELETE",
            "X-Real-IP: 10.0.0.1",
            "Proxy: evil.example",
        ],
        &[],
    );
}

#[test]
fn names_that_only_look_alike_stay() {
    let kept = ["X-User: 1", "X-User-ID-2: 1", "User-ID: 1", "X-Originals: 1", "X-User.ID: 1"];
    check(&kept, &kept);
}
