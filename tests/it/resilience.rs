//! Services that fail now and then, services that are down, and more work than there is room for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;
use tests::harness::{Harness, JsonBody as _, field, json_of, part_status};
use tests::platform::Service;

/// Three attempts without a wait, and a budget that no test here uses up.
const RETRIES: &str = "[policy.retry]\nattempts_max = 3\nbackoff_base = \"0ms\"\n\
                       [policy.retry_budget]\npercent = 100\nfloor = \"10/s\"\n";

const UNAVAILABLE: &str = r#"{"next":1,"status":503}"#;

async fn with_retries() -> Harness {
    Harness::builder().layer("mobile-bff", RETRIES).start().await
}

#[tokio::test]
async fn a_service_that_fails_now_and_then_is_hidden_by_retries() {
    let harness = with_retries().await;
    for fault in [UNAVAILABLE, r#"{"next":2,"status":502}"#, r#"{"next":1,"reset":true}"#] {
        let before = harness.calls(Service::Link);
        harness.fault(Service::Link, fault);
        let answer = harness.mobile_get("/links/x7Kp2").await;
        assert_eq!(answer.status(), 200, "{fault}");
        let id = field(&answer, "x-request-id");
        let calls = harness.calls(Service::Link) - before;
        let line = harness.mobile.line_with(&id).await;
        assert_eq!(line["attempts"], json!(calls), "{line}");
        assert!((2..=3).contains(&calls), "{fault}: {calls}");
    }
    let metrics = harness.mobile.metrics().await;
    for expected in [
        // A reused connection that turns out dead is no retry: the service is not known to have
        // seen the request.
        r#"gateway_retries_total{service="link-service",outcome="succeeded"} 2"#,
        r#"gateway_retries_total{service="link-service",outcome="failed"} 1"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn a_retry_has_succeeded_only_with_an_answer_that_is_no_failure() {
    let harness = with_retries().await;
    harness.fault(Service::Link, UNAVAILABLE);
    harness.fault(Service::Link, r#"{"next":1,"status":500}"#);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 500);
    let metrics = harness.mobile.metrics().await;
    let retries = r#"gateway_retries_total{service="link-service",outcome="#;
    assert!(metrics.contains(&format!("{retries}\"failed\"}} 1\n")), "{metrics}");
    assert!(!metrics.contains(&format!("{retries}\"succeeded\"")), "{metrics}");
}

#[tokio::test]
async fn a_retry_that_no_target_takes_is_refused_and_no_success() {
    let layer = format!("{RETRIES}[services.link-service.breaker]\nconsecutive_failures = 1\n");
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    harness.fault(Service::Link, UNAVAILABLE);
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(json_of(answer).await["code"], "upstream_unavailable");
    assert_eq!(harness.calls(Service::Link), 1);
    assert_eq!(harness.mobile.line_of("/links/x7Kp2").await["attempts"], 1);
    let metrics = harness.mobile.metrics().await;
    let expected = r#"gateway_retries_total{service="link-service",outcome="refused"} 1"#;
    assert!(metrics.contains(expected), "{metrics}");
}

#[tokio::test]
async fn what_was_sent_is_written_down_though_the_client_left_before_the_answer() {
    let harness = with_retries().await;
    let before = harness.calls(Service::Link);
    harness.fault(Service::Link, UNAVAILABLE);
    harness.fault(Service::Link, r#"{"next":1,"hang":true}"#);
    let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    let request = tokio::spawn(request.send());
    harness.until_called(Service::Link, before + 1).await;
    request.abort();
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    assert_eq!((&line["status"], &line["attempts"]), (&json!(499), &json!(2)), "{line}");
}

#[tokio::test]
async fn without_retries_a_failure_is_one_attempt() {
    let harness = Harness::start().await;
    harness.fault(Service::Link, UNAVAILABLE);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 503);
    assert_eq!(harness.calls(Service::Link), 1);
}

#[tokio::test]
async fn what_a_service_means_is_not_retried() {
    let harness = with_retries().await;
    for (fault, status) in
        [(r#"{"next":1,"status":500}"#, 500), (r#"{"next":1,"status":404}"#, 404)]
    {
        let before = harness.calls(Service::Link);
        harness.fault(Service::Link, fault);
        assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), status);
        assert_eq!(harness.calls(Service::Link), before + 1, "{fault}");
    }
}

#[tokio::test]
async fn a_service_that_is_down_gets_a_fifth_more_and_no_storm() {
    // The breaker would end it sooner.
    let layer = "[policy.retry]\nattempts_max = 5\nbackoff_base = \"0ms\"\n\
                 [policy.retry_budget]\nfloor = \"1/h\"\n\
                 [upstream.breaker]\nenabled = false\n[upstream.ejection]\nenabled = false\n";
    // Time stands still, so that all of it happens within one window of the budget.
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    harness.fault(Service::Link, r#"{"next":10000,"status":503}"#);
    for _ in 0..50 {
        assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 503);
    }
    assert_eq!(harness.calls(Service::Link), 60, "50 requests, and 20 % of retries");
    let metrics = harness.mobile.metrics().await;
    for expected in [
        r#"gateway_retries_total{service="link-service",outcome="failed"} 10"#,
        // Each of the fifty stopped there, for none had five attempts.
        r#"gateway_retries_total{service="link-service",outcome="budget_exhausted"} 50"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
    }
    harness.advance(Duration::from_secs(20));
    harness.heal(Service::Link);
    harness.fault(Service::Link, UNAVAILABLE);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 503, "one request earns none");
}

#[tokio::test]
async fn a_service_that_nobody_listens_for_is_tried_again_too() {
    let harness =
        Harness::builder().layer("mobile-bff", RETRIES).without(Service::Link).start().await;
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 502);
    assert_eq!(json_of(answer).await["code"], "upstream_unreachable");
    assert_eq!(harness.mobile.line_of("/links/x7Kp2").await["attempts"], 3);
}

