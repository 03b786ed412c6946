//! Limits over HTTP: who shares a bucket, what a refusal costs, what is reported.

use std::time::Duration;

use serde_json::json;
use tests::harness::{Harness, JsonBody as _, Origin, json_of};
use tests::platform::Service;

#[tokio::test]
async fn a_refused_request_costs_nothing_and_who_waits_as_told_is_admitted() {
    let layer = "[limits.links-read]\nrate = \"2/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    for _ in 0..2 {
        assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
    }
    for _ in 0..5 {
        let refused = harness.mobile_get("/links/x7Kp2").await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "30");
    }
    harness.advance(Duration::from_secs(29));
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 429);
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
}

#[tokio::test]
async fn the_same_limit_on_several_routes_is_one_bucket() {
    let layer = "[limits.links-write]\nrate = \"1/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    let body = json!({ "title": "A new title" });
    let patch = harness.mobile.request("PATCH", "/links/x7Kp2").bearer_auth(&harness.token);
    assert_eq!(patch.json_body(&body).send().await.expect("an answer").status(), 200);
    let create = harness.mobile.post("/links").bearer_auth(&harness.token);
    let body = json!({ "target_url": "https://example.com/" });
    assert_eq!(create.json_body(&body).send().await.expect("an answer").status(), 429);
}

#[tokio::test]
async fn when_one_of_several_limits_refuses_the_others_lose_nothing() {
    let layer = "[limits.links-write]\nrate = \"1/min\"\n[limits.consumer]\nrate = \"5/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    let body = json!({ "target_url": "https://example.com/" });
    let create = || harness.mobile.post("/links").bearer_auth(&harness.token).json_body(&body);
    assert_eq!(create().send().await.expect("an answer").status(), 201);
    for _ in 0..10 {
        assert_eq!(create().send().await.expect("an answer").status(), 429);
    }
    for _ in 0..4 {
        assert_eq!(harness.mobile_get("/links?limit=1").await.status(), 200);
    }
    assert_eq!(harness.mobile_get("/links?limit=1").await.status(), 429);
}

