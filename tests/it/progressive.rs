//! The dashboard part by part: frames leave as parts land, and the last one says what is missing.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::harness::{GatewayUnderTest, Harness, field, json_of, part_status};
use tests::platform::Service;

const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// Time enough for a busy machine.
const PATIENT: &str = "[aggregates.dashboard]\ndeadline = \"9s\"\n";

/// An answer that is read frame by frame.
struct Frames {
    answer: reqwest::Response,
    read: Vec<u8>,
    end: &'static str,
}

impl Frames {
    fn of(answer: reqwest::Response) -> Self {
        let end = if field(&answer, "content-type") == EVENTS { "\n\n" } else { "\n" };
        Self { answer, read: Vec::new(), end }
    }

    /// The next frame as it was sent; `None` at the end.
    async fn next_text(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8(self.read.clone()).expect("UTF-8");
            if let Some((frame, rest)) = text.split_once(self.end) {
                self.read = rest.as_bytes().to_vec();
                return Some(frame.to_owned());
            }
            match self.answer.chunk().await.expect("an answer that goes on") {
                Some(piece) => self.read.extend_from_slice(&piece),
                None => {
                    assert_eq!(text, "", "half a frame");
                    return None;
                }
            }
        }
    }

    async fn next(&mut self) -> Value {
        let text = self.next_text().await.expect("a frame");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next frames, by the parts they are about; the last one of each.
    async fn parts(&mut self, count: usize) -> serde_json::Map<String, Value> {
        let mut parts = serde_json::Map::new();
        for _ in 0..count {
            let frame = self.next().await;
            let part = frame["part"].as_str().unwrap_or_else(|| panic!("{frame}")).to_owned();
            parts.insert(part, frame);
        }
        parts
    }
}

async fn mobile(harness: &Harness, path: &str, accept: &str) -> reqwest::Response {
    let request = harness.mobile.get(path).bearer_auth(&harness.token).header("Accept", accept);
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn parts_arrive_while_a_slow_one_is_waited_for() {
    let harness = Harness::builder().layer("web-bff", PATIENT).start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"hold":true}"#);
    let answer = harness.web_send("GET", "/api/dashboard", &[("Accept", NDJSON)]).await;
    assert_eq!(answer.status(), 200);
    for (name, value) in
        [("content-type", NDJSON), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(field(&answer, name), value);
    }
    let mut vary = answer.headers().get_all("vary").iter();
    assert!(vary.any(|value| value.to_str().is_ok_and(|vary| vary.contains("Accept"))));
    assert!(!answer.headers().contains_key("etag"));
    let request_id = field(&answer, "x-request-id");
    let mut frames = Frames::of(answer);
    // Profile, summary, usage, and the links three times: alone, with clicks, with owners.
    let parts = frames.parts(6).await;
    let names: BTreeSet<&str> = parts.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["profile", "summary", "usage", "links"]));
    assert_eq!(parts["usage"]["data"]["plan"], "pro");
    for link in parts["links"]["data"]["items"].as_array().expect("a list") {
        assert_eq!(link["owner"]["name"], "Mara Lindqvist");
        assert_eq!(link["clicks"]["id"], link["id"]);
    }
    harness.release(Service::Webhook);
    let last = frames.next().await;
    assert_eq!((&last["part"], &last["outcome"]), (&json!("hooks"), &json!("ok")));
    let report = frames.next().await;
    assert_eq!(report["report"]["completeness"], json!(1), "{report}");
    let outcomes = report["report"]["parts"].as_object().expect("an object");
    assert_eq!(outcomes.len(), 7, "{report}");
    assert_eq!(frames.next_text().await, None);
    let line = harness.web.line_with(&request_id).await;
    assert_eq!(line["status"], 200);
    assert_eq!((&line["attempts"], &line["completeness"]), (&json!(7), &json!(1.0)));
    assert_eq!((&line["cache"], &line["code"]), (&json!("MISS"), &Value::Null));
    let services = line["upstream_service"].as_str().expect("services").split(',').count();
    assert_eq!(services, 5, "{line}");
}

#[tokio::test]
async fn an_event_stream_has_the_same_frames_as_named_events() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    let answer = mobile(&harness, "/dashboard", EVENTS).await;
    assert_eq!(field(&answer, "content-type"), EVENTS);
    let mut frames = Frames::of(answer);
    let mut events = Vec::new();
    while let Some(frame) = frames.next_text().await {
        let (event, data) = frame.split_once("\ndata: ").expect("two lines");
        let data: Value = serde_json::from_str(data).expect("one line of JSON");
        events.push((event.to_owned(), data));
    }
    let (last, parts) = events.split_last().expect("some");
    assert_eq!(last.0, "event: report");
    assert!(parts.iter().all(|(event, data)| event == "event: part" && data["part"].is_string()));
    let profile = parts.iter().find(|(_, data)| data["part"] == "profile").expect("a part");
    let shown = json!({ "name": "Mara Lindqvist", "role": "editor" });
    assert_eq!(profile.1["data"], shown, "shaped by the view");
}