#[tokio::test]
async fn a_post_is_repeated_only_with_an_idempotency_key() {
    let harness = with_retries().await;
    let link = json!({ "target_url": "https://example.com/a" });
    for (key, status, calls) in [(None, 503, 1), (Some("k-1"), 201, 2)] {
        let before = harness.calls(Service::Link);
        harness.fault(Service::Link, UNAVAILABLE);
        let mut request = harness.mobile.post("/links").bearer_auth(&harness.token);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.json_body(&link).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{key:?}");
        assert_eq!(harness.calls(Service::Link) - before, calls, "{key:?}");
        assert_eq!(harness.last_request(Service::Link).header("idempotency-key"), key);
    }
}

#[tokio::test]
async fn a_body_is_sent_again_as_far_as_it_may_be_kept() {
    let layer = format!("{RETRIES}[routes.links-create.retry]\nreplay_size_max = \"100B\"\n");
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    for (length, is_created, calls) in [(10, true, 2), (200, false, 1)] {
        let before = harness.calls(Service::Link);
        harness.fault(Service::Link, UNAVAILABLE);
        let path = "x".repeat(length);
        let json = json!({ "target_url": format!("https://example.com/{path}") }).to_string();
        // In pieces, and without saying how long it will be.
        let pieces: Vec<_> = json.as_bytes().chunks(16).map(Bytes::copy_from_slice).collect();
        let frames = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
        let body = reqwest::Body::wrap(StreamBody::new(futures::stream::iter(frames)));
        let request = harness.mobile.post("/links").bearer_auth(&harness.token);
        let request =
            request.header("Idempotency-Key", "k").header("Content-Type", "application/json");
        let answer = request.body(body).send().await.expect("an answer");
        assert_eq!(answer.status() == 201, is_created, "{length}: {}", answer.status());
        assert_eq!(harness.calls(Service::Link) - before, calls, "{length}");
        if is_created {
            let created = json_of(answer).await;
            assert!(created.to_string().contains(&path), "the whole body came: {created}");
        }
    }
}

