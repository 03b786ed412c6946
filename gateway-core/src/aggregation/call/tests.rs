//! Calls as they are sent, and texts that are none.

use http::HeaderMap;
use serde_json::json;

use super::super::bindings::Inputs;
use super::super::testing::principal;
use super::*;

/// A call; every `{part.…}` in it reads the first part.
#[track_caller]
fn template(text: &str) -> CallTemplate {
    let mut template = CallTemplate::parse(text).expect(text);
    for source in template.sources_mut() {
        if let Source::Part(_, number, _) = source {
            *number = 0;
        }
    }
    template
}

#[track_caller]
fn check(target: &str, param: &str, query: &str, expected: &str) {
    let template = template(&format!("GET s:{target}"));
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", HeaderValue::from_static("de, en"));
    headers.insert("x-raw", HeaderValue::from_bytes(b"\xff").expect("opaque"));
    let mut principal = principal("a/b?c=d&e");
    principal.role = None;
    let params = [param.into()];
    let inputs = Inputs {
        principal: Some(&principal),
        params: &params,
        query: Some(query),
        headers: &headers,
        body: Some(&Bytes::from_static(br#"{"title":"a/b","n":1e400,"o":{}}"#)),
    };
    let values =
        [Bytes::from_static(br#"{"id":9007199254740993,"name":"","tags":["a"],"x":null}"#)];
    let items: [&[u8]; 3] = [br#"{"id":"a,b"}"#, br#"{"id":2}"#, br#"{"id":"a,b"}"#];
    let names = ["id".into()];
    let scope = Scope { inputs: &inputs, params: &names, values: &values, items: &items };
    let filled = template.fill(&scope);
    let filled = filled.map(|call| call.target.to_string());
    let shown = filled.unwrap_or_else(|no| format!("{} {}", no.reason.as_str(), no.input));
    assert_eq!(shown, expected, "{target} with {param:?} and {query:?}");
}

#[test]
fn a_value_is_encoded_for_its_place_and_never_leaves_it() {
    check("/users/{identity.user_id}", "", "", "/users/a%2Fb%3Fc%3Dd%26e");
    check("/x?owner={identity.user_id}", "", "", "/x?owner=a%2Fb%3Fc%3Dd%26e");
    check("/x/{path.id}/y", "../../admin", "", "/x/..%2F..%2Fadmin/y");
    check("/x/{path.id}", "é ~\0\r\n%2F#", "", "/x/%C3%A9%20~%00%0D%0A%252F%23");
    check("/x?q={query.q}", "", "q=a%26b=c%23+d", "/x?q=a%26b%3Dc%23%20d");
    check("/x?l={header.accept-language}", "", "", "/x?l=de%2C%20en");
    check("/a{path.id}b?c={path.id}d", "1", "", "/a1b?c=1d");
    check("/a%20b?c=%2F,d", "1", "", "/a%20b?c=%2F,d");
}

#[test]
fn a_segment_is_never_made_of_dots() {
    check("/x/{path.id}", "..", "", "invalid_input path.id");
    check("/x/{path.id}/y", ".", "", "invalid_input path.id");
    check("/x/.{path.id}", ".", "", "invalid_input path.id");
    check("/x/%2E{path.id}", ".", "", "invalid_input path.id");
    check("/x/{path.id}", "...", "", "/x/...");
    check("/x/{path.id}", "%2e%2e", "", "/x/%252e%252e");
    check("/x?y={path.id}", "..", "", "/x?y=..");
}

#[test]
fn a_missing_value_is_its_default_or_no_call() {
    check("/x?l={query.limit|20}", "", "", "/x?l=20");
    check("/x?l={query.limit|20}", "", "limit=5&limit=9", "/x?l=5");
    check("/x?l={query.limit|20}", "", "limit=", "/x?l=20");
    check("/x?l={query.limit|20}", "", "limit=%FF", "/x?l=20");
    check("/x?l={query.limit|a&b}", "", "", "/x?l=a%26b");
    check("/x?l={query.limit|}", "", "", "/x?l=");
    check("/x?l={query.limit}", "", "LIMIT=1&limits=2", "missing_input query.limit");
    check("/x/{path.id}", "", "", "missing_input path.id");
    check("/x/{identity.tenant}", "", "", "missing_input identity.tenant");
    check("/x/{header.x-none}", "", "", "missing_input header.x-none");
    check("/x/{header.x-raw}", "", "", "missing_input header.x-raw");
    check("/x?q={query.q}", "", &format!("q={}", "a".repeat(70_000)), "invalid_input query.q");
}

#[test]
fn a_call_that_cannot_be_read_says_why() {
    for (call, reason) in [
        ("/links", "must read"),
        ("TRACE s:/links", "the method must be GET"),
        ("GET /links", "must name the service"),
        ("GET s:links", "must start with"),
        ("GET s:/a b", "' ' must not stand"),
        ("GET s:/a#b", "'#' must not stand"),
        ("GET s:/é", "'é' must not stand"),
        ("GET s:/a<b>", "no request target"),
        ("GET s:/a/../b", "segments"),
        ("GET s:/a/%2e%2E", "segments"),
        ("GET s:/{query.a", "has no \"}\""),
        ("GET s:/query.a}", "has no \"{\""),
        ("GET s:/{limit}", "must name a source"),
        ("GET s:/{query.}", "must name a source"),
        ("GET s:/{identity.email}", "user_id, role, tenant, tier"),
        ("GET s:/{parts.links.id}", "values come from identity"),
        ("GET s:/{item..id}", "must be names"),
        ("GET s:/{path.id|}", "empty default"),
        ("GET s:/?a={header.cookie}", "never reaches"),
        ("GET s:/?a={header.Authorization}", "never reaches"),
        ("GET s:/?a={header.connection}", "never reaches"),
        ("GET s:/?a={header.x y}", "must not stand"),
    ] {
        let error = CallTemplate::parse(call).expect_err(call);
        assert!(error.contains(reason), "{call}: {error}");
    }
}

#[test]
fn parts_items_and_the_body_are_read_as_exact_texts() {
    check("/x/{part.profile.id}", "", "", "/x/9007199254740993");
    check("/x/{part.profile.name}", "", "", "missing_input part.profile.name");
    check("/x/{part.profile.tags}", "", "", "missing_input part.profile.tags");
    check("/x/{part.profile.x|none}", "", "", "/x/none");
    check("/x/{item.id}", "", "", "/x/a%2Cb");
    check("/x?ids={items.id}", "", "", "/x?ids=a%2Cb,2");
    check("/x?ids={items.none}", "", "", "missing_input items.none");
    check("/x/{body.title}/{body.n}", "", "", "/x/a%2Fb/1e400");
    check("/x/{body.o}", "", "", "missing_input body.o");
}

/// The header fields and body of one call.
#[track_caller]
fn sends(headers: &[(&str, &str)], body: serde_json::Value, expected: &str) {
    let declared = PartSource {
        headers: headers.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        body: Some(body),
        ..PartSource::default()
    };
    let mut template = CallTemplate::parse("POST s:/x").expect("a call");
    template.add_declared(&declared).expect("declared");
    let body = Bytes::from_static(br#"{"title":"a\"b","n":0.10,"o":{"p":[1]}}"#);
    let inputs = Inputs {
        principal: None,
        params: &[],
        query: Some("q=a%22b&crlf=%0d%0aX:1"),
        headers: &HeaderMap::new(),
        body: Some(&body),
    };
    let items: [&[u8]; 2] = [br#"{"id":1e2}"#, br#"{"id":"x"}"#];
    let scope = Scope { inputs: &inputs, params: &[], values: &[], items: &items };
    let shown = match template.fill(&scope) {
        Ok(call) => {
            let headers = call.headers.iter();
            let headers = headers.map(|(name, value)| format!("{name}: {value:?} "));
            let body = String::from_utf8(call.body.unwrap_or_default().to_vec()).expect("UTF-8");
            format!("{}{body}", headers.collect::<String>())
        }
        Err(no) => format!("{} {}", no.reason.as_str(), no.input),
    };
    assert_eq!(shown, expected);
}

#[test]
fn in_a_body_a_whole_value_keeps_its_bytes_and_a_text_never_leaves_its_string() {
    sends(&[], json!({ "n": "{body.n}", "o": "{body.o}" }), r#"{"n":0.10,"o":{"p":[1]}}"#);
    sends(&[], json!(["{body}"]), r#"[{"title":"a\"b","n":0.10,"o":{"p":[1]}}]"#);
    sends(&[], json!({ "t": "<{query.q}>" }), r#"{"t":"<a\"b>"}"#);
    sends(&[], json!({ "t": "{query.q}", "x": 1, "y": null }), r#"{"t":"a\"b","x":1,"y":null}"#);
    sends(&[], json!({ "ids": "{items.id}" }), r#"{"ids":[1e2,"x"]}"#);
    sends(&[], json!({ "a": "{query.none|d\"}" }), r#"{"a":"d\""}"#);
    sends(&[], json!({ "a": "{query.none}" }), "missing_input query.none");
    sends(&[("X-Q", "q={query.q}")], json!(1), r#"x-q: "q=a\"b" 1"#);
    sends(&[("X-Q", "{query.crlf}")], json!(1), "invalid_input query.crlf");
}

proptest::proptest! {
    /// Whatever a client sends: the service gets one segment and one parameter.
    #[test]
    fn no_value_changes_the_shape_of_a_target(value in ".{1,40}") {
        let headers = HeaderMap::new();
        let params = [value.clone().into()];
        let query: String = format!("q={}", percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC));
        let inputs = Inputs { principal: None, params: &params, query: Some(&query), headers: &headers, body: None };
        let names = ["id".into()];
        let scope = Scope { inputs: &inputs, params: &names, values: &[], items: &[] };
        let template = CallTemplate::parse("GET s:/a/{path.id}/b?x={query.q}&y=1").expect("a call");
        let Ok(call) = template.fill(&scope) else {
            proptest::prop_assert!(is_dot_segment(&value));
            return Ok(());
        };
        let segments: Vec<&str> = call.target.path().split('/').collect();
        proptest::prop_assert_eq!(segments.len(), 4);
        let decoded = percent_encoding::percent_decode_str(segments[2]).decode_utf8().expect("UTF-8");
        proptest::prop_assert_eq!(&*decoded, &*value);
        let pairs: Vec<&str> = call.target.query().expect("a query").split('&').collect();
        proptest::prop_assert_eq!(pairs.len(), 2);
        let query = call.target.query().expect("a query");
        let sent = crate::transform::query::value(query, "x");
        proptest::prop_assert_eq!(sent.as_deref(), Some(&*value));
    }

    /// Any text is a template or a reason, and never a panic.
    #[test]
    fn any_text_is_a_call_or_a_reason(text in r"(GET|PUT|x)? ?[a-z]{0,3}:?/?[a-z{}|.?&=%/]{0,30}") {
        let _ = CallTemplate::parse(&text);
    }
}
