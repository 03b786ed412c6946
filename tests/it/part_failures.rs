//! Services that fail, one fault after the other: what the dashboard then is, that it says so, and
//! that no service's words get out.

use serde_json::{Value, json};
use tests::harness::{Harness, field, json_of, part_status};
use tests::platform::Service;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Time enough for a busy machine, and little room for a body without end.
const ROOMY: &str = "[aggregates.dashboard]\ndeadline = \"8s\"\n\
                     [aggregation]\npart_size_max = \"64KiB\"\n";

/// Each with what the report says of it.
const FAULTS: [(&str, &str); 6] = [
    (r#"{"next":9,"status":404}"#, "r=status;status=404"),
    (r#"{"next":9,"status":500}"#, "r=status;status=500"),
    (r#"{"next":9,"status":302,"location":"http://127.0.0.1:1/elsewhere"}"#, "r=redirect"),
    (r#"{"next":9,"garbage":true}"#, "r=unparsable"),
    (r#"{"next":9,"reset":true}"#, "r=reset"),
    (r#"{"next":9,"endless":true}"#, "r=too_large"),
];

/// Faults that only a deadline ends.
const SLOW_FAULTS: [&str; 2] = [r#"{"next":9,"hang":true}"#, r#"{"next":9,"delay_ms":20000}"#];

/// The dashboard while webhook-service (null instead) and billing-service (a fallback) fail.
async fn check_optional(harness: &Harness, fault: &str, reason: &str) {
    harness.fault(Service::Webhook, fault);
    harness.fault(Service::Billing, fault);
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200, "{fault}");
    assert_eq!(part_status(&answer, "hooks"), format!("o=failed;{reason}"), "{fault}");
    assert_eq!(part_status(&answer, "usage"), format!("o=fallback;{reason}"), "{fault}");
    assert_eq!(part_status(&answer, "links"), "o=ok", "{fault}");
    assert_eq!(field(&answer, "cache-control"), "no-store", "{fault}");
    assert!(!answer.headers().contains_key("etag"), "{fault}");
    let said = format!("{:?}", answer.headers());
    let dashboard = json_of(answer).await;
    assert_eq!(dashboard["hooks"], Value::Null, "{fault}");
    assert_eq!(dashboard["usage"], json!({ "plan": "unknown" }), "{fault}");
    check_words(&(said + &dashboard.to_string()));
    harness.heal(Service::Webhook);
    harness.heal(Service::Billing);
}

fn check_words(said: &str) {
    for words in ["secret-upstream-detail", "elsewhere", "127.0.0.1", "<<<"] {
        assert!(!said.contains(words), "{words} in {said}");
    }
}

#[tokio::test]
async fn each_fault_costs_an_optional_part_its_value_and_is_named() {
    let harness = Harness::builder().layer("web-bff", ROOMY).start().await;
    for (fault, reason) in FAULTS {
        check_optional(&harness, fault, reason).await;
    }
    let whole = harness.web_get("/api/dashboard").await;
    assert_eq!(part_status(&whole, "usage"), "o=ok", "no failure was kept");
    assert!(whole.headers().contains_key("etag"));
}

#[tokio::test]
async fn a_fault_that_takes_too_long_costs_an_optional_part_its_value_at_its_deadline() {
    let layer = "[aggregates.dashboard]\ndeadline = \"8s\"\n\
                 [aggregates.dashboard.parts]\nhooks = { deadline = \"60ms\" }\n\
                 usage = { deadline = \"60ms\" }\n";
    let harness = Harness::builder().layer("web-bff", layer).start().await;
    for (calls, fault) in (1..).zip(SLOW_FAULTS) {
        check_optional(&harness, fault, "r=timeout").await;
        harness.until_given_up(Service::Webhook, calls).await;
        harness.until_given_up(Service::Billing, calls).await;
    }
}

#[tokio::test]
async fn a_service_that_answers_slower_than_the_answers_deadline_costs_its_part_only() {
    let harness = Harness::start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"delay_ms":20000}"#);
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(part_status(&answer, "hooks"), "o=failed;r=timeout");
    assert_eq!(json_of(answer).await["hooks"], Value::Null);
    harness.until_given_up(Service::Webhook, 1).await;
}

#[tokio::test]
async fn each_fault_of_a_required_part_has_its_status_and_its_code() {
    let harness = Harness::builder().layer("mobile-bff", ROOMY).start().await;
    let refusals = [("401", 401, "part_unauthorized"), ("403", 403, "part_forbidden")];
    let refusals = refusals.into_iter().chain([("429", 429, "part_rate_limited")]);
    let refusals = refusals.map(|(status, expected, code)| {
        (format!("{{\"next\":9,\"status\":{status}}}"), expected, code)
    });
    let faults = FAULTS.into_iter().map(|(fault, reason)| match reason {
        "r=status;status=404" => (fault.to_owned(), 404, "part_not_found"),
        _ => (fault.to_owned(), 502, "part_failed"),
    });
    for (fault, status, code) in refusals.chain(faults) {
        harness.fault(Service::User, &fault);
        check_required(&harness, &fault, status, code).await;
        harness.heal(Service::User);
    }
    assert_eq!(harness.mobile_get("/dashboard").await.status(), 200, "and then all is well");
}

#[tokio::test]
async fn a_required_part_that_takes_too_long_is_a_504() {
    let layer = "[aggregates.dashboard.parts.profile]\ndeadline = \"60ms\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for fault in SLOW_FAULTS {
        harness.fault(Service::User, fault);
        check_required(&harness, fault, 504, "part_timeout").await;
        harness.heal(Service::User);
    }
}

async fn check_required(harness: &Harness, fault: &str, status: u16, code: &str) {
    let answer = harness.mobile_get("/dashboard").await;
    assert_eq!(answer.status(), status, "{fault}");
    assert_eq!(field(&answer, "cache-control"), "no-store", "{fault}");
    assert!(!answer.headers().contains_key("location"), "{fault}");
    let said = format!("{:?}", answer.headers());
    let problem = json_of(answer).await;
    assert_eq!((&problem["code"], &problem["part"]), (&json!(code), &json!("profile")), "{fault}");
    check_words(&(said + &problem.to_string()));
    let line = harness.mobile.line_with(problem["request_id"].as_str().expect("an id")).await;
    assert_eq!((&line["code"], &line["status"]), (&json!(code), &json!(status)), "{fault}");
}

#[tokio::test]
async fn a_body_without_end_is_given_up_soon_after_its_cap() {
    let harness = Harness::builder().layer("web-bff", ROOMY).start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"endless":true}"#);
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(part_status(&answer, "hooks"), "o=failed;r=too_large");
    harness.until_given_up(Service::Webhook, 1).await;
    // The cap is 64 KiB; the rest fits into the buffers of the two sockets.
    let sent = harness.bytes_sent(Service::Webhook);
    assert!(sent < 24 * 1024 * 1024, "{sent} bytes");
}

#[tokio::test]
async fn a_client_that_leaves_gives_every_call_up() {
    let layer = "[aggregates.dashboard]\ndeadline = \"9s\"\n";
    let harness = Harness::builder().layer("web-bff", layer).start().await;
    let before = Service::ALL.map(|service| harness.calls(service));
    for service in Service::ALL {
        harness.fault(service, r#"{"next":1,"hang":true}"#);
    }
    let host = harness.web.url.strip_prefix("http://").expect("http");
    let mut client = TcpStream::connect(host).await.expect("connected");
    let cookie = harness.cookie();
    let head = format!(
        "GET /api/dashboard HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nX-CSRF: 1\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    for (service, before) in Service::ALL.into_iter().zip(before) {
        harness.until_called(service, before).await;
        assert_eq!(harness.given_up(service), 0, "{service:?}");
    }
    drop(client);
    for service in Service::ALL {
        harness.until_given_up(service, 1).await;
    }
    let line = harness.web.line_of("/api/dashboard").await;
    assert_eq!((&line["code"], &line["status"]), (&json!("client_disconnected"), &json!(499)));
    let calls = Service::ALL.map(|service| harness.calls(service)).iter().sum::<usize>();
    assert_eq!(line["attempts"], json!(calls - before.iter().sum::<usize>()), "{line}");
    assert_eq!(harness.calls_of(Service::Analytics, "/links"), 0, "nothing was begun after that");
}

#[tokio::test]
async fn a_required_part_that_fails_gives_the_other_calls_up() {
    let layer = "[aggregates.dashboard]\ndeadline = \"9s\"\n";
    let harness = Harness::builder().layer("web-bff", layer).start().await;
    harness.fault(Service::User, r#"{"next":1,"hold":true,"status":500}"#);
    for service in [Service::Link, Service::Billing, Service::Webhook] {
        harness.fault(service, r#"{"next":1,"hang":true}"#);
    }
    let release = async {
        for service in [Service::Link, Service::Billing, Service::Webhook] {
            harness.until_called(service, 0).await;
        }
        harness.release(Service::User);
    };
    let (answer, ()) = tokio::join!(harness.web_get("/api/dashboard"), release);
    assert_eq!(answer.status(), 502);
    for service in [Service::Link, Service::Billing, Service::Webhook] {
        harness.until_given_up(service, 1).await;
    }
}

#[tokio::test]
async fn without_billing_the_usage_is_its_fallback_and_the_report_says_so() {
    let harness = Harness::builder().without(Service::Billing).start().await;
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "cache-control"), "no-store");
    assert_eq!(part_status(&answer, "usage"), "o=fallback;r=refused");
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
    assert!(dashboard["links"]["items"][0]["owner"]["name"].is_string());
    let line = harness.web.line_of("/api/dashboard").await;
    assert_eq!(line["completeness"], json!(0.714), "two parts of seven");
}

#[tokio::test]
async fn without_links_what_stands_in_them_is_not_called_for() {
    let harness = Harness::builder().without(Service::Link).start().await;
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    for part in ["clicks", "owners"] {
        assert_eq!(part_status(&answer, part), "o=skipped;r=missing_input");
    }
    assert_eq!(json_of(answer).await["links"], Value::Null);
    assert_eq!(harness.calls_of(Service::Analytics, "/links"), 0);
}
