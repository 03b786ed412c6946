//! What a request leaves behind at a collector of spans, and what it does not.

use tests::harness::{Collector, CollectorRefusal, Harness, ReceivedSpan};
use tests::platform::Service;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// How long spans wait for others where a test waits for them.
const AT_ONCE: &str = "10ms";

async fn harness(collector: &Collector, more: &str) -> Harness {
    Harness::builder().layer("mobile-bff", &collector.layer(AT_ONCE, more)).start().await
}

/// `GET` as user 4821's app, within a trace.
async fn get(harness: &Harness, path: &str, fields: &[(&str, &str)]) -> reqwest::Response {
    let mut request = harness.mobile.get(path).bearer_auth(&harness.token);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

#[track_caller]
fn named<'a>(spans: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    let mut found = spans.iter().filter(|span| span.name == name);
    let only = found.next().unwrap_or_else(|| panic!("no span `{name}`: {spans:#?}"));
    assert!(found.next().is_none(), "one span `{name}`: {spans:#?}");
    only
}

/// The span that a service has seen as its parent, and the flags.
fn seen(harness: &Harness, service: Service) -> (String, String) {
    let request = harness.last_request(service);
    let parent = request.header("traceparent").expect("always one").to_owned();
    assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
    (parent[36..52].to_owned(), parent[53..].to_owned())
}

#[tokio::test]
async fn a_recorded_request_leaves_a_span_for_itself_for_its_call_and_for_the_attempt() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    let sent = parent("00");
    let fields = [("traceparent", sent.as_str()), ("tracestate", "rojo=1, congo=2")];
    let answer = get(&harness, "/links/x7Kp2?token=in-the-query", &fields).await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body");
    let spans = collector.trace(TRACE, 4).await;
    let request = named(&spans, "GET /links/{id}");
    assert_eq!((request.kind, request.parent.as_str(), request.flags), (2, SPAN, 0x301));
    assert_eq!(request.state, "rojo=1,congo=2");
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/links/{id}"),
        ("http.response.status_code", "200"),
        ("url.path", "/links/x7Kp2"),
        ("network.protocol.version", "1.1"),
        ("gateway.route", "links-get"),
        ("gateway.attempts", "1"),
        ("gateway.request_id", line["request_id"].as_str().expect("an id")),
        ("error.type", ""),
    ] {
        assert_eq!(request.attribute(key), value, "{key}");
    }
    assert_eq!(line["trace_id"], TRACE);
    let (identify, call) = (named(&spans, "identify"), named(&spans, "call link-service"));
    assert_eq!((&identify.parent, &call.parent), (&request.id, &request.id));
    assert_eq!((call.kind, call.attribute("gateway.service")), (1, "link-service"));
    let attempt = named(&spans, "GET");
    assert_eq!((attempt.kind, &attempt.parent, attempt.flags), (3, &call.id, 0x101));
    let url = harness.service_url(Service::Link);
    let port = url.rsplit(':').next().expect("a port");
    for (key, value) in [
        ("server.address", "127.0.0.1"),
        ("server.port", port),
        ("http.response.status_code", "200"),
        ("http.request.resend_count", ""),
    ] {
        assert_eq!(attempt.attribute(key), value, "{key}");
    }
    assert!(attempt.attribute("url.full").starts_with(&url), "{attempt:?}");
    assert!(!attempt.attribute("url.full").contains('?'), "{attempt:?}");
    assert_eq!(seen(&harness, Service::Link), (attempt.id.clone(), "01".to_owned()));
    assert!(spans.iter().all(|span| !span.has_failed && span.started <= span.ended));
    assert!(request.started <= call.started && attempt.ended <= request.ended);
    assert_eq!(collector.resource()["service.name"], "mobile-bff");
}

#[tokio::test]
async fn a_failure_stands_at_every_span_that_it_has_failed() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    harness.fault(Service::Link, r#"{ "next": 1, "status": 503 }"#);
    assert_eq!(
        get(&harness, "/links/x7Kp2", &[("traceparent", &parent("00"))]).await.status(),
        503
    );
    let spans = collector.trace(TRACE, 4).await;
    for (name, error) in [
        ("GET /links/{id}", "upstream_failed"),
        ("call link-service", "503"),
        ("GET", "503"),
        ("identify", ""),
    ] {
        let span = named(&spans, name);
        assert_eq!((span.attribute("error.type"), span.has_failed), (error, !error.is_empty()));
    }
}

