//! The integrators' gateway: keys, tenancy, webhook endpoints.

use serde_json::json;
use tests::harness::{Harness, JsonBody as _, json_of};
use tests::platform::Service;

#[tokio::test]
async fn a_key_is_accepted_as_bearer_or_in_its_own_header() {
    let harness = Harness::start().await;
    let key = harness.key("pro");
    for (name, value) in [("Authorization", format!("Bearer {key}")), ("X-API-Key", key.clone())] {
        let request = harness.partner.get("/v1/links?limit=1").header(name, value);
        assert_eq!(request.send().await.expect("an answer").status(), 200, "{name}");
    }
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.header("x-user-id"), Some("globex"));
    assert_eq!(seen.header("x-consumer-tier"), Some("pro"));
    assert_eq!(seen.header("x-api-key"), None, "the key stays with the gateway");
}

#[tokio::test]
async fn a_key_that_is_malformed_or_unknown_is_a_401_that_names_no_limit() {
    let harness = Harness::start().await;
    let unknown = tests::harness::unknown_key();
    for (key, code) in [
        (unknown.as_str(), "api_key_invalid"),
        ("plk_live_short", "api_key_malformed"),
        ("nonsense", "api_key_malformed"),
    ] {
        let request = harness.partner.get("/v1/links").header("X-API-Key", key);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{key}");
        assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="partner""#);
        assert!(!answer.headers().contains_key("ratelimit"));
        assert_eq!(json_of(answer).await["code"], code);
    }
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn an_unknown_a_revoked_and_an_expired_key_are_answered_alike() {
    let harness = Harness::builder().ended_keys().start().await;
    let mut bodies = Vec::new();
    let unknown = tests::harness::unknown_key();
    for key in [&unknown, &harness.key("revoked"), &harness.key("expired")] {
        let request = harness.partner.get("/v1/links").bearer_auth(key);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        let mut problem = json_of(answer).await;
        problem.as_object_mut().expect("an object").remove("request_id");
        bodies.push(problem);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0], bodies[2]);
}

#[tokio::test]
async fn two_different_keys_are_ambiguous_and_the_same_key_twice_is_not() {
    let harness = Harness::start().await;
    let (pro, free) = (harness.key("pro"), harness.key("free"));
    for (own, status) in [(&free, 400), (&pro, 200)] {
        let request = harness.partner.get("/v1/links?limit=1").bearer_auth(&pro);
        let answer = request.header("X-API-Key", own).send().await.expect("an answer");
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_refused_with_a_hint_and_never_written_down() {
    let harness = Harness::start().await;
    let key = harness.key("pro");
    let answer = harness.partner.get(&format!("/v1/links?api_key={key}")).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 400);
    let problem = json_of(answer).await;
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("never in the query")),
        "{problem}"
    );
    let line = harness.partner.line_of("/v1/links").await;
    assert!(!line.to_string().contains(&key));
}

#[tokio::test]
async fn all_keys_of_a_partner_share_its_limits() {
    let layer = "[limits.consumer]\nrate = \"3/min\"\n";
    let harness = Harness::builder().layer("partner-gateway", layer).second_key().start().await;
    let mut statuses = Vec::new();
    for tier in ["pro", "second", "pro", "second"] {
        statuses.push(harness.partner_get("/v1/links?limit=1", tier).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(harness.partner_get("/v1/links?limit=1", "free").await.status(), 200);
}

#[tokio::test]
async fn a_webhook_endpoint_is_made_listed_read_and_deleted_and_its_secret_shown_once() {
    let harness = Harness::start().await;
    let body = json!({ "url": "https://hooks.example.com/a", "event_types": ["link.clicked"] });
    let create = harness.partner.post("/v1/webhooks/endpoints").bearer_auth(harness.key("pro"));
    let created = create.json_body(&body).send().await.expect("an answer");
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()["cache-control"], "no-store");
    let mut created = json_of(created).await;
    let secret = created.as_object_mut().expect("an object").remove("secret").expect("once");
    assert!(secret.as_str().is_some_and(|secret| secret.starts_with("whsec_")));
    let id = created["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/webhooks/endpoints/{id}");
    assert_eq!(json_of(harness.partner_get(&path, "pro").await).await, created);
    let list = json_of(harness.partner_get("/v1/webhooks/endpoints", "pro").await).await;
    assert_eq!(list, json!({ "items": [created] }));
    let delete = || harness.partner.request("DELETE", &path).bearer_auth(harness.key("pro")).send();
    assert_eq!(delete().await.expect("an answer").status(), 204);
    assert_eq!(delete().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn another_partners_endpoint_does_not_exist() {
    let harness = Harness::start().await;
    let body = json!({ "url": "https://hooks.example.com/a" });
    let create = harness.partner.post("/v1/webhooks/endpoints").bearer_auth(harness.key("pro"));
    let created = json_of(create.json_body(&body).send().await.expect("an answer")).await;
    let path = format!("/v1/webhooks/endpoints/{}", created["id"].as_str().expect("an id"));
    assert_eq!(harness.partner_get(&path, "free").await.status(), 404);
    let delete = harness.partner.request("DELETE", &path).bearer_auth(harness.key("free"));
    assert_eq!(delete.send().await.expect("an answer").status(), 404);
    assert_eq!(harness.partner_get(&path, "pro").await.status(), 200);
}

#[tokio::test]
async fn an_endpoint_that_leads_inside_is_refused_with_the_member_named() {
    let harness = Harness::start().await;
    for url in ["http://hooks.example.com", "https://127.0.0.1/", "https://localhost/", "x"] {
        let create = harness.partner.post("/v1/webhooks/endpoints").bearer_auth(harness.key("pro"));
        let answer = create.json_body(&json!({ "url": url })).send().await.expect("an answer");
        assert_eq!(answer.status(), 422, "{url}");
        let problem = json_of(answer).await;
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("`url`")), "{problem}");
    }
}
