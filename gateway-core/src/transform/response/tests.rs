//! Answers as consumers want them.

use super::*;
use crate::error::Refusal as _;

fn transform(xml_to_json: bool, fields: &[&str]) -> ResponseTransform {
    let remove_body_fields = fields.iter().map(|field| (*field).to_owned()).collect();
    let rules = ResponseRules { xml_to_json, remove_body_fields, ..ResponseRules::default() };
    ResponseTransform::compile(&rules).expect("valid rules")
}

/// The answer after the rules: its header fields, a space, its body; or status and code.
fn apply(
    transform: &ResponseTransform,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    match transform.apply(&mut map, Bytes::from(body)) {
        Ok(body) => {
            let mut lines: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
                .collect();
            lines.sort();
            format!("{} | {}", lines.join(", "), std::str::from_utf8(&body).expect("UTF-8"))
        }
        Err(refused) => format!("{} {}", refused.status().as_u16(), refused.code()),
    }
}

const XML: (&str, &str) = ("content-type", "application/xml; charset=utf-8");
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn xml_becomes_json_and_the_header_fields_say_so() {
    let transform = transform(true, &[]);
    assert_eq!(
        apply(
            &transform,
            &[
                XML,
                ("content-length", "19"),
                ("etag", "\"x\""),
                ("accept-ranges", "bytes"),
                ("content-digest", "sha-256=:x:"),
                ("last-modified", "x"),
            ],
            "<usage plan='pro'/>",
        ),
        r#"content-type: application/json, etag: W/"x", last-modified: x | {"plan":"pro"}"#
    );
    for of_xml in ["text/xml", "Application/XML", "application/problem+xml"] {
        let json = apply(&transform, &[("content-type", of_xml)], "<a>1</a>");
        assert_eq!(json, "content-type: application/json | 1", "{of_xml}");
    }
}

#[test]
fn what_is_not_xml_passes_with_its_validators() {
    let transform = transform(true, &[]);
    for other in ["application/json", "image/svg+xml", "application/xhtml+xml", "text/html"] {
        let headers = [("content-type", other), ("content-length", "4"), ("etag", "\"x\"")];
        let expected = format!("content-length: 4, content-type: {other}, etag: \"x\" | <a/>");
        assert_eq!(apply(&transform, &headers, "<a/>"), expected);
    }
}

#[test]
fn fields_go_from_json_and_from_what_was_xml() {
    let tagged = [JSON, ("content-length", "24"), ("etag", "W/\"x\"")];
    assert_eq!(
        apply(&transform(false, &["cost"]), &tagged, r#"{"cost":1,"id":1e400}"#),
        r#"content-type: application/json, etag: W/"x" | {"id":1e400}"#
    );
    assert_eq!(
        apply(&transform(true, &["cost"]), &[XML], "<a><cost>1</cost><id>007</id></a>"),
        r#"content-type: application/json | {"id":"007"}"#
    );
}

#[test]
fn a_mislabelled_body_does_not_leak_and_any_other_passes() {
    let transform = transform(false, &["cost"]);
    let plain = [("content-type", "text/plain"), ("content-length", "10"), ("etag", "\"x\"")];
    assert_eq!(
        apply(&transform, &plain, r#"{"cost":1}"#),
        r#"content-type: text/plain, etag: W/"x" | {}"#
    );
    let untouched = r#"content-length: 10, content-type: text/plain, etag: "x" | cost: none"#;
    assert_eq!(apply(&transform, &plain, "cost: none"), untouched);
    let zipped = [("content-encoding", "gzip"), ("content-type", "text/html")];
    let untouched = "content-encoding: gzip, content-type: text/html | x";
    assert_eq!(apply(&transform, &zipped, "x"), untouched);
}

#[test]
fn an_answer_that_is_not_what_it_says_is_a_bad_gateway() {
    let invalid = "502 upstream_body_invalid";
    assert_eq!(apply(&transform(true, &[]), &[XML], "{}"), invalid);
    assert_eq!(apply(&transform(false, &["a"]), &[JSON], "<a/>"), invalid);
    let zipped = [JSON, ("content-encoding", "gzip")];
    assert_eq!(apply(&transform(false, &["a"]), &zipped, "x"), invalid);
}

#[test]
fn a_head_without_body_says_what_its_get_says() {
    let transform = transform(true, &["cost"]);
    let headers = [XML, ("content-length", "19"), ("etag", "\"x\"")];
    let expected = "content-type: application/json, etag: W/\"x\" | ";
    assert_eq!(apply(&transform, &headers, ""), expected);
    let not_modified = [("etag", "\"x\"")];
    assert_eq!(apply(&transform, &not_modified, ""), "etag: W/\"x\" | ");
}

#[test]
fn a_stream_of_events_is_never_held() {
    let mut headers = HeaderMap::new();
    let transform = transform(false, &["cost"]);
    assert!(transform.needs_body(&headers));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    assert!(!transform.needs_body(&headers));
}

#[test]
fn a_service_is_asked_for_a_body_that_can_be_changed() {
    let mut headers = HeaderMap::new();
    for name in ["accept-encoding", "range", "if-range"] {
        headers.insert(name, HeaderValue::from_static("x"));
    }
    let before = headers.clone();
    ResponseTransform::default().prepare_request(&mut headers);
    assert_eq!(headers, before);
    transform(true, &[]).prepare_request(&mut headers);
    assert_eq!(headers.len(), 1);
    assert_eq!(headers["accept-encoding"], "identity");
}

#[test]
fn headers_of_an_answer_take_constants_alone() {
    let rules = |value: &str| {
        let set = vec![("Cache-Control".to_owned(), value.to_owned())];
        let remove = vec!["Server".to_owned()];
        let headers = HeaderRules { set, remove, ..HeaderRules::default() };
        ResponseTransform::compile(&ResponseRules { headers, ..ResponseRules::default() })
    };
    let transform = rules("private, no-cache").expect("valid rules");
    assert!(!transform.needs_body(&HeaderMap::new()));
    let headers = [("server", "x"), ("cache-control", "public"), ("etag", "\"x\"")];
    let expected = "cache-control: private, no-cache, etag: \"x\" | body";
    assert_eq!(apply(&transform, &headers, "body"), expected);

    let error = rules("{identity.tier}").expect_err("not a constant").remove(0).to_string();
    assert!(error.contains("an answer's header fields take no values"), "{error}");
}
