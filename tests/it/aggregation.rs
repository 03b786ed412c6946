//! The dashboard over HTTP: what each view shows, and what it says when a service fails. The rules
//! of composition themselves are tested in the core.

use serde_json::{Value, json};
use tests::harness::{Harness, json_of};
use tests::platform::Service;

fn status_of(answer: &reqwest::Response) -> String {
    answer.headers()["aggregate-status"].to_str().expect("ASCII").to_owned()
}

#[tokio::test]
async fn the_rich_view_shows_every_part_and_the_compact_one_what_it_names() {
    let harness = Harness::start().await;
    let rich = harness.web_get("/api/dashboard").await;
    assert!(rich.headers().contains_key("server-timing"));
    let rich = json_of(rich).await;
    let compact = json_of(harness.mobile_get("/dashboard").await).await;
    assert_eq!(rich["links"]["items"].as_array().map(Vec::len), Some(20));
    assert!(rich["links"]["items"][0]["target_url"].is_string());
    assert!(rich["profile"]["email"].is_string());
    assert_eq!(compact["links"]["items"].as_array().map(Vec::len), Some(5));
    assert!(compact["links"]["items"][0].get("target_url").is_none());
    assert!(compact["profile"].get("email").is_none());
    assert_eq!(compact["profile"]["name"], rich["profile"]["name"]);
    assert_eq!(compact["summary"], json!({ "total": rich["summary"]["total"] }));
}

#[tokio::test]
async fn without_billing_the_usage_is_its_fallback_and_the_report_says_so() {
    let harness = Harness::builder().without(Service::Billing).start().await;
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["cache-control"].to_str().expect("ASCII").contains("no-store"));
    let status = status_of(&answer);
    assert!(status.contains("usage") && status.contains("fallback"), "{status}");
    assert_eq!(json_of(answer).await["usage"], json!({ "plan": "unknown" }));
    let line = harness.web.line_of("/api/dashboard").await;
    assert_eq!(line["completeness"], json!(1.0), "a fallback counts as delivered");
}

#[tokio::test]
async fn without_analytics_the_clicks_are_null_and_the_completeness_below_one() {
    let harness = Harness::builder().without(Service::Analytics).start().await;
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    let dashboard = json_of(answer).await;
    assert_eq!(dashboard["summary"], Value::Null);
    assert_eq!(dashboard["links"]["items"][0]["clicks"], Value::Null);
    let line = harness.web.line_of("/api/dashboard").await;
    assert_eq!(line["completeness"], json!(0.714), "two parts of seven");
}

#[tokio::test]
async fn a_required_part_that_fails_fails_the_answer_without_the_services_words() {
    let harness = Harness::start().await;
    for (fault, status) in [
        (r#"{"next":1,"status":404}"#, 404),
        (r#"{"next":1,"status":500}"#, 502),
        (r#"{"next":1,"garbage":true}"#, 502),
        (r#"{"next":1,"hang":true}"#, 504),
    ] {
        harness.fault(Service::User, fault);
        let answer = harness.mobile_get("/dashboard").await;
        assert_eq!(answer.status(), status, "{fault}");
        let problem = json_of(answer).await;
        assert_eq!(problem["part"], "profile", "{fault}: {problem}");
        assert!(problem["request_id"].is_string());
    }
}

#[tokio::test]
async fn a_service_that_answers_slower_than_the_deadline_costs_its_part_only() {
    let harness = Harness::start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"delay_ms":3000}"#);
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    let status = status_of(&answer);
    assert!(status.contains("hooks") && status.contains("timeout"), "{status}");
    assert_eq!(json_of(answer).await["hooks"], Value::Null);
}

#[tokio::test]
async fn a_client_may_ask_for_less_and_never_for_more() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/dashboard?fields=profile(name),usage").await;
    let narrowed = json_of(answer).await;
    assert_eq!(narrowed.as_object().map(serde_json::Map::len), Some(2), "{narrowed}");
    assert_eq!(narrowed["usage"], json!({ "plan": "pro" }));
    for fields in ["profile(email)", "nothing", "links/items/target_url"] {
        let answer = harness.mobile_get(&format!("/dashboard?fields={fields}")).await;
        assert_eq!(answer.status(), 400, "{fields}");
        assert_eq!(json_of(answer).await["code"], "unknown_field", "{fields}");
    }
}

#[tokio::test]
async fn one_users_tag_does_not_fit_anothers_dashboard() {
    let harness = Harness::start().await;
    let first = harness.mobile_get("/dashboard").await;
    let tag = first.headers()["etag"].clone();
    let own = harness.mobile.get("/dashboard").bearer_auth(&harness.token);
    let own = own.header("If-None-Match", tag.clone()).send().await.expect("an answer");
    assert_eq!(own.status(), 304);
    let other = harness.log_in("viewer@example.com").await;
    let request = harness.mobile.get("/dashboard").bearer_auth(other).header("If-None-Match", tag);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn nothing_of_the_clients_request_reaches_a_part() {
    let harness = Harness::start().await;
    let request = harness.mobile.get("/dashboard?evil=1").bearer_auth(&harness.token);
    let request = request.header("X-Custom", "1").header("Cookie", "a=b");
    request.send().await.expect("an answer").bytes().await.expect("a body");
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.query, "owner=4821&limit=20", "{seen:?}");
    for name in ["x-custom", "cookie", "authorization"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}