#[tokio::test]
async fn a_part_that_fails_is_a_frame_of_its_own_and_the_report_says_so() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"status":500}"#);
    harness.fault(Service::Billing, r#"{"next":1,"garbage":true}"#);
    let answer = mobile(&harness, "/dashboard", NDJSON).await;
    let request_id = field(&answer, "x-request-id");
    let mut frames = Frames::of(answer);
    let parts = frames.parts(6).await;
    let hooks = json!({ "part": "hooks", "outcome": "failed", "reason": "status", "data": null });
    assert_eq!(parts["hooks"], hooks);
    assert_eq!(parts["usage"]["outcome"], "fallback");
    assert_eq!(parts["usage"]["data"], json!({ "plan": "unknown" }));
    let report = frames.next().await;
    assert_eq!(report["report"]["parts"]["hooks"]["reason"], "status");
    assert_eq!(report["report"]["completeness"], json!(0.833), "five of six");
    let line = harness.mobile.line_with(&request_id).await;
    assert_eq!(line["completeness"], json!(0.833));
}

#[tokio::test]
async fn a_part_past_its_deadline_is_a_frame_and_the_answer_ends() {
    let layer = "[aggregates.dashboard.parts.hooks]\ndeadline = \"60ms\"\n";
    let harness =
        Harness::builder().layer("mobile-bff", PATIENT).layer("mobile-bff", layer).start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"hang":true}"#);
    let mut frames = Frames::of(mobile(&harness, "/dashboard?fields=hooks,profile", NDJSON).await);
    let parts = frames.parts(2).await;
    let hooks = json!({ "part": "hooks", "outcome": "failed", "reason": "timeout", "data": null });
    assert_eq!(parts["hooks"], hooks);
    assert_eq!(frames.next().await["report"]["completeness"], json!(0.5));
    assert_eq!(frames.next_text().await, None);
    harness.until_given_up(Service::Webhook, 1).await;
}

