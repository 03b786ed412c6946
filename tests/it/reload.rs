//! Reload: the configuration changes while requests are served, over files as operators edit them.

use std::time::Duration;

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _, field, json_of};
use tests::platform::Service;

/// Waits until something is so; the gateways' own answer is the clock.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

/// A change of one route, in a file that every gateway reads.
fn with_version(text: &str) -> String {
    text.replace("X-API-Version = \"2\"", "X-API-Version = \"3\"")
}

#[tokio::test]
async fn a_reload_says_what_has_changed_and_the_next_request_is_served_by_it() {
    let harness = Harness::start().await;
    assert_eq!(harness.mobile.reload().await, (200, json!({ "result": "success", "changed": [] })));
    harness.edit("platform.toml", |text| with_version(&text));
    let (status, answer) = harness.mobile.reload().await;
    let changed = json!(["routes.links-list-v2.request.set_headers.X-API-Version"]);
    assert_eq!((status, &answer["changed"]), (200, &changed));
    assert_eq!(harness.mobile_get("/v2/links").await.status(), 200);
    assert_eq!(harness.last_request(Service::Link).header("x-api-version"), Some("3"));
    assert_eq!(harness.web_get("/api/v2/links").await.status(), 200);
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.header("x-api-version"), Some("2"), "another process is not told");
    let shown = harness.client.get(format!("{}/config", harness.mobile.admin)).send().await;
    let shown = shown.expect("an answer").text().await.expect("a body");
    assert!(shown.contains("X-API-Version = \"3\""), "{shown}");
}

#[tokio::test]
async fn a_bad_configuration_leaves_the_old_one_serving_and_says_why_wherever_operators_look() {
    let harness = Harness::start().await;
    harness.edit("platform.toml", |text| {
        with_version(&text)
            .replace("match = \"GET /v2/links\"", "match = \"GET /v2/{links\"")
            .replace("need = \"required\"", "need = \"requird\"")
    });
    let (status, problem) = harness.mobile.reload().await;
    assert_eq!((status, &problem["code"]), (422, &json!("configuration_refused")));
    assert_eq!(problem["errors"][0]["key"], "aggregates.dashboard.parts.profile.need");
    // What only the core can judge is reported once the structure holds.
    harness.edit("platform.toml", |text| text.replace("\"requird\"", "\"required\""));
    let (status, problem) = harness.mobile.reload().await;
    assert_eq!((status, &problem["errors"][0]["key"]), (422, &json!("routes.links-list-v2.match")));
    let at = problem["errors"][0]["at"].as_str().expect("a place");
    assert!(at.contains("platform.toml:"), "{at}");
    assert_eq!(harness.mobile_get("/v2/links").await.status(), 200);
    assert_eq!(harness.last_request(Service::Link).header("x-api-version"), Some("2"));
    let (status, ready) = harness.mobile.readyz().await;
    let last = &ready["configuration"]["last_reload"];
    assert_eq!((status, &ready["ready"], &last["result"]), (200, &json!(true), &json!("refused")));
    assert!(last["error"].as_str().is_some_and(|text| text.contains("links-list-v2")), "{last}");
    let metrics = harness.mobile.metrics().await;
    for expected in [
        "gateway_config_reloads_total{result=\"refused\"} 2",
        "gateway_config_last_reload_successful 0",
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in\n{metrics}");
    }
    harness.edit("platform.toml", |text| text.replace("GET /v2/{links\"", "GET /v2/links\""));
    assert_eq!(harness.mobile.reload().await.0, 200);
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains("gateway_config_last_reload_successful 1"), "{metrics}");
    assert_eq!(
        harness.mobile.readyz().await.1["configuration"]["last_reload"]["error"],
        json!(null)
    );
}

#[tokio::test]
async fn what_takes_a_restart_is_named_and_nothing_else_of_the_change_is_put_in_force() {
    let harness = Harness::start().await;
    harness.edit("platform.toml", |text| with_version(&text));
    harness.edit("mobile-bff.test.toml", |text| {
        text.replace("cores = 1", "cores = 2\nidle_timeout = \"80s\"\nbody_timeout = \"31s\"")
    });
    let (status, problem) = harness.mobile.reload().await;
    assert_eq!(status, 422);
    let errors = problem["errors"].as_array().expect("errors");
    let keys: Vec<_> = errors.iter().map(|error| error["key"].as_str().unwrap_or("")).collect();
    assert_eq!(keys, ["server.cores", "server.idle_timeout"]);
    assert!(problem.to_string().contains("takes a restart"), "{problem}");
    assert_eq!(harness.mobile_get("/v2/links").await.status(), 200);
    assert_eq!(harness.last_request(Service::Link).header("x-api-version"), Some("2"));
}