#[tokio::test]
async fn a_client_that_is_refused_has_failed_and_not_the_gateway() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    let request = harness.mobile.get("/links/x7Kp2").header("traceparent", parent("00"));
    assert_eq!(request.send().await.expect("an answer").status(), 401);
    let spans = collector.trace(TRACE, 2).await;
    let request = named(&spans, "GET /links/{id}");
    assert_eq!(
        (request.has_failed, request.attribute("gateway.code")),
        (false, "credential_missing")
    );
    let identify = named(&spans, "identify");
    assert_eq!(identify.attribute("error.type"), "credential_missing");
}

#[tokio::test]
async fn a_request_that_was_sent_again_over_another_connection_says_so() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    get(&harness, "/links/x7Kp2", &[]).await.bytes().await.expect("a body");
    // From now on its connection is one that is used again.
    harness.mobile.line_of("/links/x7Kp2").await;
    harness.fault(Service::Link, r#"{ "next": 1, "reset": true }"#);
    let answer = get(&harness, "/links/x7Kp2", &[("traceparent", &parent("00"))]).await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body");
    let spans = collector.trace(TRACE, 4).await;
    let attempt = named(&spans, "GET");
    assert_eq!((attempt.attribute("gateway.replays"), attempt.has_failed), ("1", false));
    assert_eq!(named(&spans, "GET /links/{id}").attribute("gateway.attempts"), "2");
}

#[tokio::test]
async fn each_attempt_of_a_retry_has_a_span_of_its_own() {
    let collector = Collector::start().await;
    let retry = "[policy.retry]\nattempts_max = 3\nbackoff_base = \"0ms\"\n\
                 [policy.retry_budget]\nfloor = \"10/s\"\n";
    let layer = format!("{}\n{retry}", collector.layer(AT_ONCE, "ratio = 1"));
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    harness.fault(Service::Link, r#"{ "next": 2, "status": 503 }"#);
    let answer = get(&harness, "/links/x7Kp2", &[("traceparent", &parent("00"))]).await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body");
    let spans = collector.trace(TRACE, 6).await;
    let call = named(&spans, "call link-service");
    assert_eq!((call.has_failed, call.attribute("error.type")), (false, ""));
    let mut attempts: Vec<_> = spans.iter().filter(|span| span.name == "GET").collect();
    attempts.sort_by_key(|attempt| attempt.started);
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            assert_eq!(attempt.parent, call.id);
            let told = ["http.request.resend_count", "http.response.status_code"];
            told.map(|key| attempt.attribute(key))
        })
        .collect();
    assert_eq!(told, [["", "503"], ["1", "503"], ["2", "200"]]);
    // The service is told of the attempt that it answers, and of no other.
    assert_eq!(seen(&harness, Service::Link).0, attempts[2].id);
}

#[tokio::test]
async fn what_a_client_did_not_wait_for_was_given_up_and_has_not_failed() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    harness.fault(Service::Link, r#"{ "next": 1, "hold": true }"#);
    let before = harness.calls(Service::Link);
    let sent = parent("00");
    let fields = [("traceparent", sent.as_str())];
    tokio::select! {
        _ = get(&harness, "/links/x7Kp2", &fields) => panic!("nothing answers"),
        () = harness.until_called(Service::Link, before) => {}
    }
    let spans = collector.trace(TRACE, 4).await;
    for (name, error) in [("call link-service", "cancelled"), ("GET", "cancelled")] {
        assert_eq!(named(&spans, name).attribute("error.type"), error);
    }
    let request = named(&spans, "GET /links/{id}");
    assert_eq!(
        (request.attribute("gateway.code"), request.has_failed),
        ("client_disconnected", false)
    );
}

