//! The article, claim by claim: an airport checkpoint for five services that used to have five
//! base URLs, five middlewares and limits that knew nothing of each other.
//!
//! Each test is one claim. What lies behind a claim is tested in the other modules.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _, json_of};
use tests::platform::Service;

// ── Authentication: checked once, at the gate ───────────────────────────────────────────────────

#[tokio::test]
async fn a_request_without_a_credential_ends_at_the_gateway() {
    let harness = Harness::start().await;
    let answer = harness.mobile.get("/links/x7Kp2").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="mobile""#);
    assert_eq!(json_of(answer).await["code"], "credential_missing");
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn the_token_of_user_4821_becomes_the_three_identity_headers() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 200);
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.header("x-user-id"), Some("4821"));
    assert_eq!(seen.header("x-user-role"), Some("editor"));
    assert_eq!(seen.header("x-auth-verified"), Some("true"));
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn a_service_called_past_the_gateway_refuses_whatever_the_headers_claim() {
    let harness = Harness::start().await;
    let url = format!("{}/links/x7Kp2", harness.service_url(Service::Link));
    let request = harness.client.get(url).header("X-Auth-Verified", "true");
    let answer = request.header("X-User-ID", "4821").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn services_still_authorise_and_a_user_sees_only_what_is_theirs() {
    let harness = Harness::start().await;
    let theirs = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(theirs.status(), 200);
    let token = harness.log_in("viewer@example.com").await;
    for path in ["/links/x7Kp2", "/analytics/links/x7Kp2"] {
        let request = harness.mobile.get(path).bearer_auth(&token);
        assert_eq!(request.send().await.expect("an answer").status(), 404, "{path}");
    }
    let admin = harness.log_in("admin@example.com").await;
    for (path, status) in [("/links/x7Kp2?", 200), ("/links?owner=acme", 403)] {
        let request = harness.mobile.get(path).bearer_auth(&admin);
        assert_eq!(request.send().await.expect("an answer").status(), status, "{path}");
    }
}

// ── Limits: per tier, per endpoint, per address, in one place ───────────────────────────────────

#[tokio::test]
async fn the_twenty_first_new_link_in_a_minute_is_refused_and_never_reaches_the_service() {
    let harness = Harness::start().await;
    let create = || {
        let request = harness.mobile.post("/links").bearer_auth(&harness.token);
        request.json_body(&json!({ "target_url": "https://example.com/" })).send()
    };
    for _ in 0..20 {
        assert_eq!(create().await.expect("an answer").status(), 201);
    }
    let refused = create().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    let retry_after: u64 =
        refused.headers()["retry-after"].to_str().expect("ASCII").parse().expect("seconds");
    assert!((1..=3).contains(&retry_after), "{retry_after}");
    let problem = json_of(refused).await;
    assert_eq!(problem["code"], "rate_limited");
    assert_eq!(problem["violated-policies"], json!(["links-write"]));
    assert_eq!(harness.calls(Service::Link), 20);
}

#[tokio::test]
async fn tiers_have_the_rates_100_1000_and_10000_a_minute() {
    let harness = Harness::start().await;
    for (tier, rate) in [("free", 100), ("pro", 1_000), ("partner", 10_000)] {
        let answer = harness.partner_get("/v1/links?limit=1", tier).await;
        assert_eq!(answer.status(), 200, "{tier}");
        let policy = answer.headers()["ratelimit-policy"].to_str().expect("ASCII").to_owned();
        let expected = format!(r#""consumer";q={rate};w=60"#);
        assert!(policy.contains(&expected), "{tier}: {policy}");
    }
}

#[tokio::test]
async fn the_sixth_login_in_a_minute_from_one_address_is_refused() {
    let harness = Harness::start().await;
    let log_in = || {
        let body = json!({ "email": "nobody@example.com", "password": "wrong" });
        harness.mobile.post("/auth/login").json_body(&body).send()
    };
    // The harness has logged in once.
    for _ in 0..4 {
        assert_eq!(log_in().await.expect("an answer").status(), 401);
    }
    let refused = log_in().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    assert_eq!(json_of(refused).await["violated-policies"], json!(["login"]));
}

// ── Routing: one base URL ───────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn the_four_routes_reach_their_services_under_the_internal_paths() {
    let harness = Harness::start().await;
    for (public, service, internal) in [
        ("/links/x7Kp2", Service::Link, "/links/x7Kp2"),
        ("/analytics/links/x7Kp2", Service::Analytics, "/links/x7Kp2"),
        ("/billing/usage", Service::Billing, "/usage"),
    ] {
        let answer = harness.mobile_get(public).await;
        assert_eq!(answer.status(), 200, "{public}");
        assert_eq!(harness.last_request(service).path, internal, "{public}");
    }
    let token = harness.log_in("editor@example.com").await;
    assert!(token.starts_with("ey"));
    assert_eq!(harness.last_request(Service::User).path, "/auth/login");
}

// ── Transformation ──────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn version_two_of_the_links_is_the_same_service_with_a_version_header() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/v2/links?limit=2").await;
    assert_eq!(answer.status(), 200);
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.path, "/links");
    assert_eq!(seen.query, "limit=2");
    assert_eq!(seen.header("x-api-version"), Some("2"));
}