#[tokio::test]
async fn attempts_end_with_the_deadline() {
    let layer = format!(
        "{RETRIES}[routes.links-get]\ndeadline = \"400ms\"\n\
         [routes.links-get.retry]\nattempts_max = 10\nper_try_timeout = \"90ms\"\n"
    );
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    harness.fault(Service::Link, r#"{"next":1,"hang":true}"#);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "the second is in time");
    harness.fault(Service::Link, r#"{"next":100,"hang":true}"#);
    let before = harness.calls(Service::Link);
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 504);
    assert_eq!(json_of(answer).await["code"], "upstream_timeout");
    let calls = harness.calls(Service::Link) - before;
    assert!((1..=5).contains(&calls), "{calls} attempts of 90 ms in 400 ms");
    let metrics = harness.mobile.metrics().await;
    let expected = r#"gateway_retries_total{service="link-service",outcome="past_deadline"} 1"#;
    assert!(metrics.contains(expected), "{metrics}");
}

#[tokio::test]
async fn parts_are_retried_as_their_services_say_and_a_write_never() {
    let layer = format!(
        "{RETRIES}[aggregates.dashboard]\ndeadline = \"8s\"\n\
         [aggregates.dashboard.parts.seen]\ncall = \"POST webhook-service:/webhooks\"\n\
         [views.dashboard]\nroute = \"POST /dashboard\"\nfields = \"profile(name),links/items(id),usage,seen\"\n\
         [services.user-service.retry]\nattempts_max = 1\n"
    );
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    let post = || harness.mobile.post("/dashboard").bearer_auth(&harness.token).send();
    harness.fault(Service::Billing, UNAVAILABLE);
    harness.fault(Service::Webhook, r#"{"next":9,"status":503}"#);
    let answer = post().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(part_status(&answer, "usage"), "o=ok");
    assert_eq!(part_status(&answer, "seen"), "o=failed;r=status;status=503");
    assert_eq!((harness.calls(Service::Billing), harness.calls(Service::Webhook)), (2, 1));
    let line = harness.mobile.line_with(&field(&answer, "x-request-id")).await;
    assert_eq!(line["attempts"], 5, "profile, links, usage twice, seen");
    harness.fault(Service::User, UNAVAILABLE);
    assert_eq!(post().await.expect("an answer").status(), 502, "this service wants no retries");
}

#[tokio::test]
async fn every_call_says_how_much_time_is_left_and_no_client_does() {
    let layer = "[upstream]\ntime_left_header = \"X-Time-Left-Ms\"\n\
                 [routes.links-get]\ndeadline = \"5s\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    request.header("X-Time-Left-Ms", "999999").send().await.expect("an answer");
    let seen = harness.last_request(Service::Link);
    let fields = seen.headers.iter().filter(|(name, _)| name == "x-time-left-ms");
    let fields: Vec<u64> = fields.map(|(_, value)| value.parse().expect("ms")).collect();
    assert!(matches!(fields[..], [left] if (1..=5_000).contains(&left)), "{fields:?}");
}

#[tokio::test]
async fn a_service_with_too_much_to_do_is_kept_for_people() {
    let layer = "[services.link-service.concurrency]\n\
                 latency_max = \"60s\"\nmin = 4\nmax = 8\nbatch_percent = 50\nspare_percent = 50\n\
                 [routes.links-list]\npriority = \"batch\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    harness.fault(Service::Link, r#"{"next":4,"path":"/links","hold":true}"#);
    let held = async {
        tokio::join!(
            harness.mobile_get("/links"),
            harness.mobile_get("/links"),
            harness.mobile_get("/links"),
            harness.mobile_get("/links"),
        )
    };
    let meanwhile = async {
        harness.until_called(Service::Link, 3).await;
        let refused = harness.mobile_get("/links").await;
        assert_eq!((refused.status().as_u16(), &*field(&refused, "retry-after")), (503, "1"));
        let problem = json_of(refused).await;
        assert_eq!(problem["code"], "upstream_overloaded");
        let line = harness.mobile.line_with(problem["request_id"].as_str().expect("an id")).await;
        assert_eq!((&line["code"], &line["attempts"]), (&json!("upstream_overloaded"), &json!(0)));
        assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "a person is let in");
        // The same answer is smaller before anybody is refused.
        let answer = harness.mobile_get("/dashboard").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(part_status(&answer, "links"), "o=skipped;r=brownout");
        assert_eq!(part_status(&answer, "usage"), "o=ok");
        assert_eq!(field(&answer, "cache-control"), "no-store");
        harness.release(Service::Link);
    };
    let (held, ()) = tokio::join!(held, meanwhile);
    assert!([held.0, held.1, held.2, held.3].iter().all(|answer| answer.status() == 200));
    assert_eq!(harness.mobile_get("/links").await.status(), 200, "there is room again");
    let metrics = harness.mobile.metrics().await;
    for expected in [
        r#"gateway_shed_total{by="concurrency",priority="batch"} 1"#,
        r#"gateway_shed_total{by="concurrency",priority="spare"} 1"#,
        r#"gateway_refusals_total{code="upstream_overloaded"} 1"#,
        r#"gateway_concurrency_limit{service="link-service"} 8"#,
        r#"gateway_aggregate_parts_total{aggregate="dashboard",part="links",outcome="skipped",reason="brownout"} 1"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
    }
}

/// What a path answers when the core has just been held up. On a busy machine the answer may come
/// when it has caught up again; then once more.
async fn when_behind(
    harness: &Harness,
    path: &str,
    is_wanted: impl Fn(&reqwest::Response) -> bool,
) -> reqwest::Response {
    for _ in 0..20 {
        harness.mobile.stall_core(Duration::from_millis(1_100));
        assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "a person is served");
        let answer = harness.mobile_get(path).await;
        if is_wanted(&answer) {
            return answer;
        }
    }
    panic!("{path}: the core is never behind");
}