#[tokio::test]
async fn an_aggregate_leaves_a_span_for_each_part_and_its_attempt() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    harness.fault(Service::Billing, r#"{ "next": 9, "status": 500 }"#);
    let answer = get(&harness, "/dashboard", &[("traceparent", &parent("00"))]).await;
    answer.bytes().await.expect("a body");
    let line = harness.mobile.line_of("/dashboard").await;
    let attempts = usize::try_from(line["attempts"].as_u64().expect("a number")).expect("few");
    let spans = collector.trace(TRACE, 2 + 2 * attempts).await;
    let request = named(&spans, "GET /dashboard");
    assert_eq!(request.attribute("gateway.attempts"), attempts.to_string());
    let parts: Vec<_> = spans.iter().filter(|span| span.name.starts_with("part ")).collect();
    assert_eq!(parts.len(), attempts);
    for part in &parts {
        assert_eq!((&part.parent, part.kind), (&request.id, 1), "{part:?}");
        let mut within = spans.iter().filter(|span| span.parent == part.id);
        let (attempt, none) = (within.next().expect("an attempt"), within.next());
        assert!(attempt.kind == 3 && none.is_none(), "{attempt:?} {none:?}");
        assert!(part.started <= attempt.started && attempt.ended <= part.ended);
        assert_eq!(part.attribute("gateway.part"), &part.name[5..]);
        let is_billing = part.attribute("gateway.service") == "billing-service";
        let error = if is_billing { "500" } else { "" };
        assert_eq!(part.attribute("error.type"), error, "{part:?}");
        assert_eq!(attempt.attribute("error.type"), error, "{attempt:?}");
    }
    for service in [Service::Link, Service::User, Service::Billing] {
        let (id, flags) = seen(&harness, service);
        let attempt = spans.iter().find(|span| span.id == id).expect("the service's parent");
        assert_eq!((attempt.kind, flags.as_str()), (3, "01"));
    }
}

#[tokio::test]
async fn a_kept_part_leaves_a_span_without_an_attempt() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 1").await;
    // The sample keeps a user's usage for half a minute.
    get(&harness, "/dashboard", &[]).await.bytes().await.expect("a body");
    let answer = get(&harness, "/dashboard", &[("traceparent", &parent("00"))]).await;
    answer.bytes().await.expect("a body");
    let attempts = harness.mobile.line(|line| line["trace_id"] == TRACE).await["attempts"].as_u64();
    let attempts = usize::try_from(attempts.expect("a number")).expect("few");
    let spans = collector.trace(TRACE, 3 + 2 * attempts).await;
    let kept = named(&spans, "part usage");
    assert_eq!((kept.attribute("gateway.cache"), kept.has_failed), ("hit", false));
    assert!(spans.iter().all(|span| span.parent != kept.id));
}

#[tokio::test]
async fn what_nobody_has_sampled_leaves_nothing_and_services_are_told_so() {
    let collector = Collector::start().await;
    let harness = harness(&collector, "ratio = 0").await;
    let client_wants_it = parent("03");
    let fields = [("traceparent", client_wants_it.as_str()), ("baggage", "tenant=other")];
    assert_eq!(get(&harness, "/links/x7Kp2", &fields).await.status(), 200);
    let (id, flags) = seen(&harness, Service::Link);
    assert_ne!(id, SPAN);
    assert_eq!(flags, "02", "random it is, but not sampled");
    assert_eq!(harness.last_request(Service::Link).header("baggage"), None);
    get(&harness, "/dashboard", &fields).await.bytes().await.expect("a body");
    assert_eq!(seen(&harness, Service::Billing).1, "02");
    harness.mobile.stop().await;
    assert!(collector.exports().is_empty(), "not even an empty export");
}

#[tokio::test]
async fn a_listed_proxy_decides_and_its_baggage_passes_on() {
    let collector = Collector::start().await;
    let layer =
        collector.layer(AT_ONCE, "ratio = 0") + "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    let sampled = parent("01");
    let fields = [("traceparent", sampled.as_str()), ("baggage", "tenant=acme")];
    assert_eq!(get(&harness, "/links/x7Kp2", &fields).await.status(), 200);
    assert_eq!(harness.last_request(Service::Link).header("baggage"), Some("tenant=acme"));
    let spans = collector.trace(TRACE, 4).await;
    assert_eq!(named(&spans, "GET /links/{id}").parent, SPAN);
    get(&harness, "/dashboard", &fields).await.bytes().await.expect("a body");
    assert_eq!(harness.last_request(Service::Billing).header("baggage"), Some("tenant=acme"));
}

