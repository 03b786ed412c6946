//! The browser's gateway: sessions, cross-site requests, CORS, security headers.

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _, json_of};
use tests::platform::Service;

const COOKIE: &str = "__Host-Http-sid";

#[tokio::test]
async fn a_login_answers_exactly_one_cookie_and_no_token() {
    let harness = Harness::start().await;
    let answer = harness.web_log_in().await;
    assert_eq!(answer.status(), 200);
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    let [cookie] = cookies[..] else { panic!("{} cookies", cookies.len()) };
    let cookie = cookie.to_str().expect("ASCII").to_owned();
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    let id = pair.strip_prefix(&format!("{COOKIE}=")).expect("the configured name");
    assert!(id.len() >= 22 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    let mut attributes: Vec<&str> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body = answer.text().await.expect("a body");
    assert!(!body.contains("eyJ") && !body.contains("token"), "{body}");
}

#[tokio::test]
async fn a_session_knows_who_it_is_and_its_requests_reach_the_services_as_that_user() {
    let harness = Harness::start().await;
    let user = json_of(harness.web_get("/bff/user").await).await;
    assert_eq!(user["user_id"], "4821");
    assert_eq!(user["role"], "editor");
    assert_eq!(harness.web_get("/api/links/x7Kp2").await.status(), 200);
    let seen = harness.last_request(Service::Link);
    assert_eq!(seen.header("x-user-id"), Some("4821"));
    assert_eq!(seen.header("cookie"), None, "the cookie stays with the gateway");
}

#[tokio::test]
async fn a_wrong_password_is_401_without_a_cookie() {
    let harness = Harness::start().await;
    let body = json!({ "email": "editor@example.com", "password": "wrong" });
    let answer = harness.web.post("/auth/login").json_body(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    assert!(!answer.headers().contains_key("set-cookie"));
    assert_eq!(json_of(answer).await["code"], "login_failed");
}

#[tokio::test]
async fn a_login_with_a_session_ends_it_and_begins_another() {
    let harness = Harness::start().await;
    let before = harness.session.clone();
    let body = harness.login_body();
    let request = harness.web.post("/auth/login").header("Cookie", format!("{COOKIE}={before}"));
    let answer = request.json_body(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().expect("ASCII").to_owned();
    assert!(!cookie.contains(&before), "the id changes");
    assert_eq!(harness.web_get("/bff/user").await.status(), 401, "the old one is over");
}

#[tokio::test]
async fn a_logout_removes_the_cookie_with_all_its_attributes_and_ends_the_session_for_ever() {
    let harness = Harness::start().await;
    let answer = harness.web_send("POST", "/bff/logout", &[]).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(
        answer.headers()["set-cookie"],
        "__Host-Http-sid=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
    );
    assert_eq!(answer.headers()["clear-site-data"], r#""cache", "storage""#);
    let after = harness.web_get("/bff/user").await;
    assert_eq!(after.status(), 401);
    assert_eq!(json_of(after).await["code"], "session_ended");
}

/// Sends a raw `Cookie` header to a cookie route.
async fn with_cookie(harness: &Harness, cookie: &[u8]) -> (u16, Value) {
    let value = reqwest::header::HeaderValue::from_bytes(cookie).expect("a header value");
    let request = harness.web.get("/bff/user").header("X-CSRF", "1").header("Cookie", value);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), json_of(answer).await)
}

#[tokio::test]
async fn only_the_exact_cookie_is_a_session() {
    let harness = Harness::start().await;
    let id = harness.session.clone();
    let pair = format!("{COOKIE}={id}");
    let accepted: [Vec<u8>; 3] = [
        pair.clone().into_bytes(),
        [format!("theme=d\u{e9}mo; {pair}; bad=%zz").into_bytes()].concat(),
        format!("a=1; {pair}").into_bytes(),
    ];
    for cookie in &accepted {
        assert_eq!(with_cookie(&harness, cookie).await.0, 200, "{}", cookie.escape_ascii());
    }
    let refused: [Vec<u8>; 8] = [
        format!("%5F%5FHost-Http-sid={id}").into_bytes(),
        [b"\xe2\x80\x80".as_slice(), pair.as_bytes()].concat(),
        [b"\x85".as_slice(), pair.as_bytes()].concat(),
        [b"\xa0".as_slice(), pair.as_bytes()].concat(),
        format!("$Version=1; {}", pair.to_lowercase()).into_bytes(),
        format!("__host-http-sid={id}").into_bytes(),
        format!("{COOKIE}={}", &id[1..]).into_bytes(),
        format!("{COOKIE}=\"{id}\"").into_bytes(),
    ];
    for cookie in &refused {
        assert_eq!(with_cookie(&harness, cookie).await.0, 401, "{}", cookie.escape_ascii());
    }
}

#[tokio::test]
async fn two_session_cookies_are_ambiguous_whichever_is_valid() {
    let harness = Harness::start().await;
    let valid = format!("{COOKIE}={}", harness.session);
    let other = format!("{COOKIE}={}", "A".repeat(harness.session.len()));
    for cookie in [format!("{valid}; {other}"), format!("{other}; {valid}")] {
        let (status, problem) = with_cookie(&harness, cookie.as_bytes()).await;
        assert_eq!((status, &problem["code"]), (401, &json!("ambiguous_session")), "{cookie}");
    }
}

#[tokio::test]
async fn a_cookie_route_needs_the_custom_header_for_get_too() {
    let harness = Harness::start().await;
    for method in ["GET", "POST"] {
        let path = if method == "GET" { "/api/links" } else { "/bff/logout" };
        let request = harness.web.request(method, path).header("Cookie", harness.cookie());
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 403, "{method}");
        assert_eq!(json_of(answer).await["code"], "csrf_header_missing", "{method}");
    }
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn requests_that_a_foreign_page_caused_are_refused() {
    let harness = Harness::start().await;
    for (headers, status) in [
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Sec-Fetch-Site", "same-origin")], 200),
        (vec![], 200),
        (vec![("Origin", "http://localhost:5173"), ("Sec-Fetch-Site", "cross-site")], 200),
    ] {
        let answer = harness.web_send("GET", "/api/links?limit=1", &headers).await;
        assert_eq!(answer.status(), status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_preflight_of_a_listed_origin_is_answered_without_the_service_or_a_limit() {
    let harness = Harness::start().await;
    let preflight = |origin: &'static str| {
        let request = harness.web.request("OPTIONS", "/api/links").header("Origin", origin);
        request
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "x-csrf,content-type")
            .send()
    };
    let answer = preflight("http://localhost:5173").await.expect("an answer");
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], "http://localhost:5173");
    assert_eq!(headers["access-control-allow-credentials"], "true");
    assert!(headers["access-control-allow-methods"].to_str().expect("ASCII").contains("POST"));
    assert!(headers.contains_key("access-control-max-age"));
    let vary = headers.get_all("vary").iter().map(|v| v.to_str().expect("ASCII").to_lowercase());
    let vary = vary.collect::<Vec<_>>().join(",");
    for name in ["origin", "access-control-request-method", "access-control-request-headers"] {
        assert!(vary.contains(name), "{vary}");
    }
    assert!(!headers.contains_key("ratelimit"));
    for other in [
        "https://evil.example",
        "http://localhost:5174",
        "https://localhost:5173",
        "http://LOCALHOST:5173",
        "http://localhost:5173.evil.example",
        "http://localhost.:5173",
    ] {
        let answer = preflight(other).await.expect("an answer");
        assert_eq!(answer.status(), 403, "{other}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{other}");
    }
    assert_eq!(harness.calls(Service::Link), 0);
}

#[tokio::test]
async fn every_answer_varies_by_origin_and_carries_the_security_headers() {
    let harness = Harness::start().await;
    for (path, status) in [("/api/links?limit=1", 200), ("/nothing", 404), ("/api/links/none", 404)]
    {
        let answer = harness.web_send("GET", path, &[("Origin", "http://localhost:5173")]).await;
        assert_eq!(answer.status(), status, "{path}");
        let headers = answer.headers().clone();
        assert_eq!(headers["access-control-allow-origin"], "http://localhost:5173", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert!(headers.contains_key("referrer-policy"), "{path}");
        let policy = headers["content-security-policy"].to_str().expect("ASCII").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        let without = harness.web_get(path).await;
        let vary = without.headers().get_all("vary").iter();
        let vary: String = vary.map(|v| v.to_str().expect("ASCII").to_lowercase() + ",").collect();
        assert!(vary.contains("origin"), "{path}: {vary}");
    }
}

#[tokio::test]
async fn refusals_of_every_kind_can_be_read_by_the_listed_page() {
    let layer = "[limits.links-read]\nrate = \"1/min\"\n";
    let builder = Harness::builder().without(Service::Billing).layer("web-bff", layer);
    let harness = builder.start().await;
    let origin = ("Origin", "http://localhost:5173");
    harness.web_get("/api/links/x7Kp2").await;
    let long = format!("/api/links?{}", "x".repeat(9_000));
    for (path, status) in
        [("/api/links/x7Kp2", 429), ("/api/billing/usage", 502), (&*long, 414), ("/api/;", 400)]
    {
        let answer = harness.web_send("GET", path, &[origin]).await;
        assert_eq!(answer.status(), status);
        let allowed = answer.headers().get("access-control-allow-origin");
        assert_eq!(allowed.map(reqwest::header::HeaderValue::as_bytes), Some(origin.1.as_bytes()));
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    let anonymous = harness.web.get("/bff/user").header(origin.0, origin.1).send().await;
    let anonymous = anonymous.expect("an answer");
    assert_eq!(anonymous.status(), 401);
    assert_eq!(anonymous.headers()["access-control-allow-origin"], origin.1);
}

#[tokio::test]
async fn answers_of_cookie_routes_are_never_for_shared_caches() {
    let harness = Harness::start().await;
    for path in ["/api/links?limit=1", "/api/dashboard", "/bff/user"] {
        let answer = harness.web_get(path).await;
        let control = answer.headers()["cache-control"].to_str().expect("ASCII").to_owned();
        assert!(control.contains("private") || control.contains("no-store"), "{path}: {control}");
        let vary = answer.headers().get_all("vary").iter();
        let vary: String = vary.map(|v| v.to_str().expect("ASCII").to_lowercase() + ",").collect();
        assert!(vary.contains("cookie"), "{path}: {vary}");
    }
}

#[tokio::test]
async fn a_session_nobody_used_for_too_long_is_over() {
    let harness = Harness::builder().manual_clock().start().await;
    assert_eq!(harness.web_get("/bff/user").await.status(), 200);
    harness.advance(std::time::Duration::from_secs(29 * 60));
    assert_eq!(harness.web_get("/bff/user").await.status(), 200, "in use");
    harness.advance(std::time::Duration::from_secs(31 * 60));
    let answer = harness.web_get("/bff/user").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(json_of(answer).await["code"], "session_expired");
}