#[tokio::test]
async fn files_that_change_are_noticed_and_a_bad_save_is_survived() {
    let layer = "[reload]\nwatch = true\nwatch_interval = \"10ms\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    harness.edit("platform.toml", |text| format!("{text}\n[services.half"));
    until("the bad save is refused", || async {
        harness.mobile.readyz().await.1["configuration"]["last_reload"]["result"] == "refused"
    })
    .await;
    assert_eq!(harness.mobile_get("/v2/links").await.status(), 200, "the old one serves");
    harness.edit("platform.toml", |text| with_version(&text).replace("\n[services.half", ""));
    until("the good save is in force", || async {
        assert_eq!(harness.mobile_get("/v2/links").await.status(), 200);
        harness.last_request(Service::Link).header("x-api-version") == Some("3")
    })
    .await;
    // A secret's file is a file of the configuration.
    std::fs::write(harness.configuration().join("admin-token"), "a-token-of-operators")
        .expect("ok");
    harness.edit("mobile-bff.test.toml", |text| {
        text.replace("[admin]", "[admin]\ntoken = { file = \"admin-token\" }")
    });
    let metrics = |token: &'static str| {
        let request = harness.client.get(format!("{}/metrics", harness.mobile.admin));
        async move { request.bearer_auth(token).send().await.expect("an answer").status().as_u16() }
    };
    until("the token is asked for", || async { metrics("another").await == 401 }).await;
    assert_eq!(metrics("a-token-of-operators").await, 200);
    std::fs::write(harness.configuration().join("admin-token"), "the-next-token-of-them")
        .expect("ok");
    until("the new token counts", || async { metrics("the-next-token-of-them").await == 200 })
        .await;
    assert_eq!(metrics("a-token-of-operators").await, 401);
}

async fn remaining(harness: &Harness, limit: &str) -> String {
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 200);
    let fields = field(&answer, "ratelimit");
    let found = fields.split(", ").find(|item| item.starts_with(&format!("\"{limit}\"")));
    let r = found.and_then(|item| item.split(";r=").nth(1)).unwrap_or_default();
    r.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn limits_go_on_where_they_were_and_a_changed_one_begins_anew() {
    let layer = "[limits.links-read]\nkey = \"consumer\"\nrate = \"50/min\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).manual_clock().start().await;
    assert_eq!(remaining(&harness, "links-read").await, "49");
    // Another limit is new, and sorts before it; a route is new as well.
    harness.edit("platform.d/60-more.toml", |_| {
        "[limits.another]\nkey = \"consumer\"\nrate = \"5/min\"\n\n[routes.a]\nmatch = \"GET /a\"\n\
         service = \"link-service\"\nlimits = [\"another\"]\n"
            .to_owned()
    });
    assert_eq!(harness.mobile.reload().await.0, 200);
    assert_eq!(remaining(&harness, "links-read").await, "48");
    harness.edit("mobile-bff.test.toml", |text| text.replace("50/min", "60/min"));
    assert_eq!(harness.mobile.reload().await.0, 200);
    assert_eq!(remaining(&harness, "links-read").await, "59");
}

#[tokio::test]
async fn sessions_push_tokens_webhook_endpoints_keys_and_kept_answers_outlive_a_reload() {
    let harness = Harness::start().await;
    let body = json!({ "platform": "fcm", "installation_id": "phone-1", "token": "a-push-token" });
    let push = harness.mobile.post("/devices/push-tokens").bearer_auth(&harness.token);
    assert_eq!(push.json_body(&body).send().await.expect("an answer").status(), 201);
    let hook = json!({ "url": "https://hooks.acme.example/in", "event_types": ["link.created"] });
    let request =
        harness.partner.post("/v1/webhooks/endpoints").bearer_auth(harness.key("partner"));
    let made = request.json_body(&hook).send().await.expect("an answer");
    assert_eq!(made.status(), 201);
    assert_eq!(harness.mobile_get("/dashboard").await.status(), 200);
    let billing = harness.calls(Service::Billing);
    let jwks = harness.calls_of(Service::User, "/.well-known/jwks.json");

    harness.edit("platform.toml", |text| with_version(&text));
    harness.edit("mobile-bff.toml", |text| text.replace("per_user_max = 20", "per_user_max = 1"));
    for gateway in [&harness.web, &harness.mobile, &harness.partner] {
        assert_eq!(gateway.reload().await.0, 200, "{}", gateway.name);
    }

    assert_eq!(harness.web_get("/bff/user").await.status(), 200, "the session goes on");
    let listed = json_of(harness.mobile_get("/devices/push-tokens").await).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let hooks = json_of(harness.partner_get("/v1/webhooks/endpoints", "partner").await).await;
    assert!(hooks.to_string().contains("hooks.acme.example"), "{hooks}");
    assert_eq!(harness.mobile_get("/dashboard").await.status(), 200);
    assert_eq!(harness.calls(Service::Billing), billing, "the usage was kept");
    assert_eq!(harness.calls_of(Service::User, "/.well-known/jwks.json"), jwks);
    // The section of the gateway's own is in force: a second installation takes the first's place.
    let body = json!({ "platform": "fcm", "installation_id": "phone-2", "token": "another-token" });
    let push = harness.mobile.post("/devices/push-tokens").bearer_auth(&harness.token);
    assert_eq!(push.json_body(&body).send().await.expect("an answer").status(), 201);
    let listed = json_of(harness.mobile_get("/devices/push-tokens").await).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test]