#[tokio::test]
async fn no_credential_leaves_with_a_span_and_the_collectors_own_is_sent() {
    let collector = Collector::start().await;
    let layer = collector.layer(
        AT_ONCE,
        "ratio = 1\nheaders = { Authorization = { env = \"OTLP_AUTHORIZATION\" } }\n\
         attributes = { \"deployment.environment.name\" = \"test\" }",
    );
    let secret = "Bearer a-credential-of-the-collector";
    let harness = Harness::builder()
        .layer("mobile-bff", &layer)
        .layer("web-bff", &collector.layer(AT_ONCE, "ratio = 1"))
        .variable("OTLP_AUTHORIZATION", secret)
        .start()
        .await;
    get(&harness, "/links/x7Kp2?access_token=in-the-query", &[]).await;
    harness.web_get("/dashboard").await.bytes().await.expect("a body");
    let page = harness.client.get(format!("{}/config", harness.mobile.admin)).send().await;
    let page = page.expect("an answer").text().await.expect("a body");
    assert!(page.contains("[traces]") && !page.contains(secret), "{page}");
    harness.mobile.stop().await;
    harness.web.stop().await;
    let is_authorized =
        |head: &http::HeaderMap| head.get("authorization").is_some_and(|value| value == secret);
    assert!(collector.exports().iter().any(|(head, _)| is_authorized(head)));
    let mut known = harness.secrets();
    known.extend([harness.token.clone(), harness.session.clone(), "in-the-query".to_owned()]);
    known.extend([tests::platform::user::DEMO_PASSWORD.to_owned(), secret.to_owned()]);
    for (_, body) in collector.exports() {
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(!known.iter().any(|secret| text.contains(secret)), "a secret in {text}");
        assert_eq!(tests::verify::find_secret(&text), None);
    }
}

#[tokio::test]
async fn a_dead_collector_costs_spans_and_no_request() {
    let layer = "[traces]\nendpoint = \"http://127.0.0.1:1/v1/traces\"\nratio = 1\nqueue_max = 4\n\
                 batch_max = 4\ninterval = \"10ms\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for _ in 0..6 {
        assert_eq!(get(&harness, "/links/x7Kp2", &[]).await.status(), 200);
    }
    let metrics = harness.mobile.metrics().await;
    let dropped = spans_total("queue_full");
    let dropped = metrics.lines().find_map(|line| line.strip_prefix(&dropped));
    let dropped: u32 = dropped.expect("a family").parse().expect("a number");
    // Four are on their way for good, and four wait.
    assert!(dropped >= 6 * 4 - 8, "{dropped}");
    harness.mobile.stop().await;
}

#[tokio::test]
async fn an_export_is_repeated_when_the_collector_says_so_and_what_it_rejects_is_counted() {
    let collector = Collector::start().await;
    let retry_after = Some("0");
    collector.refuse([429, 502, 503, 504].map(|status| CollectorRefusal { status, retry_after }));
    collector.reject(1);
    let layer = collector.layer("1h", "ratio = 1\nbatch_max = 3");
    // The harness logs in: a request, its call and the attempt.
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    collector.until_asked(5).await;
    let exports = collector.exports();
    assert!(exports.iter().all(|(_, body)| *body == exports[0].1), "the same batch, five times");
    let is_protobuf = |head: &http::HeaderMap| head["content-type"] == "application/x-protobuf";
    assert!(exports.iter().all(|(head, _)| is_protobuf(head)));
    let [exported, rejected, failed] = ["exported", "rejected", "failed"].map(spans_total);
    harness.mobile.metrics_with(&[exported + "2", rejected + "1", failed.clone() + "0"]).await;
    collector.refuse([CollectorRefusal { status: 400, retry_after: None }]);
    get(&harness, "/links/x7Kp2", &[]).await.bytes().await.expect("a body");
    harness.mobile.metrics_with(&[failed + "3"]).await;
}

fn spans_total(outcome: &str) -> String {
    format!("gateway_spans_total{{outcome=\"{outcome}\"}} ")
}

#[tokio::test]
async fn the_last_spans_leave_before_the_gateway_does() {
    let collector = Collector::start().await;
    let layer = collector.layer("1h", "ratio = 1");
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    get(&harness, "/links/x7Kp2", &[("traceparent", &parent("00"))]).await;
    harness.mobile.stop().await;
    assert_eq!(collector.trace(TRACE, 4).await.len(), 4);
}
