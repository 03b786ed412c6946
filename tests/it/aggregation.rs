//! The dashboard over HTTP: what each view shows, and with how many calls. The rules of composition
//! themselves are tested in the core; what fails is in `part_failures`.

use serde_json::{Value, json};
use tests::harness::{Harness, field, json_of, part_status};
use tests::platform::Service;

#[tokio::test]
async fn the_rich_view_shows_every_part_and_the_compact_one_what_it_names() {
    let harness = Harness::start().await;
    let rich = harness.web_get("/api/dashboard").await;
    assert!(rich.headers().contains_key("server-timing"));
    let rich = json_of(rich).await;
    let compact = json_of(harness.mobile_get("/dashboard").await).await;
    assert_eq!(rich["links"]["items"].as_array().map(Vec::len), Some(20));
    assert!(rich["links"]["items"][0]["target_url"].is_string());
    assert!(rich["profile"]["email"].is_string());
    assert_eq!(compact["links"]["items"].as_array().map(Vec::len), Some(5));
    assert!(compact["links"]["items"][0].get("target_url").is_none());
    assert!(compact["profile"].get("email").is_none());
    assert_eq!(compact["profile"]["name"], rich["profile"]["name"]);
    assert_eq!(compact["summary"], json!({ "total": rich["summary"]["total"] }));
}

#[tokio::test]
async fn twenty_links_get_their_clicks_by_one_call_and_their_owner_by_one_call() {
    let harness = Harness::start().await;
    let answer = harness.web_get("/api/dashboard").await;
    let request_id = field(&answer, "x-request-id");
    assert_eq!(field(&answer, "cache-control"), "private, no-cache", "{:?}", answer.headers());
    assert_eq!(harness.calls_of(Service::Analytics, "/links"), 1);
    let of_user = harness.calls_of(Service::User, "/users/4821");
    assert_eq!(of_user, 2, "the profile, and the one owner of twenty links");
    let dashboard = json_of(answer).await;
    for link in dashboard["links"]["items"].as_array().expect("a list") {
        let id = link["id"].as_str().expect("an id");
        let alone = json_of(harness.mobile_get(&format!("/analytics/links/{id}")).await).await;
        assert_eq!(link["clicks"], json!({ "id": id, "total": alone["total"] }));
        assert_eq!(link["owner"], json!({ "id": 4821, "name": "Mara Lindqvist" }));
    }
    let line = harness.web.line_with(&request_id).await;
    assert_eq!((&line["attempts"], &line["completeness"]), (&json!(7), &json!(1.0)));
    let services = line["upstream_service"].as_str().expect("services").split(',').count();
    assert_eq!(services, 5, "{line}");
}

#[tokio::test]
async fn what_a_view_does_not_show_is_not_called_for() {
    let harness = Harness::start().await;
    harness.mobile_get("/dashboard?fields=usage").await.bytes().await.expect("a body");
    assert_eq!(harness.calls(Service::Link) + harness.calls(Service::Analytics), 0);
    assert_eq!(harness.calls_of(Service::User, "/users/4821"), 1, "the profile is required");
    harness.mobile_get("/dashboard").await.bytes().await.expect("a body");
    let of_user = harness.calls_of(Service::User, "/users/4821");
    assert_eq!(of_user, 2, "the compact view shows no owners");
}

#[tokio::test]
async fn a_view_may_carry_its_report_and_a_service_may_be_told_the_time_that_is_left() {
    let layer = "[views.dashboard]\nmeta = true\n\
                 [upstream]\ntime_left_header = \"X-Time-Left-Ms\"\n\
                 [aggregates.dashboard.parts.hooks]\ndeadline = \"500ms\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    harness.fault(Service::Billing, r#"{"next":1,"status":404}"#);
    let dashboard = json_of(harness.mobile_get("/dashboard?fields=usage,hooks").await).await;
    let usage = json!({ "outcome": "fallback", "reason": "status" });
    let parts = json!({
        "profile": { "outcome": "ok" }, "usage": usage, "hooks": { "outcome": "ok" },
    });
    assert_eq!(dashboard["_meta"], json!({ "completeness": 1, "parts": parts }));
    for (service, most) in [(Service::Webhook, 500), (Service::Billing, 800)] {
        let request = harness.last_request(service);
        let left: u64 = request.header("x-time-left-ms").expect("a field").parse().expect("ms");
        assert!((1..=most).contains(&left), "{service:?}: {left}");
    }
}

