//! An aggregate that ends in a write: it runs last, once, and only if nothing required has failed.

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _, field, json_of, part_status};
use tests::platform::Service;

const DECLARED: &str = r#"
[aggregates.new-link]
deadline = "8s"
response_headers = { Location = "first" }

[aggregates.new-link.parts.link]
call = "POST link-service:/links"
body = { target_url = "{body.target_url}", title = "{part.profile.name}: {body.title}" }
need = "required"

[aggregates.new-link.parts.profile]
call = "GET user-service:/users/{identity.user_id}"
need = "required"

[aggregates.new-link.parts.usage]
call = "GET billing-service:/usage"
convert = "xml_to_json"

[views.new-link]
route = "POST /links-with-profile"
fields = "link(id,title,target_url),profile(name),usage(plan)"
"#;

async fn start() -> Harness {
    Harness::builder().layer("mobile-bff", DECLARED).start().await
}

async fn create_with(harness: &Harness, token: &str, body: &str) -> reqwest::Response {
    let request = harness.mobile.post("/links-with-profile").bearer_auth(token);
    let request = request.header("Content-Type", "application/json").body(body.to_owned());
    request.send().await.expect("an answer")
}

async fn create(harness: &Harness) -> reqwest::Response {
    let body = json!({ "target_url": "https://example.com/?a=b&c={d}", "title": "Say \"hi\"" });
    create_with(harness, &harness.token, &body.to_string()).await
}

async fn links(harness: &Harness) -> Value {
    json_of(harness.mobile_get("/links?limit=1").await).await["total"].clone()
}

#[tokio::test]
async fn the_write_is_made_once_from_the_clients_body_and_what_was_read() {
    let harness = start().await;
    let answer = create(&harness).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(part_status(&answer, "link"), "o=ok");
    assert_eq!(field(&answer, "cache-control"), "no-store");
    assert!(
        !answer.headers().contains_key("etag"),
        "what was made is no document to ask for again"
    );
    assert!(field(&answer, "location").starts_with("/links/n"), "{:?}", answer.headers());
    let made = json_of(answer).await;
    assert_eq!(made["link"]["title"], "Mara Lindqvist: Say \"hi\"");
    assert_eq!(made["link"]["target_url"], "https://example.com/?a=b&c={d}");
    assert_eq!(made["usage"], json!({ "plan": "pro" }));
    assert_eq!(harness.calls_of(Service::Link, "/links"), 1);
    assert_eq!(links(&harness).await, json!(25));
}

#[tokio::test]
async fn the_write_waits_for_everything_else() {
    let harness = start().await;
    harness.fault(Service::Billing, r#"{"next":1,"hold":true}"#);
    let release = async {
        harness.until_called(Service::Billing, 0).await;
        // The profile has landed as well once the next call of the same user's is answered.
        harness.mobile_get("/links/x7Kp2").await.bytes().await.expect("a body");
        assert_eq!(harness.calls_of(Service::Link, "/links"), 0);
        harness.release(Service::Billing);
    };
    let (answer, ()) = tokio::join!(create(&harness), release);
    assert_eq!(answer.status(), 200);
    assert_eq!(harness.calls_of(Service::Link, "/links"), 1);
}

#[tokio::test]
async fn no_write_is_made_when_a_required_part_fails() {
    let harness = start().await;
    harness.fault(Service::User, r#"{"next":1,"status":404}"#);
    let answer = create(&harness).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(
        part_status(&answer, "link"),
        "o=skipped;r=cancelled",
        "the report says it did not run"
    );
    assert_eq!(json_of(answer).await["part"], "profile");
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn a_write_is_made_all_the_same_when_an_optional_part_fails() {
    let harness = start().await;
    harness.fault(Service::Billing, r#"{"next":1,"status":500}"#);
    let answer = create(&harness).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(part_status(&answer, "usage"), "o=failed;r=status;status=500");
    assert_eq!(part_status(&answer, "link"), "o=ok");
}

#[tokio::test]
async fn a_write_is_made_whatever_is_shown_of_it() {
    let hidden = "[views.hidden]\naggregate = \"new-link\"\nroute = \"POST /hidden\"\n\
                  fields = \"profile(name)\"\n";
    let optional = DECLARED.replacen("need = \"required\"", "need = \"optional\"", 1) + hidden;
    let harness = Harness::builder().layer("mobile-bff", &optional).start().await;
    let body = json!({ "target_url": "https://example.com/", "title": "x" });
    for (made, path) in (1..).zip(["/links-with-profile?fields=profile", "/hidden"]) {
        let request = harness.mobile.post(path).bearer_auth(&harness.token);
        let answer = request.json_body(&body).send().await.expect("an answer");
        assert_eq!(part_status(&answer, "link"), "o=ok", "{path}");
        assert!(json_of(answer).await.get("link").is_none(), "{path}");
        assert_eq!(harness.calls_of(Service::Link, "/links"), made, "{path}");
    }
}

#[tokio::test]
async fn a_write_that_breaks_off_is_not_made_again() {
    let harness = start().await;
    assert_eq!(create(&harness).await.status(), 200);
    harness.fault(Service::Link, r#"{"next":9,"reset":true}"#);
    let answer = create(&harness).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(json_of(answer).await["reason"], "reset");
    assert_eq!(
        harness.calls_of(Service::Link, "/links"),
        2,
        "on a connection that was used before"
    );
}

#[tokio::test]
async fn what_the_service_refuses_is_refused() {
    let harness = start().await;
    let viewer = harness.log_in("viewer@example.com").await;
    let answer = create_with(&harness, &viewer, r#"{"target_url":"https://a.example/"}"#).await;
    assert_eq!(answer.status(), 400, "the title is missing");
    let problem = json_of(answer).await;
    assert_eq!(
        (&problem["code"], &problem["input"]),
        (&json!("missing_input"), &json!("body.title"))
    );
    let body = r#"{"target_url":"https://a.example/","title":"x"}"#;
    let answer = create_with(&harness, &viewer, body).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(json_of(answer).await["code"], "part_forbidden");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_before_anything_is_called() {
    let harness = start().await;
    let before = harness.calls(Service::User);
    for body in ["", "{", "{\"a\":1}{}", "target_url=x", "\u{feff}", "{\"a\":\u{1}}"] {
        let answer = create_with(&harness, &harness.token, body).await;
        assert_eq!(answer.status(), 400, "{body:?}");
        assert_eq!(json_of(answer).await["code"], "body_not_json", "{body:?}");
    }
    assert_eq!(harness.calls(Service::User) + harness.calls(Service::Link), before);
}

#[tokio::test]
async fn a_write_may_be_the_last_frame_but_one() {
    let harness = start().await;
    let request = harness.mobile.post("/links-with-profile").bearer_auth(&harness.token);
    let request = request.header("Accept", "application/x-ndjson");
    let body = json!({ "target_url": "https://example.com/", "title": "x" });
    let answer = request.json_body(&body).send().await.expect("an answer").text().await;
    let answer = answer.expect("a body");
    let frames: Vec<Value> =
        answer.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(frames.len(), 4, "{answer}");
    assert_eq!(frames[2]["part"], "link", "{answer}");
    assert_eq!(frames[3]["report"]["parts"]["link"]["outcome"], "ok");
    assert_eq!(harness.calls_of(Service::Link, "/links"), 1);
}
