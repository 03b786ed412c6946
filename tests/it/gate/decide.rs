//! What a service decides about a request.

use std::time::Duration;

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _};
use tests::platform::Service;

use super::{Stub, get_as};

/// What the sample's view says, which shows links as well.
const VIEW: &str = "[views.dashboard]\nundecided = \"a test\"\n";

/// A harness whose links are decided about by a stub.
async fn decided(stub: &Stub, decide: &str) -> Harness {
    let layer = format!(
        "[services.link-service]\ndecide = {{ call = \"POST policy-service:/v1/decide?v=1\", {decide} }}\n{VIEW}"
    );
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    builder.layer("mobile-bff", &layer).start().await
}

#[tokio::test]
async fn a_service_decides_and_hears_who_wants_what() {
    let stub = Stub::start(r#"{"allow":true}"#).await;
    let harness = decided(&stub, "deadline = \"5s\"").await;
    assert_eq!(get_as(&harness, "/links/x7Kp2?secret=1", &harness.token).await.0, 200);
    let (headers, question) = stub.asked().pop().expect("asked");
    let expected = json!({
        "identity": {
            "user_id": "4821", "role": "editor", "roles": [], "tenant": "tenant-7", "tier": "pro",
            "scheme": "jwt", "scopes": ["links:read", "links:write"],
        },
        "method": "GET", "path": "/links/x7Kp2", "route": "links-get", "params": { "id": "x7Kp2" },
    });
    assert_eq!(serde_json::from_slice::<Value>(&question).expect("JSON"), expected);
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.contains_key("traceparent") && !headers.contains_key("authorization"));
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    assert_eq!((&line["upstream_service"], &line["attempts"]), (&json!("link-service"), &json!(2)));

    stub.tell(200, r#"{"allow":false,"reason":"not_on_fridays"}"#);
    let before = harness.calls(Service::Link);
    let (status, problem) = get_as(&harness, "/links/x7Kp2", &harness.token).await;
    assert_eq!((status, &problem["code"]), (403, &json!("denied")));
    assert_eq!(problem["reason"], "not_on_fridays");
    assert_eq!(harness.calls(Service::Link), before);
    assert_eq!(stub.asked().len(), 2);
    // Other services' routes, and public ones, are not asked about.
    assert_eq!(get_as(&harness, "/billing/usage", &harness.token).await.0, 200);
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test]
async fn a_view_has_a_decision_of_its_own() {
    let stub = Stub::start(r#"{"allow":false}"#).await;
    let decide =
        |time| format!("decide = {{ call = \"POST policy-service:/d\", deadline = \"{time}\" }}\n");
    let (of_service, of_view) = (decide("5s"), decide("6s"));
    let layer = format!("[services.link-service]\n{of_service}[views.dashboard]\n{of_view}");
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    let harness = builder.layer("mobile-bff", &layer).start().await;
    for path in ["/links", "/dashboard"] {
        let (status, problem) = get_as(&harness, path, &harness.token).await;
        assert_eq!((status, &problem["code"]), (403, &json!("denied")), "{path}");
    }
    assert_eq!(harness.calls(Service::Link), 0);
    harness.edit("mobile-bff.test.toml", |text| text.replace(&of_view, ""));
    let (status, problem) = harness.mobile.reload().await;
    assert_eq!((status, &problem["errors"][0]["key"]), (422, &json!("views.dashboard")));
}

#[tokio::test]
async fn without_a_decision_nobody_passes() {
    let stub = Stub::start(r#"{"allow":"true"}"#).await;
    let harness = decided(&stub, "deadline = \"50ms\"").await;
    let check = async |what: &str| {
        let (status, problem) = get_as(&harness, "/links/x7Kp2", &harness.token).await;
        assert_eq!((status, &problem["code"]), (503, &json!("decision_unavailable")), "{what}");
    };
    check("no boolean").await;
    stub.tell(500, r#"{"allow":true}"#);
    check("another status").await;
    stub.tell(200, &format!(r#"{{"allow":true,"x":"{}"}}"#, "x".repeat(20_000)));
    check("an answer without end").await;
    stub.hang();
    check("no answer in time").await;
    assert_eq!(harness.calls(Service::Link), 0);
    let metrics = harness.mobile.metrics().await;
    let counted = "gateway_decisions_total{outcome=\"unavailable\",source=\"call\"} 4";
    assert!(metrics.contains(counted), "{metrics}");
    drop(stub);
    check("nothing listens").await;
}

#[tokio::test]
async fn a_service_that_decides_and_is_closed_is_not_asked_and_nobody_passes() {
    let stub = Stub::start(r#"{"allow":true}"#).await;
    let closed =
        format!("{}maintenance = {{ retry_after = \"1m\" }}\n", stub.section("policy-service"));
    let call = "decide = { call = \"POST policy-service:/d\", deadline = \"5s\" }";
    let layer = format!("[services.link-service]\n{call}\n{VIEW}");
    let builder = Harness::builder().platform_layer(&closed);
    let harness = builder.layer("mobile-bff", &layer).start().await;
    let (status, problem) = get_as(&harness, "/links/x7Kp2", &harness.token).await;
    assert_eq!((status, &problem["code"]), (503, &json!("decision_unavailable")));
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn who_is_asked_is_counted_though_the_client_left_before_the_decision() {
    let stub = Stub::start(r#"{"allow":true}"#).await;
    let harness = decided(&stub, "deadline = \"60s\"").await;
    stub.hang();
    let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    let request = tokio::spawn(request.send());
    while stub.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    request.abort();
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    assert_eq!((&line["status"], &line["attempts"]), (&json!(499), &json!(1)), "{line}");
    assert_eq!(line["upstream_service"], "policy-service");
}

#[tokio::test]
async fn a_public_route_is_decided_about_only_where_it_says_so_itself() {
    let stub = Stub::start(r#"{"allow":false}"#).await;
    let call = "decide = { call = \"POST policy-service:/d\", deadline = \"5s\" }";
    let layer = format!("[services.user-service]\n{call}\n[routes.auth-refresh]\n{call}\n{VIEW}");
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    // The harness logs in by a public route that inherits the decision and is not asked about.
    let harness = builder.layer("mobile-bff", &layer).start().await;
    assert!(stub.asked().is_empty());
    let request = harness.mobile.post("/auth/refresh").json_body(&json!({ "refresh_token": "x" }));
    assert_eq!(request.send().await.expect("an answer").status(), 403);
    let (_, question) = stub.asked().pop().expect("asked");
    let question: Value = serde_json::from_slice(&question).expect("JSON");
    assert_eq!((&question["identity"], &question["route"]), (&Value::Null, &json!("auth-refresh")));
}

#[tokio::test]
async fn a_kept_decision_is_for_the_same_caller_and_request_and_ends() {
    let stub = Stub::start(r#"{"allow":true}"#).await;
    let layer = format!(
        "[services.link-service]\n\
         decide = {{ call = \"POST policy-service:/d\", deadline = \"5s\", cache = \"10s\" }}\n{VIEW}"
    );
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    let harness = builder.layer("mobile-bff", &layer).manual_clock().start().await;
    let admin = harness.log_in("admin@example.com").await;
    let asked = async |path: &str, token: &str| {
        assert_eq!(get_as(&harness, path, token).await.0, 200, "{path}");
        stub.asked().len()
    };
    assert_eq!(asked("/links/x7Kp2", &harness.token).await, 1);
    assert_eq!(asked("/links/x7Kp2?x=1", &harness.token).await, 1);
    assert_eq!(asked("/links/x7Kp2", &admin).await, 2);
    assert_eq!(asked("/links", &harness.token).await, 3);
    harness.advance(Duration::from_secs(10));
    assert_eq!(asked("/links/x7Kp2", &harness.token).await, 4);
}
