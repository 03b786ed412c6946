//! Identity: what a client says about itself is worth nothing, what the gateway says is proved.

use tests::harness::{Harness, JsonBody as _, json_of};
use tests::platform::Service;

/// Sends `headers` with a valid token and returns what the service saw under `name`.
async fn seen(harness: &Harness, headers: &[(&str, &str)], name: &str) -> Option<String> {
    let mut request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{headers:?}");
    harness.last_request(Service::Link).header(name).map(str::to_owned)
}

#[tokio::test]
async fn spoofed_identity_headers_are_dropped_in_any_spelling() {
    let harness = Harness::start().await;
    for spelling in ["X-User-ID", "x-user-id", "X_User_ID", "x-user_id", "X-USER_id"] {
        let value = seen(&harness, &[(spelling, "4823")], "x-user-id").await;
        assert_eq!(value.as_deref(), Some("4821"), "{spelling}");
        let seen = harness.last_request(Service::Link);
        assert!(!seen.headers.iter().any(|(_, value)| value == "4823"), "{spelling}");
    }
    for (name, expected) in [
        ("X-User-Role", Some("editor")),
        ("X-Auth-Verified", Some("true")),
        ("X-Consumer-Tier", Some("pro")),
        ("X-Gateway-Assertion", None),
    ] {
        let value = seen(&harness, &[(name, "spoofed")], &name.to_ascii_lowercase()).await;
        match expected {
            Some(expected) => assert_eq!(value.as_deref(), Some(expected), "{name}"),
            None => assert!(value.is_some_and(|value| value != "spoofed"), "{name}"),
        }
    }
}

#[tokio::test]
async fn a_spoofed_header_behind_many_others_is_still_dropped() {
    let harness = Harness::start().await;
    let names: Vec<String> = (0..80).map(|n| format!("X-Filler-{n}")).collect();
    let mut headers: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "1")).collect();
    headers.push(("X-User-Role", "admin"));
    assert_eq!(seen(&harness, &headers, "x-user-role").await.as_deref(), Some("editor"));
    let mut request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
    for number in 0..150 {
        request = request.header(format!("X-Filler-{number}"), "1");
    }
    let answer = request.header("X-User-Role", "admin").send().await.expect("an answer");
    assert_eq!(answer.status(), 431, "more than it will look through");
}

#[tokio::test]
async fn a_connection_header_cannot_name_ours_away() {
    let harness = Harness::start().await;
    for listed in ["X-User-ID", "x-gateway-assertion, x-user-id", "X-Auth-Verified, close"] {
        let value = seen(&harness, &[("Connection", listed)], "x-user-id").await;
        assert_eq!(value.as_deref(), Some("4821"), "{listed}");
        let seen = harness.last_request(Service::Link);
        assert_eq!(seen.header("x-auth-verified"), Some("true"), "{listed}");
    }
}

