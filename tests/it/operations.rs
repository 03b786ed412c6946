//! What operators meet: probes, metrics, the effective configuration, shutdown, failures.

use std::time::Duration;

use serde_json::json;
use tests::harness::{Harness, json_of};
use tests::platform::Service;

#[tokio::test]
async fn the_admin_listener_answers_probes_metrics_and_the_configuration_in_force() {
    let harness = Harness::start().await;
    for (path, expected) in [
        ("/livez", "ok"),
        ("/readyz", r#""keys_confirmed_s_ago":{"user-service":0},"ready":true"#),
        ("/metrics", "http_server_request_duration_seconds"),
        ("/config", "[services.link-service]"),
    ] {
        let answer = harness.client.get(format!("{}{path}", harness.mobile.admin)).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let body = answer.text().await.expect("a body");
        assert!(body.contains(expected), "{path}: {body}");
    }
}

#[tokio::test]
async fn no_secret_is_in_the_configuration_that_is_shown() {
    let harness = Harness::start().await;
    for gateway in [&harness.web, &harness.mobile, &harness.partner] {
        let answer = harness.client.get(format!("{}/config", gateway.admin)).send().await;
        let shown = answer.expect("an answer").text().await.expect("a body");
        for secret in harness.secrets() {
            assert!(!shown.contains(&secret), "{}", gateway.name);
        }
        assert!(shown.contains("***"), "{shown}");
    }
}

#[tokio::test]
async fn with_a_token_the_admin_listener_lets_only_probes_in_without_it() {
    let layer = "[admin]\ntoken = { env = \"TEST_ADMIN_TOKEN\" }\n";
    let harness = Harness::builder()
        .layer("mobile-bff", layer)
        .variable("TEST_ADMIN_TOKEN", "a-token-for-operators")
        .start()
        .await;
    for (path, token, status) in [
        ("/livez", None, 200),
        ("/readyz", None, 200),
        ("/metrics", None, 401),
        ("/config", Some("another-token"), 401),
        ("/metrics", Some("a-token-for-operators"), 200),
    ] {
        let mut request = harness.client.get(format!("{}{path}", harness.mobile.admin));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(request.send().await.expect("an answer").status(), status, "{path} {token:?}");
    }
}

#[tokio::test]
async fn metrics_name_the_route_the_refusal_and_the_service() {
    let harness = Harness::start().await;
    harness.mobile_get("/links/x7Kp2").await.bytes().await.expect("a body");
    harness.mobile.get("/links/x7Kp2").send().await.expect("an answer");
    harness.mobile_get("/dashboard").await.bytes().await.expect("a body");
    let metrics = harness.mobile.metrics().await;
    for expected in [
        r#"http_server_request_duration_seconds_count{http_route="links-get",http_response_status_code="200"} 1"#,
        r#"gateway_refusals_total{code="credential_missing"} 1"#,
        r#"http_client_request_duration_seconds_count{service="billing-service",outcome="2xx"} 1"#,
        r#"gateway_aggregate_parts_total{aggregate="dashboard",part="usage",outcome="ok",reason=""} 1"#,
        r#"gateway_rate_limit_decisions_total{limit="consumer",outcome="admitted"} 2"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn how_far_the_clock_is_ahead_of_a_system_that_was_set_back_is_a_metric() {
    let harness = Harness::builder().manual_clock().start().await;
    let ahead = |seconds| [format!("gateway_wall_clock_ahead_seconds {seconds}.0")];
    harness.mobile.metrics_with(&ahead(0)).await;
    // A wrong step, which is put right.
    harness.advance(Duration::from_secs(600));
    harness.set_back(Duration::from_secs(600));
    harness.mobile.metrics_with(&ahead(600)).await;
    harness.advance(Duration::from_secs(590));
    harness.mobile.metrics_with(&ahead(10)).await;
    harness.advance(Duration::from_secs(10));
    harness.mobile.metrics_with(&ahead(0)).await;
}

#[tokio::test]
async fn each_way_a_service_fails_has_its_status_code_line_and_metric() {
    let layer = "[services.link-service]\nresponse_timeout = \"300ms\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for (fault, status, code) in [
        (r#"{"next":1,"hang":true}"#, 504, "upstream_timeout"),
        (r#"{"next":1,"reset":true}"#, 502, "upstream_broken"),
    ] {
        harness.fault(Service::Link, fault);
        let answer = harness.mobile_get("/links/x7Kp2").await;
        assert_eq!(answer.status(), status, "{fault}");
        let problem = json_of(answer).await;
        assert_eq!(problem["code"], code, "{fault}");
        let id = problem["request_id"].as_str().expect("an id").to_owned();
        let line = harness.mobile.line_with(&id).await;
        assert_eq!((&line["code"], &line["status"]), (&json!(code), &json!(status)), "{fault}");
        assert_eq!(line["upstream_service"], "link-service", "{fault}");
        let metrics = harness.mobile.metrics().await;
        for expected in [
            format!("gateway_refusals_total{{code=\"{code}\"}} 1"),
            format!("duration_seconds_count{{service=\"link-service\",outcome=\"{code}\"}} 1"),
        ] {
            assert!(metrics.contains(&expected), "{expected} is missing in\n{metrics}");
        }
    }
    // A failure of the service's own keeps its status, and its words stay inside.
    harness.fault(Service::Link, r#"{"next":1,"status":503}"#);
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 503);
    let problem = json_of(answer).await;
    assert_eq!(problem["code"], "upstream_failed");
    assert!(!problem.to_string().contains("secret-upstream-detail"));
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "and then all is well");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_502_and_leaves_the_gateway_up() {
    let harness = Harness::builder().without(Service::Billing).start().await;
    let answer = harness.mobile_get("/billing/usage").await;
    assert_eq!(answer.status(), 502);
    let problem = json_of(answer).await;
    assert_eq!(problem["code"], "upstream_unreachable");
    let text = problem.to_string();
    assert!(!text.contains("127.0.0.1") && !text.contains("refused"), "{text}");
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
}

#[tokio::test]
async fn a_shutdown_turns_readiness_off_finishes_what_is_in_flight_and_loses_no_line() {
    let harness = Harness::start().await;
    harness.fault(Service::Link, r#"{"next":1,"delay_ms":400}"#);
    let slow = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token).send();
    let slow = tokio::spawn(slow);
    harness.until_called(Service::Link, 0).await;
    let stopping = harness.mobile.stop();
    let seen = async {
        loop {
            let ready = harness.client.get(format!("{}/readyz", harness.mobile.admin)).send().await;
            let ready = ready.expect("the admin listener outlives the drain");
            if ready.status() == 503 {
                return json_of(ready).await;
            }
        }
    };
    let (lines, ready) = tokio::join!(stopping, seen);
    assert_eq!(ready["reasons"][0]["code"], "draining");
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
    assert!(lines.iter().any(|line| line["path"] == "/links/x7Kp2" && line["status"] == 200));
    let refused = harness.mobile.get("/links/x7Kp2").send().await;
    assert!(refused.is_err(), "the listener is closed");
}

#[tokio::test]
async fn a_client_that_leaves_is_written_down_as_such() {
    let harness = Harness::start().await;
    harness.fault(Service::Link, r#"{"next":1,"delay_ms":5000}"#);
    let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    let left = tokio::time::timeout(Duration::from_millis(300), request.send()).await;
    assert!(left.is_err(), "the client gave up");
    assert_eq!(harness.mobile_get("/links?limit=1").await.status(), 200, "others are served");
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    assert_eq!((&line["code"], &line["status"]), (&json!("client_disconnected"), &json!(499)));
}