/// Everything but the profile waits.
async fn holding_all_but_the_profile() -> Harness {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    for service in [Service::Link, Service::Analytics, Service::Billing, Service::Webhook] {
        harness.fault(service, r#"{"next":1,"hang":true}"#);
    }
    harness
}

#[tokio::test]
async fn a_required_part_that_fails_before_the_first_frame_is_a_status_of_its_own() {
    let harness = holding_all_but_the_profile().await;
    harness.fault(Service::User, r#"{"next":1,"hold":true,"status":404}"#);
    let failing = async {
        // Only a call that has arrived can be seen to be given up.
        harness.until_called(Service::Webhook, 0).await;
        harness.release(Service::User);
    };
    let (answer, ()) = tokio::join!(mobile(&harness, "/dashboard", NDJSON), failing);
    assert_eq!(answer.status(), 404);
    assert_eq!(field(&answer, "content-type"), "application/problem+json");
    assert!(part_status(&answer, "hooks").contains("cancelled"));
    let request_id = field(&answer, "x-request-id");
    let problem = json_of(answer).await;
    assert_eq!(problem["code"], "part_not_found");
    let line = harness.mobile.line_with(&request_id).await;
    assert_eq!((&line["code"], &line["status"]), (&json!("part_not_found"), &json!(404)));
    harness.until_given_up(Service::Webhook, 1).await;
}

#[tokio::test]
async fn a_required_part_that_fails_after_it_ends_the_answer_with_an_error_frame() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    harness.fault(Service::User, r#"{"next":1,"hold":true,"status":500}"#);
    harness.fault(Service::Webhook, r#"{"next":1,"hang":true}"#);
    let answer = mobile(&harness, "/dashboard", NDJSON).await;
    assert_eq!(answer.status(), 200);
    let request_id = field(&answer, "x-request-id");
    let mut frames = Frames::of(answer);
    let parts = frames.parts(4).await;
    assert!(!parts.contains_key("profile") && !parts.contains_key("hooks"), "{parts:?}");
    harness.release(Service::User);
    let error = frames.next().await;
    let problem = &error["error"];
    assert_eq!((&problem["code"], &problem["part"]), (&json!("part_failed"), &json!("profile")));
    assert_eq!(problem["request_id"], json!(request_id));
    assert!(!error.to_string().contains("secret-upstream-detail"));
    assert_eq!(frames.next_text().await, None);
    harness.until_given_up(Service::Webhook, 1).await;
    let line = harness.mobile.line_with(&request_id).await;
    assert_eq!((&line["code"], &line["status"]), (&json!("part_failed"), &json!(200)));
    assert!(line["completeness"].as_f64().is_some_and(|share| share < 1.0), "{line}");
    let counted = "gateway_refusals_total{code=\"part_failed\"} 1";
    assert!(harness.mobile.metrics().await.contains(counted), "as where it has a status");
}

#[tokio::test]
async fn a_logout_ends_an_answer_under_way_and_no_further_part_is_shown() {
    let harness = Harness::builder().layer("web-bff", PATIENT).start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"hang":true}"#);
    let answer = harness.web_send("GET", "/api/dashboard", &[("Accept", NDJSON)]).await;
    let request_id = field(&answer, "x-request-id");
    let mut frames = Frames::of(answer);
    frames.parts(6).await;
    harness.until_called(Service::Webhook, 0).await;
    let logout = harness.web.post("/bff/logout").header("Cookie", harness.cookie());
    assert_eq!(logout.header("X-CSRF", "1").send().await.expect("an answer").status(), 204);
    let error = frames.next().await;
    assert_eq!(error["error"]["code"], "identity_ended", "{error}");
    assert_eq!(frames.next_text().await, None);
    harness.until_given_up(Service::Webhook, 1).await;
    let line = harness.web.line_with(&request_id).await;
    assert_eq!((&line["code"], &line["status"]), (&json!("identity_ended"), &json!(200)));
    let counted = "gateway_refusals_total{code=\"identity_ended\"} 1";
    assert!(harness.web.metrics().await.contains(counted));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_gives_the_calls_up() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    harness.fault(Service::Webhook, r#"{"next":1,"hang":true}"#);
    let answer = mobile(&harness, "/dashboard", NDJSON).await;
    let request_id = field(&answer, "x-request-id");
    let mut frames = Frames::of(answer);
    frames.parts(1).await;
    harness.until_called(Service::Webhook, 0).await;
    assert_eq!(harness.given_up(Service::Webhook), 0);
    drop(frames);
    harness.until_given_up(Service::Webhook, 1).await;
    let line = harness.mobile.line_with(&request_id).await;
    assert_eq!((&line["code"], &line["status"]), (&json!("client_disconnected"), &json!(200)));
    assert!(line["attempts"].as_u64().is_some_and(|attempts| attempts > 1), "{line}");
}

#[tokio::test]
async fn who_asks_for_frames_is_not_given_json_nor_the_other_way_round() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    let whole = mobile(&harness, "/dashboard", "*/*").await;
    assert_eq!(field(&whole, "content-type"), "application/json");
    let tag = field(&whole, "etag");
    assert!(!tag.is_empty());
    for accept in [NDJSON, EVENTS] {
        let request = harness.mobile.get("/dashboard").bearer_auth(&harness.token);
        let request = request.header("Accept", accept).header("If-None-Match", &tag);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{accept}");
        assert_eq!(field(&answer, "content-type"), accept);
        answer.bytes().await.expect("a body");
    }
    let again = mobile(&harness, "/dashboard", "application/json").await;
    assert_eq!(field(&again, "content-type"), "application/json");
    assert_eq!(field(&again, "etag"), tag);
    assert!(json_of(again).await["profile"].is_object());
}

#[tokio::test]
async fn what_a_client_may_not_ask_for_is_refused_before_the_first_frame() {
    let harness = Harness::start().await;
    let answer = mobile(&harness, "/dashboard?fields=nothing", NDJSON).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(json_of(answer).await["code"], "unknown_field");
    let narrowed = mobile(&harness, "/dashboard?fields=usage", NDJSON).await;
    let parts = Frames::of(narrowed).parts(1).await;
    assert_eq!(parts["usage"]["data"], json!({ "plan": "pro" }));
}

#[tokio::test]
async fn a_head_that_asks_for_frames_has_their_head_alone() {
    let harness = Harness::start().await;
    let send = async |gateway: &GatewayUnderTest, method: &str| {
        let request = gateway.request(method, "/dashboard").bearer_auth(&harness.token);
        request.header("Accept", NDJSON).send().await.expect("an answer")
    };
    let head = send(&harness.mobile, "HEAD").await;
    assert_eq!((head.status().as_u16(), field(&head, "content-type")), (200, NDJSON.to_owned()));
    let line = harness.mobile.line_with(&field(&head, "x-request-id")).await;
    assert_eq!((&line["status"], &line["code"]), (&json!(200), &Value::Null), "{line}");
    assert!(head.bytes().await.expect("a body").is_empty());
}
