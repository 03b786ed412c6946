//! The edge over HTTP: paths, methods, sizes, traces.

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;
use tests::harness::{Harness, json_of};
use tests::platform::Service;

#[tokio::test]
async fn a_path_with_two_readings_is_refused_before_anything_is_asked() {
    let harness = Harness::start().await;
    for path in [
        "/links/..%2fadmin",
        "/links/%2e%2e/x",
        "/links//x",
        "/links/./x",
        "/links/x;a=b",
        "/links/%00",
        "/links/a%5cb",
        "/links/%c0%ae%c0%ae",
        "/links/%",
        "/links/%zz",
    ] {
        let (status, body) = harness.mobile.raw_get(path, &harness.token).await;
        assert_eq!(status, 400, "{path}");
        assert!(body.contains(r#""code":"path_"#), "{path}: {body}");
    }
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn unknown_paths_are_404_and_unknown_methods_405_with_allow() {
    let harness = Harness::start().await;
    for path in ["/nothing", "/links/", "/dashboard/x.css", "/links/x7Kp2/clicks"] {
        let answer = harness.mobile_get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(json_of(answer).await["code"], "route_not_found", "{path}");
    }
    let request = harness.mobile.request("PUT", "/links").bearer_auth(&harness.token);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 405);
    let allow = answer.headers()["allow"].to_str().expect("ASCII").to_owned();
    assert!(["GET", "HEAD", "POST"].iter().all(|method| allow.contains(method)), "{allow}");
}

#[tokio::test]
async fn what_is_too_long_has_its_status() {
    let harness = Harness::start().await;
    let long = "x".repeat(9_000);
    let answer = harness.mobile_get(&format!("/links/{long}")).await;
    assert_eq!(answer.status(), 414);
    let mut request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    for n in 0..110 {
        request = request.header(format!("X-Filler-{n}"), "1");
    }
    assert_eq!(request.send().await.expect("an answer").status(), 431);
    // Announced alone is enough: nothing of the body need be sent.
    let head = format!(
        "POST /links HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Length: 1100000\r\n",
        harness.token
    );
    let (status, answer) = harness.mobile.raw(&head).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_at_the_ceiling() {
    let harness = Harness::start().await;
    let piece = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 64 * 1024])));
    let pieces = futures::stream::iter((0..40).map(move |_| piece()));
    let body = reqwest::Body::wrap(StreamBody::new(pieces));
    let request = harness.mobile.post("/links").bearer_auth(&harness.token).body(body);
    let answer = request.header("Content-Type", "application/json").send().await;
    // Either the answer, or the connection closed under the rest of the body.
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 413);
    }
    let line = harness.mobile.line_of("/links").await;
    assert_eq!((&line["status"], &line["code"]), (&json!(413), &json!("body_too_large")));
    assert!(line["bytes_in"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{line}");
}

#[tokio::test]
async fn a_head_request_has_the_head_of_a_get_and_no_body() {
    let harness = Harness::start().await;
    for path in ["/links/x7Kp2", "/dashboard"] {
        let request = harness.mobile.request("HEAD", path).bearer_auth(&harness.token);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
        assert!(answer.headers().contains_key("content-length"), "{path}");
        assert!(answer.bytes().await.expect("a body").is_empty(), "{path}");
        let line = harness.mobile.line_of(path).await;
        assert_eq!((&line["method"], &line["code"]), (&json!("HEAD"), &json!(null)), "{line}");
    }
}

#[tokio::test]
async fn nothing_but_method_host_and_path_decides_which_rules_hold() {
    let harness = Harness::start().await;
    for (path, agent) in [
        ("/links/x7Kp2?public=true", "kube-probe/1.30"),
        ("/links/x7Kp2?/.well-known/jwks.json", "GoogleHC/1.0"),
        ("/links/x7Kp2?x=/auth/login", "health"),
    ] {
        let answer = harness.mobile.get(path).header("User-Agent", agent).send().await;
        assert_eq!(answer.expect("an answer").status(), 401, "{path}");
    }
}

#[tokio::test]
async fn a_trace_goes_on_with_a_new_span_and_a_bad_one_is_replaced() {
    let harness = Harness::start().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let good = format!("00-{trace_id}-00f067aa0ba902b7-01");
    for (sent, goes_on) in [(good.as_str(), true), ("00-zz", false), ("", false)] {
        let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
        request.header("traceparent", sent).send().await.expect("an answer");
        let seen = harness.last_request(Service::Link);
        let parent = seen.header("traceparent").expect("always one").to_owned();
        assert_eq!(parent.contains(trace_id), goes_on, "{sent}: {parent}");
        assert_ne!(parent, sent);
        assert_eq!(parent.len(), 55);
    }
}

#[tokio::test]
async fn answers_stream_through_with_their_validators() {
    let harness = Harness::start().await;
    let first = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(first.status(), 200);
    let Some(tag) = first.headers().get("etag").cloned() else { panic!("the service sends one") };
    let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    let again = request.header("If-None-Match", tag).send().await.expect("an answer");
    assert_eq!(again.status(), 304);
}