#[tokio::test]
async fn the_tenant_comes_from_the_token_whatever_the_client_writes() {
    let harness = Harness::start().await;
    let tenant = harness.claims()["tenant_id"].as_str().expect("a tenant").to_owned();
    for query in ["", "?tenant_id=other", "?%74enant_id=other&tenant_id=more"] {
        let answer = harness.mobile_get(&format!("/analytics/summary{query}")).await;
        assert_eq!(answer.status(), 200, "{query}");
        let seen = harness.last_request(Service::Analytics);
        assert_eq!(seen.query, format!("tenant_id={tenant}"), "{query}");
    }
}

#[tokio::test]
async fn the_billing_services_xml_becomes_json() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/billing/usage").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let usage = json_of(answer).await;
    assert_eq!(usage["plan"], "pro");
    assert!(usage["links"].is_object(), "{usage}");
}

// ── Aggregation ─────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn one_request_answers_what_took_five() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/dashboard").await;
    assert_eq!(answer.status(), 200);
    let dashboard = json_of(answer).await;
    let parts: BTreeSet<_> = dashboard.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(parts, ["hooks", "links", "profile", "summary", "usage"].map(str::to_owned).into());
    for service in Service::ALL {
        assert!(harness.calls(service) >= 1, "{} was not called", service.name());
    }
}

// ── Observability: one line a request, one id through everything ────────────────────────────────

#[tokio::test]
async fn the_log_record_has_the_articles_fields_and_values() {
    let harness = Harness::start().await;
    harness.mobile_get("/links/x7Kp2").await;
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    let fixed = json!({
        "method": "GET", "path": "/links/x7Kp2", "user_id": "4821", "consumer_tier": "pro",
        "upstream_service": "link-service", "status": 200, "cache": "NONE",
    });
    for (field, value) in fixed.as_object().expect("an object") {
        assert_eq!(&line[field], value, "{field}");
    }
    assert!(line["request_id"].as_str().is_some_and(|id| id.starts_with("req_") && id.len() == 30));
    assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24));
    assert!(line["latency_ms"].is_u64());
}

#[tokio::test]
async fn one_request_id_stands_in_the_answer_the_gateways_line_and_five_services_lines() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/dashboard").await;
    let id = answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    answer.bytes().await.expect("a body");
    let line = harness.mobile.line_of("/dashboard").await;
    assert_eq!(line["request_id"], id.as_str());
    let services: BTreeSet<&str> =
        line["upstream_service"].as_str().expect("services").split(',').collect();
    assert_eq!(services, Service::ALL.map(Service::name).into());
    for service in Service::ALL {
        let ids: Vec<Value> =
            harness.service_lines(service).iter().map(|line| line["request_id"].clone()).collect();
        assert!(ids.contains(&json!(id)), "{}: {ids:?}", service.name());
    }
}

// ── Edge and BFF patterns ───────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn each_consumer_has_its_own_gateway_over_the_same_services() {
    let harness = Harness::start().await;
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
    assert_eq!(harness.web_get("/api/links/x7Kp2").await.status(), 200);
    assert_eq!(harness.partner_get("/v1/links", "pro").await.status(), 200);
    // And no way in by another consumer's credential.
    let token = harness.web.get("/api/links/x7Kp2").header("X-CSRF", "1");
    let answer = token.bearer_auth(&harness.token).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn the_compact_dashboard_is_less_than_a_third_of_the_rich_one() {
    let harness = Harness::start().await;
    let rich = harness.web_get("/api/dashboard").await.bytes().await.expect("a body").len();
    let compact = harness.mobile_get("/dashboard").await.bytes().await.expect("a body").len();
    assert!(compact * 3 < rich, "compact {compact}, rich {rich}");
}

// ── Tradeoffs: the gateway must not become the single point that takes everything down ──────────

#[tokio::test]
async fn a_service_that_is_down_takes_its_own_routes_down_and_no_others() {
    let harness = Harness::builder().without(Service::Analytics).start().await;
    assert_eq!(harness.mobile_get("/analytics/links/x7Kp2").await.status(), 502);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
    let dashboard = harness.mobile_get("/dashboard").await;
    assert_eq!(dashboard.status(), 200);
    let status = dashboard.headers()["aggregate-status"].to_str().expect("ASCII").to_owned();
    assert!(status.contains("clicks") && status.contains("refused"), "{status}");
    assert_eq!(json_of(dashboard).await["summary"], Value::Null);
}

#[tokio::test]
async fn the_gateways_own_share_of_the_time_is_measured_on_every_request() {
    let harness = Harness::start().await;
    harness.mobile_get("/links/x7Kp2").await;
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    let (overhead, upstream) = (line["overhead_ms"].as_f64(), line["upstream_ms"].as_f64());
    assert!(overhead.is_some_and(|ms| ms > 0.0) && upstream.is_some_and(|ms| ms > 0.0), "{line}");
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains("gateway_overhead_seconds_count 2"), "{metrics}");
}