#[tokio::test]
async fn a_client_may_ask_for_less_and_never_for_more() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/dashboard?fields=profile(name),usage").await;
    let narrowed = json_of(answer).await;
    assert_eq!(narrowed.as_object().map(serde_json::Map::len), Some(2), "{narrowed}");
    assert_eq!(narrowed["usage"], json!({ "plan": "pro" }));
    for fields in ["profile(email)", "nothing", "links/items/target_url"] {
        let answer = harness.mobile_get(&format!("/dashboard?fields={fields}")).await;
        assert_eq!(answer.status(), 400, "{fields}");
        assert_eq!(json_of(answer).await["code"], "unknown_field", "{fields}");
    }
    let hidden = harness.web_get("/api/dashboard?fields=links/items/owner/email").await;
    assert_eq!(json_of(hidden).await["links"]["items"][0]["owner"], json!({}), "dropped for all");
}

#[tokio::test]
async fn one_users_tag_does_not_fit_anothers_dashboard() {
    let harness = Harness::start().await;
    let first = harness.mobile_get("/dashboard").await;
    let tag = first.headers()["etag"].clone();
    let own = harness.mobile.get("/dashboard").bearer_auth(&harness.token);
    let own = own.header("If-None-Match", tag.clone()).send().await.expect("an answer");
    assert_eq!(own.status(), 304);
    let other = harness.log_in("viewer@example.com").await;
    let request = harness.mobile.get("/dashboard").bearer_auth(other).header("If-None-Match", tag);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn nothing_of_the_clients_request_reaches_a_part() {
    let harness = Harness::start().await;
    let request = harness.mobile.get("/dashboard?evil=1").bearer_auth(&harness.token);
    let request = request.header("X-Custom", "1").header("Cookie", "a=b");
    request.send().await.expect("an answer").bytes().await.expect("a body");
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.query, "owner=4821&limit=20", "{seen:?}");
    for name in ["x-custom", "cookie", "authorization"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_head_has_the_fields_of_a_get_and_a_range_is_the_whole() {
    let harness = Harness::start().await;
    let whole = harness.web_get("/api/dashboard").await;
    let head = harness.web_send("HEAD", "/api/dashboard", &[]).await;
    let ranged = harness.web_send("GET", "/api/dashboard", &[("Range", "bytes=0-9")]).await;
    for answer in [&head, &ranged] {
        assert_eq!(answer.status(), 200);
        for name in ["content-type", "content-length", "cache-control", "etag", "vary"] {
            assert_eq!(field(answer, name), field(&whole, name), "{name}");
        }
        assert!(!answer.headers().contains_key("content-range"));
    }
    assert!(!field(&head, "content-length").is_empty());
    assert!(head.bytes().await.expect("a body").is_empty());
    assert_eq!(ranged.bytes().await.expect("a body"), whole.bytes().await.expect("a body"));
}

#[tokio::test]
async fn a_dashboard_has_no_pages_below_it_that_a_cache_would_take_for_static() {
    let harness = Harness::start().await;
    for path in ["/api/dashboard/x.css", "/api/dashboard/.js"] {
        assert_eq!(harness.web_get(path).await.status(), 404, "{path}");
    }
    for path in ["/api/dashboard;x.js", "/api/dashboard%3Bx.js", "/api/dashboard%2Fx.css"] {
        let status = harness.web_get(path).await.status();
        assert!([400, 404].contains(&status.as_u16()), "{path}: {status}");
    }
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn anothers_data_is_never_shown_and_is_counted() {
    let layer = "[aggregates.dashboard.parts.hooks]\nowner = \"items/owner_id\"\n\
                 call = \"GET webhook-service:/webhooks?owner={query.owner}\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    // The service lets an admin see what is their tenant's; this part is about the caller's own.
    let admin = harness.log_in("admin@example.com").await;
    let get = async |owner: &str| {
        let path = format!("/dashboard?fields=hooks&owner={owner}");
        harness.mobile.get(&path).bearer_auth(&admin).send().await.expect("an answer")
    };
    let own = get("4823").await;
    assert_eq!(part_status(&own, "hooks"), "o=ok");
    assert_eq!(json_of(own).await["hooks"], json!({ "total": 3 }));
    let foreign = harness.mobile.get("/dashboard?owner=4822").bearer_auth(&admin);
    let foreign = foreign.send().await.expect("an answer");
    assert_eq!(part_status(&foreign, "hooks"), "o=failed;r=foreign_data");
    assert_eq!(json_of(foreign).await["hooks"], Value::Null);
    let metrics = harness.mobile.metrics().await;
    let counted =
        r#"{aggregate="dashboard",part="hooks",outcome="failed",reason="foreign_data"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn an_answer_of_another_shape_than_declared_fails_its_part() {
    let layer = "[aggregates.dashboard.parts.summary.schema]\ntype = \"object\"\n\
                 properties = { total = { type = \"string\" } }\n\
                 [aggregates.dashboard.parts.usage]\nrequired_fields = \"plan,seats\"\n\
                 [aggregates.dashboard.parts.hooks.schema]\ntype = \"object\"\n\
                 properties = { total = { type = \"integer\" } }\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let answer = harness.mobile_get("/dashboard").await;
    assert_eq!(part_status(&answer, "summary"), "o=failed;r=contract");
    assert_eq!(part_status(&answer, "usage"), "o=fallback;r=contract");
    assert_eq!(part_status(&answer, "hooks"), "o=ok");
    let dashboard = json_of(answer).await;
    assert_eq!(dashboard["summary"], Value::Null);
    assert_eq!(dashboard["usage"], json!({ "plan": "unknown" }));
    assert_eq!(dashboard["hooks"], json!({ "total": 3 }));
}

#[tokio::test]
async fn a_part_with_a_condition_is_called_for_those_it_holds_for() {
    let layer = "[aggregates.dashboard.parts.hooks]\nwhen = \"identity.role in ['admin']\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let editor = harness.mobile_get("/dashboard").await;
    assert_eq!(part_status(&editor, "hooks"), "o=skipped;r=condition");
    assert!(editor.headers().contains_key("etag"), "nothing is missing that was wanted");
    assert_eq!(json_of(editor).await["hooks"], Value::Null);
    assert_eq!(harness.calls(Service::Webhook), 0);
    assert_eq!(harness.mobile.line_of("/dashboard").await["completeness"], json!(1.0));
    let admin = harness.log_in("admin@example.com").await;
    let admin = harness.mobile.get("/dashboard").bearer_auth(admin).send().await;
    assert_eq!(part_status(&admin.expect("an answer"), "hooks"), "o=ok");
    assert_eq!(harness.calls(Service::Webhook), 1);
}

#[tokio::test]
async fn of_the_services_fields_and_cookies_clients_get_those_that_are_listed() {
    let layer = "[aggregates.dashboard]\nset_cookies = [\"upstream\"]\n\
                 response_headers = { X-Powered-By = \"first\", Via = \"join\" }\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let listed = harness.mobile_get("/dashboard?fields=profile").await;
    assert_eq!(field(&listed, "x-powered-by"), "axum");
    assert_eq!(field(&listed, "via"), "1.1 internal");
    assert_eq!(field(&listed, "set-cookie"), "upstream=1; Path=/");
    let unlisted = harness.web_get("/api/dashboard").await;
    for name in ["set-cookie", "x-powered-by", "via", "server", "x-internal-host", "x-user-id"] {
        assert!(!unlisted.headers().contains_key(name), "{name}");
    }
    for name in ["server", "x-internal-host", "x-user-id"] {
        assert!(!listed.headers().contains_key(name), "{name}");
    }
}