#[tokio::test]
async fn a_core_that_is_behind_answers_less_then_refuses_batch_and_serves_people() {
    let layer = "[server]\nlag_max = \"200ms\"\n[routes.links-list]\npriority = \"batch\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    assert_eq!(harness.mobile_get("/links").await.status(), 200);
    let refused = when_behind(&harness, "/links", |answer| answer.status() == 503).await;
    assert_eq!(field(&refused, "retry-after"), "1");
    let problem = json_of(refused).await;
    assert_eq!(problem["code"], "gateway_overloaded");
    let line = harness.mobile.line_with(problem["request_id"].as_str().expect("an id")).await;
    assert_eq!((&line["attempts"], &line["upstream_service"]), (&json!(0), &json!(null)));
    let is_smaller = |answer: &reqwest::Response| part_status(answer, "hooks") != "o=ok";
    let answer = when_behind(&harness, "/dashboard", is_smaller).await;
    assert_eq!(answer.status(), 200, "a person is served");
    assert_eq!(part_status(&answer, "profile"), "o=ok");
    assert_eq!(part_status(&answer, "hooks"), "o=skipped;r=brownout");
    assert_eq!(part_status(&answer, "links"), "o=skipped;r=brownout");
    let live = harness.client.get(format!("{}/livez", harness.mobile.admin)).send().await;
    assert_eq!(live.expect("an answer").status(), 200, "operators always are");
    let let_in = async { while harness.mobile_get("/links").await.status() != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), let_in).await.expect("it recovers");
    let metrics = harness.mobile.metrics().await;
    for expected in [
        r#"gateway_shed_total{by="lag",priority="batch"}"#,
        r#"gateway_shed_total{by="lag",priority="spare"}"#,
        r#"gateway_refusals_total{code="gateway_overloaded"}"#,
        r#"gateway_event_loop_lag_seconds{core="0"}"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn a_partner_of_a_lower_tier_makes_room_for_the_others() {
    let layer = "[gateway.tier_priority]\nfree = \"batch\"\n\
                 [services.link-service.concurrency]\n\
                 latency_max = \"60s\"\nmin = 4\nmax = 8\nbatch_percent = 50\nspare_percent = 50\n";
    let harness = Harness::builder().layer("partner-gateway", layer).start().await;
    harness.fault(Service::Link, r#"{"next":4,"path":"/links","hold":true}"#);
    let held = async {
        let get = || harness.partner_get("/v1/links", "pro");
        tokio::join!(get(), get(), get(), get())
    };
    let meanwhile = async {
        harness.until_called(Service::Link, 3).await;
        let refused = harness.partner_get("/v1/links/x7Kp2", "free").await;
        assert_eq!(json_of(refused).await["code"], "upstream_overloaded");
        let let_in = harness.partner_get("/v1/links/x7Kp2", "pro").await;
        assert_ne!(let_in.status(), 503);
        harness.release(Service::Link);
    };
    tokio::join!(held, meanwhile);
}