async fn a_request_in_flight_ends_on_the_site_it_began_with() {
    let harness = Harness::start().await;
    harness.fault(Service::Link, r#"{"next":1,"hold":true}"#);
    let slow = tokio::spawn(harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token).send());
    harness.until_called(Service::Link, 0).await;
    harness.edit("mobile-bff.toml", |text| {
        text.replace("expose = [\"*\"]", "expose = [\"*\", \"!links-get\"]")
    });
    assert_eq!(harness.mobile.reload().await.0, 200);
    assert_eq!(
        harness.mobile_get("/links/x7Kp2").await.status(),
        405,
        "only PATCH and DELETE are left"
    );
    harness.release(Service::Link);
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_new_issuer_is_in_force_with_its_keys_or_not_at_all() {
    let harness = Harness::start().await;
    let issuer = |url: &str| {
        format!(
            "\n[auth.jwt.issuers.another]\nissuer = \"https://other.example.com\"\naudience = \
             \"https://api.example.com\"\njwks_url = \"{url}/.well-known/jwks.json\"\nalgorithms = \
             [\"ES256\"]\n"
        )
    };
    let nowhere = issuer("http://127.0.0.1:1");
    harness.edit("mobile-bff.toml", |text| text + &nowhere);
    let (status, problem) = harness.mobile.reload().await;
    assert_eq!((status, &problem["code"]), (503, &json!("configuration_keys_unavailable")));
    assert_eq!(harness.mobile.readyz().await.0, 200);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
    let somewhere = issuer(&harness.service_url(Service::User));
    harness.edit("mobile-bff.toml", |text| text.replace(&nowhere, &somewhere));
    assert_eq!(harness.mobile.reload().await.0, 200);
    let (status, ready) = harness.mobile.readyz().await;
    assert_eq!((status, &ready["keys_confirmed_s_ago"]["another"]), (200, &json!(0)));
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
}

#[tokio::test]
async fn metrics_of_what_has_vanished_vanish() {
    let harness = Harness::start().await;
    harness.edit("platform.d/60-more.toml", |_| {
        "[limits.brief]\nkey = \"consumer\"\nrate = \"50/min\"\n\n[routes.brief]\nmatch = \"GET \
         /brief\"\nservice = \"link-service\"\nrewrite = \"/links\"\nlimits = [\"brief\"]\n"
            .to_owned()
    });
    assert_eq!(harness.mobile.reload().await.0, 200);
    assert_eq!(harness.mobile_get("/brief").await.status(), 200);
    assert_eq!(harness.mobile_get("/links").await.status(), 200);
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains("http_route=\"brief\"") && metrics.contains("limit=\"brief\""));
    harness.edit("platform.d/60-more.toml", |_| String::new());
    assert_eq!(harness.mobile.reload().await.0, 200);
    let metrics = harness.mobile.metrics().await;
    assert!(!metrics.contains("\"brief\""), "{metrics}");
    assert!(metrics.contains("http_route=\"links-list\""), "what is left goes on\n{metrics}");
}

#[tokio::test]
async fn reloads_at_the_same_time_follow_one_another() {
    let harness = Harness::start().await;
    let reloads = futures::future::join_all((0..6).map(|_| harness.mobile.reload())).await;
    assert!(reloads.iter().all(|(status, _)| *status == 200), "{reloads:?}");
    let metrics = harness.mobile.metrics().await;
    let expected = "gateway_config_reloads_total{result=\"success\"} 6";
    assert!(metrics.contains(expected), "{metrics}");
}

#[tokio::test]
async fn no_web_page_can_have_a_gateway_reload_or_drain() {
    let harness = Harness::start().await;
    for (path, name, value, status, code) in [
        ("/reload", "origin", "https://evil.example", 403, "admin_from_page"),
        ("/drain", "sec-fetch-site", "cross-site", 403, "admin_from_page"),
        ("/drain", "host", "evil.example", 421, "admin_host_foreign"),
    ] {
        let request = harness.client.post(format!("{}{path}", harness.mobile.admin));
        let answer = request.header(name, value).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{path} {name}");
        assert_eq!(json_of(answer).await["code"], code, "{path} {name}");
    }
    assert_eq!(harness.mobile.readyz().await.1["ready"], Value::Bool(true));
}