#[tokio::test]
async fn headers_about_another_url_or_method_have_no_effect_and_do_not_arrive() {
    let harness = Harness::start().await;
    for (name, value) in [
        ("X-Forwarded-Uri", "/links/other"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Original-URL", "/links/other"),
        ("X-Rewrite-URL", "/links/other"),
        ("X-HTTP-Method-Override", "DELETE"),
    ] {
        let arrived = seen(&harness, &[(name, value)], &name.to_ascii_lowercase()).await;
        assert_eq!(arrived, None, "{name}");
        let request = harness.last_request(Service::Link);
        assert_eq!((&*request.method, &*request.path), ("GET", "/links/x7Kp2"), "{name}");
    }
}

#[tokio::test]
async fn nobodys_word_about_the_client_address_is_taken_unless_listed() {
    let harness = Harness::start().await;
    let value = seen(&harness, &[("X-Forwarded-For", "203.0.113.7")], "x-forwarded-for").await;
    assert_eq!(value.as_deref(), Some("127.0.0.1"));
    let id = "req_01JDEXAMPLE000000000000000";
    let value = seen(&harness, &[("X-Request-ID", id)], "x-request-id").await;
    assert_ne!(value.as_deref(), Some(id));

    let trusted = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let harness = Harness::builder().layer("mobile-bff", trusted).start().await;
    let chain = [("X-Forwarded-For", "198.51.100.9, 203.0.113.7, 127.0.0.2")];
    let value = seen(&harness, &chain, "x-forwarded-for").await;
    assert_eq!(value.as_deref(), Some("203.0.113.7"), "the right-most untrusted address");
    let value = seen(&harness, &[("X-Request-ID", id)], "x-request-id").await;
    assert_eq!(value.as_deref(), Some(id));
    let value = seen(&harness, &[("X-Request-ID", "bad id")], "x-request-id").await;
    assert!(value.is_some_and(|value| value.starts_with("req_")));
}

#[tokio::test]
async fn an_anonymous_request_carries_no_identity_whatever_it_says() {
    let harness = Harness::start().await;
    let body = serde_json::json!({ "email": "nobody@example.com", "password": "wrong" });
    let request = harness.mobile.post("/auth/login").header("X-User-ID", "4823");
    let answer = request.header("X-Auth-Verified", "true").json_body(&body).send().await;
    assert_eq!(answer.expect("an answer").status(), 401);
    let seen = harness.last_request(Service::User);
    for name in ["x-user-id", "x-user-role", "x-auth-verified", "x-tenant-id", "x-consumer-tier"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn what_a_service_says_about_itself_stays_inside() {
    let harness = Harness::start().await;
    let answer = harness.mobile_get("/links/x7Kp2").await;
    for name in ["server", "via", "x-powered-by", "x-internal-host", "x-user-id", "set-cookie"] {
        assert!(!answer.headers().contains_key(name), "{name}: {:?}", answer.headers());
    }
}

#[tokio::test]
async fn a_parameter_of_the_path_never_leaves_its_segment() {
    let harness = Harness::start().await;
    for (sent, arrives) in [
        ("/analytics/links/1%3Fx=1", "/links/1%3Fx%3D1"),
        ("/analytics/links/1%23", "/links/1%23"),
        ("/analytics/links/a%20b", "/links/a%20b"),
        ("/analytics/links/%61bc", "/links/abc"),
    ] {
        let answer = harness.mobile_get(sent).await;
        assert_eq!(answer.status(), 404, "{sent}");
        assert_eq!(harness.last_request(Service::Analytics).path, arrives, "{sent}");
    }
}

#[tokio::test]
async fn a_services_redirect_is_passed_on_and_not_followed() {
    let harness = Harness::start().await;
    let elsewhere = harness.service_url(Service::Billing);
    harness.fault(
        Service::Link,
        &format!(r#"{{"next":1,"status":302,"location":"{elsewhere}/usage"}}"#),
    );
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 302);
    assert_eq!(harness.calls(Service::Billing), 0);
}

#[tokio::test]
async fn a_sixth_service_is_six_lines_and_inherits_everything() {
    let sixth = "[services.qr-service]\nurl = \"http://127.0.0.1:{link}\"\n\
                 assertion_key = { env = \"LINK_SERVICE_ASSERTION_KEY\" }\n\
                 [routes.qr-get]\nmatch = \"GET /qr/{id}\"\nservice = \"qr-service\"\n";
    assert_eq!(sixth.lines().count(), 6);
    let harness = Harness::builder().platform_layer(sixth).start().await;
    let anonymous = harness.mobile.get("/qr/x7Kp2").send().await.expect("an answer");
    assert_eq!(anonymous.status(), 401, "the gateway's scheme");
    let answer = harness.mobile_get("/qr/x7Kp2").await;
    let policy = answer.headers()["ratelimit-policy"].to_str().expect("ASCII").to_owned();
    assert!(policy.contains(r#""consumer";q=1000;w=60"#), "the platform's limits: {policy}");
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.header("x-user-id"), Some("4821"), "the identity headers");
    assert!(seen.header("x-gateway-assertion").is_some(), "the assertion");
}

#[tokio::test]
async fn a_route_may_ask_for_scopes_and_a_refusal_names_them_and_costs_nothing() {
    let platform = "[routes.audit]\nmatch = \"GET /audit/{id}\"\nservice = \"link-service\"\n\
                    rewrite = \"/links/{id}\"\nscopes = [\"audit:read\"]\n\
                    [routes.audit-known]\nmatch = \"GET /known/{id}\"\nservice = \"link-service\"\n\
                    rewrite = \"/links/{id}\"\nscopes = [\"links:read\"]\n";
    let layer =
        "[limits.consumer]\nrate = { free = \"1/min\", pro = \"1/min\", partner = \"1/min\" }\n";
    let builder = Harness::builder().platform_layer(platform).layer("mobile-bff", layer);
    let harness = builder.start().await;
    for _ in 0..3 {
        let refused = harness.mobile_get("/audit/x7Kp2").await;
        assert_eq!(refused.status(), 403);
        let challenge = refused.headers()["www-authenticate"].to_str().expect("ASCII").to_owned();
        assert!(
            challenge.contains(r#"error="insufficient_scope", scope="audit:read""#),
            "{challenge}"
        );
    }
    assert_eq!(harness.calls(Service::Link), 0);
    assert_eq!(harness.mobile_get("/known/x7Kp2").await.status(), 200);
}

#[tokio::test]
async fn keys_that_rotate_are_fetched_once_and_old_tokens_live_on_while_theirs_is_published() {
    let harness = Harness::start().await;
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200);
    let fetched = harness.calls_of(Service::User, "/.well-known/jwks.json");
    harness.rotate_keys();
    let token = harness.log_in("editor@example.com").await;
    let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&token);
    assert_eq!(request.send().await.expect("an answer").status(), 200, "the new key's token");
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "the old key's token");
    assert_eq!(harness.calls_of(Service::User, "/.well-known/jwks.json"), fetched + 1);
}

#[tokio::test]
async fn without_the_issuers_keys_a_gateway_is_not_ready_and_says_503_and_not_401() {
    let harness = Harness::builder().without(Service::User).start().await;
    let ready = harness.client.get(format!("{}/readyz", harness.mobile.admin)).send().await;
    let ready = ready.expect("an answer");
    assert_eq!(ready.status(), 503);
    assert_eq!(json_of(ready).await["reasons"][0]["code"], "keys_not_loaded");
    let token = tests::harness::unknown_token();
    let answer = harness.mobile.get("/links/x7Kp2").bearer_auth(token).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}
