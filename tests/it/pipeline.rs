//! The order of the pipeline's steps, as requests take them.

use gateway_core::command::{Gateway, Kit};
use gateway_core::endpoint::Endpoints;
use serde_json::json;
use shared_config::Diagnostics;
use tests::harness::{GatewayUnderTest, Harness, JsonBody as _, Request, json_of};

/// Sends a request and compares the numbers of the steps it took (ARCHITECTURE.md).
async fn check(gateway: &GatewayUnderTest, request: Request, status: u16, steps: &[u32]) {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), status);
    assert_eq!(gateway.last_steps().as_deref(), Some(steps), "{status}");
}

#[tokio::test]
async fn a_request_takes_the_steps_in_their_order_and_a_refusal_skips_to_the_answer() {
    let layer = "[limits.links-write]\nrate = \"1/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let mobile = &harness.mobile;
    let all = [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13];
    let known = |path| mobile.get(path).bearer_auth(&harness.token);
    check(mobile, known("/links/x7Kp2"), 200, &all).await;
    check(mobile, known("/dashboard"), 200, &all).await;
    check(mobile, known("/devices/push-tokens"), 200, &all).await;
    check(mobile, known("/links/x;y"), 400, &[2, 3, 13]).await;
    check(mobile, known("/nothing"), 404, &[2, 3, 4, 5, 13]).await;
    check(mobile, mobile.get("/links"), 401, &[2, 3, 4, 5, 6, 13]).await;
    let create = || {
        let request = mobile.post("/links").bearer_auth(&harness.token);
        request.json_body(&json!({ "target_url": "https://example.com/" }))
    };
    check(mobile, create(), 201, &all).await;
    check(mobile, create(), 429, &[2, 3, 4, 5, 6, 7, 8, 13]).await;
    let preflight = harness.web.request("OPTIONS", "/api/links");
    let preflight = preflight.header("Origin", "http://localhost:5173");
    let preflight = preflight.header("Access-Control-Request-Method", "GET");
    check(&harness.web, preflight, 204, &[2, 3, 4, 13]).await;
}

/// A gateway with an endpoint that panics.
struct Panicking;

impl Gateway for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn endpoints(&self, _: &Kit<'_>) -> Result<Endpoints, Diagnostics> {
        let panics = || async {
            if true {
                panic!("as the test wants");
            }
        };
        Ok(Endpoints::new().handler("panic", panics).handler("work", || async { "works" }))
    }
}

const PANICKING: &str = r#"
[gateway]
name = "panicking"
[limits.all]
key = "address"
rate = "1000/s"
[policy]
limits = ["all"]
[routes.panic]
match = "GET /panic"
local = "panic"
public = "a test"
[routes.work]
match = "GET /work"
local = "work"
public = "a test"
"#;

#[tokio::test]
async fn a_panic_in_one_request_is_that_requests_500_and_nobody_elses() {
    let gateway = GatewayUnderTest::of_text(&Panicking, PANICKING);
    let answer = gateway.get("/panic").send().await.expect("an answer");
    assert_eq!(answer.status(), 500);
    let problem = json_of(answer).await;
    assert_eq!(problem["code"], "internal_error");
    assert!(!problem.to_string().contains("as the test wants"));
    let line = gateway.line_with(problem["request_id"].as_str().expect("an id")).await;
    assert_eq!((&line["status"], &line["code"]), (&json!(500), &json!("internal_error")));
    assert_eq!(gateway.get("/work").send().await.expect("an answer").status(), 200);
    assert!(gateway.metrics().await.contains("gateway_panics_total 1"));
}