#[tokio::test]
async fn a_consumers_limit_counts_from_when_it_is_asked_however_long_a_request_has_waited() {
    let policy = Origin::start().await;
    let section = format!("[services.policy-service]\nurl = \"{}\"\n", policy.url());
    let layer = "[limits.links-read]\nrate = \"1/s\"\n[services.link-service]\n\
                 decide = { call = \"POST policy-service:/decide\", deadline = \"5s\" }\n\
                 [views.dashboard]\nundecided = \"a test\"\n";
    let builder = Harness::builder().platform_layer(&section).layer("mobile-bff", layer);
    let harness = builder.manual_clock().start().await;
    // Both arrive at one instant, and the second waits a second for its decision.
    for (waits_s, expected) in [(0, 200), (1, 200), (0, 429)] {
        let decide = async {
            let mut service = policy.accept().await;
            service.head().await;
            harness.advance(Duration::from_secs(waits_s));
            let answer = "{\"allow\":true}";
            let length = answer.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}");
            service.say(format!("{head}\r\nContent-Type: application/json\r\n\r\n{answer}")).await;
        };
        let (answer, ()) = tokio::join!(harness.mobile_get("/links/x7Kp2"), decide);
        assert_eq!(answer.status(), expected, "after {waits_s} s");
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_pays_the_address_limit_all_the_same() {
    let layer = "[limits.address]\nrate = \"3/min\"\n";
    let harness = Harness::builder().layer("partner-gateway", layer).start().await;
    let mut statuses = Vec::new();
    for path in ["/nothing", "/nothing", "/nothing", "/nothing", "/v1/links"] {
        statuses.push(harness.partner_get(path, "pro").await.status().as_u16());
    }
    assert_eq!(statuses, [404, 404, 404, 429, 429]);
}

#[tokio::test]
async fn an_unidentified_request_is_refused_before_it_costs_a_consumer_anything() {
    let layer = "[limits.consumer]\nrate = \"2/min\"\n";
    let harness = Harness::builder().layer("partner-gateway", layer).start().await;
    for _ in 0..5 {
        let answer = harness.partner.get("/v1/links").send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert!(!answer.headers().contains_key("ratelimit-policy"));
    }
    assert_eq!(harness.partner_get("/v1/links?limit=1", "pro").await.status(), 200);
}

#[tokio::test]
async fn an_anonymous_address_has_ten_a_minute() {
    let layer = "[limits.login]\nrate = \"1000/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    let body = json!({ "email": "nobody@example.com", "password": "wrong" });
    let mut statuses = Vec::new();
    // The harness has logged in once.
    for _ in 0..10 {
        let answer = harness.mobile.post("/auth/login").json_body(&body).send().await;
        statuses.push(answer.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [[401; 9].as_slice(), &[429]].concat());
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "the identified go on");
}

#[tokio::test]
async fn the_answer_says_what_is_left_of_the_tightest_limit() {
    let harness = Harness::builder().manual_clock().start().await;
    let body = json!({ "target_url": "https://example.com/" });
    let create = harness.mobile.post("/links").bearer_auth(&harness.token).json_body(&body);
    let answer = create.send().await.expect("an answer");
    assert_eq!(answer.headers()["ratelimit"], r#""links-write";r=19;t=3"#);
}

#[tokio::test]
async fn a_thousand_requests_at_once_on_a_limit_of_a_hundred_admit_exactly_a_hundred() {
    // A thousand connections are open before the first of them is asked anything: on a busy machine that
    // takes longer than a client usually has.
    let layer = "[server]\nhead_timeout = \"5m\"\n[limits.consumer]\nrate = \"100/min\"\n\
                 [limits.links-read]\nrate = \"10000/min\"\n";
    let harness = Harness::builder().layer("partner-gateway", layer).manual_clock().start().await;
    let calls = (0..1_000).map(|_| harness.partner_get("/v1/links?limit=1", "pro"));
    let answers = futures::future::join_all(calls).await;
    let admitted = answers.iter().filter(|answer| answer.status() == 200).count();
    let refused = answers.iter().filter(|answer| answer.status() == 429).count();
    assert_eq!((admitted, refused), (100, 900));
    assert_eq!(harness.calls(Service::Link), 100);
}

#[tokio::test]
async fn a_services_limits_hold_on_all_its_routes_beside_the_platforms() {
    let layer = "[limits.of-links]\nkey = \"consumer\"\nrate = \"2/min\"\n\
                 [services.link-service]\nlimits = [\"of-links\"]\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
    assert_eq!(harness.mobile_get("/links?limit=1").await.status(), 200);
    let refused = harness.mobile_get("/v2/links").await;
    assert_eq!(json_of(refused).await["violated-policies"], json!(["of-links"]));
    assert_eq!(harness.mobile_get("/billing/usage").await.status(), 200, "another service");
}

#[tokio::test]
async fn a_limit_may_give_each_route_a_bucket_of_its_own() {
    let layer = "[limits.links-write]\nrate = \"1/min\"\nscope = \"route\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    let patch = || {
        let request = harness.mobile.request("PATCH", "/links/x7Kp2").bearer_auth(&harness.token);
        request.json_body(&json!({ "title": "A new title" })).send()
    };
    assert_eq!(patch().await.expect("an answer").status(), 200);
    assert_eq!(patch().await.expect("an answer").status(), 429);
    let create = harness.mobile.post("/links").bearer_auth(&harness.token);
    let create = create.json_body(&json!({ "target_url": "https://example.com/" }));
    assert_eq!(create.send().await.expect("an answer").status(), 201);
}

#[tokio::test]
async fn a_429_is_the_published_problem() {
    let layer = "[limits.links-read]\nrate = \"1/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    harness.mobile_get("/links/x7Kp2").await;
    let refused = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.headers()["ratelimit"], r#""links-read";r=0;t=60"#);
    let problem = json_of(refused).await;
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], json!(["links-read"]));
    assert_eq!(problem["code"], "rate_limited");
}
