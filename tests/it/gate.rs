//! What is decided at the gate: who may pass, what is answered at once, where a request goes, what
//! its body must be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _, field, json_of, part_status};
use tests::platform::Service;
use tests::verify::repository;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A service of a test's own: it answers what it is told to, and remembers what it was asked.
struct Stub {
    port: u16,
    state: Arc<Mutex<Told>>,
    _tasks: JoinSet<()>,
}

/// What a stub answers, and what it was asked.
struct Told {
    status: StatusCode,
    body: String,
    hangs: bool,
    asked: Vec<(HeaderMap, Bytes)>,
}

impl Stub {
    async fn start(body: &str) -> Self {
        let body = body.to_owned();
        let told = Told { status: StatusCode::OK, body, hangs: false, asked: Vec::new() };
        let state = Arc::new(Mutex::new(told));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { port, state, _tasks: tasks }
    }

    fn section(&self, name: &str) -> String {
        format!("[services.{name}]\nurl = \"http://127.0.0.1:{}\"\n", self.port)
    }

    fn tell(&self, status: u16, body: &str) {
        let mut told = self.state.lock().expect("no panic");
        told.status = StatusCode::from_u16(status).expect("a status");
        told.body = body.to_owned();
    }

    fn hang(&self) {
        self.state.lock().expect("no panic").hangs = true;
    }

    fn asked(&self) -> Vec<(HeaderMap, Bytes)> {
        self.state.lock().expect("no panic").asked.clone()
    }
}

async fn answer(State(state): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let (hangs, status, answer) = {
        let mut told = state.lock().expect("no panic");
        told.asked.push((head.headers, body));
        (told.hangs, told.status, told.body.clone())
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    (status, [("content-type", "application/json")], answer).into_response()
}

async fn get_as(harness: &Harness, path: &str, token: &str) -> (u16, Value) {
    let answer = harness.mobile.get(path).bearer_auth(token).send().await.expect("an answer");
    (answer.status().as_u16(), json_of(answer).await)
}

// ── require ─────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn requirements_of_all_levels_hold_together_and_a_refusal_costs_nothing() {
    let layer = "
        [policy]\nrequire = \"tier in ['free', 'pro']\"
        [services.link-service]\nrequire = \"tenant == 'tenant-7'\"
        [routes.links-list]\nrequire = \"role == 'admin' or user_id == '4821' and not tier == 'free'\"
        [routes.links-get]\nrequire = \"tenant == 'tenant-8'\"
        [routes.links-update]\nrequire = \"role != 'viewer'\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let viewer = harness.log_in("viewer@example.com").await;
    let admin = harness.log_in("admin@example.com").await;
    assert_eq!(get_as(&harness, "/links?limit=1", &harness.token).await.0, 200);
    assert_eq!(get_as(&harness, "/links?limit=1", &admin).await.0, 200);
    let before = harness.calls(Service::Link);
    let (status, problem) = get_as(&harness, "/links", &viewer).await;
    assert_eq!((status, &problem["code"]), (403, &json!("requirement_not_met")));
    assert!(!problem.to_string().contains("admin"), "{problem}");
    // The service holds of everybody here, the route of nobody.
    assert_eq!(get_as(&harness, "/links/x7Kp2", &admin).await.0, 403);
    assert_eq!(harness.calls(Service::Link), before);
    assert_eq!(harness.mobile.last_steps(), Some(vec![2, 3, 4, 5, 6, 7, 13]));
    // Public routes have nobody to require anything of.
    assert!(!harness.log_in("viewer@example.com").await.is_empty());
}

#[tokio::test]
async fn a_view_is_for_those_whom_each_service_it_shows_is_for() {
    let layer = "[services.billing-service]\nrequire = \"role == 'admin'\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let (status, problem) = get_as(&harness, "/dashboard", &harness.token).await;
    assert_eq!((status, &problem["code"]), (403, &json!("requirement_not_met")));
    assert_eq!(harness.calls(Service::Billing), 0);
    let admin = harness.log_in("admin@example.com").await;
    assert_eq!(get_as(&harness, "/dashboard", &admin).await.0, 200);
}

/// The sample's configuration in a folder of its own, with one more layer; runs mobile-bff there.
fn mobile_with(layer: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["platform.toml", "mobile-bff.toml"] {
        let from = repository().join("config").join(name);
        std::fs::copy(from, folder.path().join(name)).expect("copied");
    }
    std::fs::write(folder.path().join("mobile-bff.doc.toml"), layer).expect("written");
    std::fs::create_dir(folder.path().join("schemas")).expect("made");
    std::fs::write(folder.path().join("schemas/new-link.json"), "{}").expect("written");
    let api = json!({ "openapi": "3.1.0", "paths": { "/links/{id}": { "patch": {
        "operationId": "updateLink",
        "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } },
    } } } });
    std::fs::write(folder.path().join("api.json"), api.to_string()).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let arguments = [arguments, &["--config", &folder, "--environment", "doc"]].concat();
    let output = super::command::run("mobile-bff", &arguments, &super::command::VARIABLES);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), super::command::text(&said).replace(&folder, "config"))
}

fn document() -> String {
    std::fs::read_to_string(repository().join("docs/gate.md")).expect("readable")
}

fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let blocks = document.split(&opening).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn every_example_of_the_document_is_a_configuration() {
    let examples = blocks(&document(), "toml");
    assert!(examples.len() >= 7, "{}", examples.len());
    for example in examples {
        let (status, said) = mobile_with(&example, &["check"]);
        assert_eq!(status, Some(0), "{example}\n{said}");
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_shown_as_the_document_shows_it() {
    let wrong = "[routes.links-delete]\nrequire = \"role in [editor]\"\n";
    let (status, said) = mobile_with(wrong, &["check"]);
    let shown = blocks(&document(), "text").into_iter().find(|block| block.contains('^'));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains(&shown.expect("a block with a caret")), "{said}");
}

#[test]
fn explain_says_what_is_required_and_who_decides() {
    let layer = "[policy]\nrequire = \"tier != 'suspended'\"\n\
                 [services.billing-service]\ndecide = { call = \"POST user-service:/d\" }\n\
                 [routes.billing-usage]\nrequire = \"role in ['editor','admin']\"\n";
    let (status, said) = mobile_with(layer, &["explain", "GET", "/billing/usage"]);
    assert_eq!(status, Some(0), "{said}");
    for expected in [
        "requires tier != 'suspended' (policy.require)\n",
        "requires role in ['editor', 'admin'] (routes.billing-usage.require)\n",
        "asks user-service:/d\n",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

// ── Constants, redirects, maintenance, addresses ────────────────────────────────────────────────

#[tokio::test]
async fn constants_and_redirects_are_answered_at_once_and_cost_nobody_anything() {
    let layer = "
        [policy]\nredirect_hosts = [\"docs.example.com\"]
        [routes.robots]\nmatch = \"GET /robots.txt\"\npublic = \"for robots\"
        respond = { body = \"User-agent: *\\nDisallow: /\\n\" }
        [routes.gone]\nmatch = \"* /v0/{*rest}\"\npublic = \"it is gone\"
        respond = { status = 410, body = '{\"gone\":true}', content_type = \"application/json\" }
        [routes.short]\nmatch = \"GET /l/{id}\"\npublic = \"a shorter name\"
        redirect = { to = \"/links/{id}\", status = 308 }
        [routes.docs]\nmatch = \"GET /docs\"\npublic = \"a shorter name\"
        redirect = { to = \"https://docs.example.com/api\", keep_query = false }\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for _ in 0..20 {
        let answer = harness.mobile.get("/robots.txt").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "no limit is charged");
        assert_eq!(field(&answer, "content-type"), "text/plain; charset=utf-8");
        assert_eq!(field(&answer, "ratelimit"), "");
        assert_eq!(answer.text().await.expect("a body"), "User-agent: *\nDisallow: /\n");
    }
    assert_eq!(harness.mobile.last_steps(), Some(vec![2, 3, 4, 13]));
    let head = harness.mobile.request("HEAD", "/robots.txt").send().await.expect("an answer");
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "26".to_owned()));
    let gone = harness.mobile.post("/v0/x/y").body("a=b").send().await.expect("an answer");
    assert_eq!((gone.status().as_u16(), field(&gone, "cache-control")), (410, "no-store".into()));
    assert_eq!(json_of(gone).await, json!({ "gone": true }));
    let unread = "POST /v0/x HTTP/1.1\r\nContent-Length: 100000\r\n";
    let (status, answer) = harness.mobile.raw(unread).await;
    assert!(status == 410 && answer.contains("connection: close"), "{answer}");
    let place = |path: &'static str| {
        let request = harness.mobile.get(path).send();
        async move {
            let answer = request.await.expect("an answer");
            (answer.status().as_u16(), field(&answer, "location"))
        }
    };
    assert_eq!(place("/l/x7Kp2").await, (308, "/links/x7Kp2".to_owned()));
    assert_eq!(place("/l/a%20b?x=1&y").await, (308, "/links/a%20b?x=1&y".to_owned()));
    assert_eq!(place("/docs?x=1").await, (307, "https://docs.example.com/api".to_owned()));
    let line = harness.mobile.line_of("/l/x7Kp2").await;
    assert_eq!((&line["route"], &line["upstream_service"]), (&json!("short"), &Value::Null));
}

#[tokio::test]
async fn a_route_in_maintenance_is_503_with_retry_after_before_anything_is_asked() {
    let layer =
        "[routes.links-list]\nmaintenance = { retry_after = \"90s\", detail = \"Back at six.\" }\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let answer = harness.mobile.get("/links").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), field(&answer, "retry-after")), (503, "90".to_owned()));
    let problem = json_of(answer).await;
    assert_eq!(
        (&problem["code"], &problem["detail"]),
        (&json!("maintenance"), &json!("Back at six."))
    );
    assert_eq!(harness.mobile.last_steps(), Some(vec![2, 3, 4, 13]));
    assert_eq!(get_as(&harness, "/links/x7Kp2", &harness.token).await.0, 200);
}

#[tokio::test]
async fn a_service_in_maintenance_takes_its_own_routes_and_parts_and_no_others() {
    let layer = "[services.analytics-service]\nmaintenance = { retry_after = \"10m\" }\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let (status, problem) = get_as(&harness, "/analytics/summary", &harness.token).await;
    assert_eq!((status, &problem["code"]), (503, &json!("maintenance")));
    let dashboard = harness.mobile_get("/dashboard").await;
    assert_eq!(dashboard.status(), 200);
    assert_eq!(part_status(&dashboard, "summary"), "o=failed;r=unavailable");
    assert_eq!(json_of(dashboard).await["summary"], Value::Null);
    assert_eq!(harness.calls(Service::Analytics), 0);
    assert_eq!(get_as(&harness, "/links/x7Kp2", &harness.token).await.0, 200);
}

#[tokio::test]
async fn with_everything_in_maintenance_constants_are_still_answered() {
    let layer = "
        [policy]\nmaintenance = { retry_after = \"1500ms\" }
        [routes.status]\nmatch = \"GET /status\"\npublic = \"it is a constant\"
        respond = { body = \"closed\" }\n";
    let harness = Harness::builder().layer("partner-gateway", layer).start().await;
    let answer = harness.partner_get("/v1/links", "pro").await;
    assert_eq!((answer.status().as_u16(), field(&answer, "retry-after")), (503, "2".to_owned()));
    let answer = harness.partner_get("/v1/webhooks/endpoints", "pro").await;
    assert_eq!(answer.status(), 503, "an endpoint of its own is closed too");
    let answer = harness.partner.get("/status").send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), "closed");
    assert_eq!(harness.partner.get("/nothing").send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn denied_addresses_end_at_the_guard_wherever_a_listed_proxy_says_they_come_from() {
    let layer = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\nallow = [\"127.0.0.0/8\", \"203.0.113.0/24\"]\n\
                 deny = [\"203.0.113.64/26\"]\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for (client, status) in [
        ("203.0.113.7", 200),
        ("203.0.113.65", 403),
        ("198.51.100.1", 403),
        ("198.51.100.1, 203.0.113.7", 200),
    ] {
        let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
        let answer = request.header("X-Forwarded-For", client).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{client}");
        if status == 403 {
            assert_eq!(json_of(answer).await["code"], "address_refused");
            assert_eq!(harness.mobile.last_steps(), Some(vec![2, 3, 13]));
        }
    }
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains("gateway_refusals_total{code=\"address_refused\"} 2"), "{metrics}");
}

// ── Canary ──────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_canary_takes_who_asks_for_it_and_its_share_and_the_record_says_so() {
    let stub = Stub::start("{\"next\":true}").await;
    let platform = stub.section("link-service-next");
    let layer = "
        [services.link-service]
        canary = { service = \"link-service-next\", percent = 0, header = \"X-Canary\" }
        [routes.links-list]
        canary = { service = \"link-service-next\", percent = 100, header = \"X-Canary\" }\n";
    let builder = Harness::builder().platform_layer(&platform);
    let harness = builder.layer("mobile-bff", layer).start().await;
    let get = |path: &'static str, choice: &'static str| {
        let request = harness.mobile.get(path).bearer_auth(&harness.token);
        let request = if choice.is_empty() { request } else { request.header("X-Canary", choice) };
        async move { request.send().await.expect("an answer") }
    };
    for (path, choice, is_next) in [
        ("/links/x7Kp2", "", false),
        ("/links/x7Kp2", "always", true),
        ("/links/x7Kp2", "perhaps", false),
        ("/links", "", true),
        ("/links", "never", false),
    ] {
        let answer = get(path, choice).await;
        assert_eq!(answer.status(), 200, "{path} {choice}");
        let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert!(format!("{vary:?}").contains("x-canary"), "{path}: {vary:?}");
        let id = field(&answer, "x-request-id");
        assert_eq!(json_of(answer).await["next"] == true, is_next, "{path} {choice}");
        let line = harness.mobile.line_with(&id).await;
        let service = if is_next { "link-service-next" } else { "link-service" };
        assert_eq!(line["upstream_service"], service, "{path} {choice}");
    }
    let (headers, _) = stub.asked().pop().expect("asked");
    assert_eq!(headers["x-user-id"], "4821", "it learns what every service learns");
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains("service=\"link-service-next\",outcome=\"2xx\"} 2"), "{metrics}");
}

// ── decide ──────────────────────────────────────────────────────────────────────────────────────

/// A harness whose links are decided about by a stub.
async fn decided(stub: &Stub, decide: &str) -> Harness {
    let layer = format!(
        "[services.link-service]\ndecide = {{ call = \"POST policy-service:/v1/decide?v=1\", {decide} }}\n"
    );
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    builder.layer("mobile-bff", &layer).start().await
}

#[tokio::test]
async fn a_service_decides_and_hears_who_wants_what() {
    let stub = Stub::start(r#"{"allow":true}"#).await;
    let harness = decided(&stub, "deadline = \"5s\"").await;
    assert_eq!(get_as(&harness, "/links/x7Kp2?secret=1", &harness.token).await.0, 200);
    let (headers, question) = stub.asked().pop().expect("asked");
    let expected = json!({
        "identity": {
            "user_id": "4821", "role": "editor", "roles": [], "tenant": "tenant-7", "tier": "pro",
            "scheme": "jwt", "scopes": ["links:read", "links:write"],
        },
        "method": "GET", "path": "/links/x7Kp2", "route": "links-get", "params": { "id": "x7Kp2" },
    });
    assert_eq!(serde_json::from_slice::<Value>(&question).expect("JSON"), expected);
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.contains_key("traceparent") && !headers.contains_key("authorization"));
    let line = harness.mobile.line_of("/links/x7Kp2").await;
    assert_eq!((&line["upstream_service"], &line["attempts"]), (&json!("link-service"), &json!(2)));

    stub.tell(200, r#"{"allow":false,"reason":"not_on_fridays"}"#);
    let before = harness.calls(Service::Link);
    let (status, problem) = get_as(&harness, "/links/x7Kp2", &harness.token).await;
    assert_eq!((status, &problem["code"]), (403, &json!("denied")));
    assert_eq!(problem["reason"], "not_on_fridays");
    assert_eq!(harness.calls(Service::Link), before);
    assert_eq!(stub.asked().len(), 2);
    // Other services' routes, and public ones, are not asked about.
    assert_eq!(get_as(&harness, "/billing/usage", &harness.token).await.0, 200);
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test]
async fn without_a_decision_nobody_passes() {
    let stub = Stub::start(r#"{"allow":"true"}"#).await;
    let harness = decided(&stub, "deadline = \"50ms\"").await;
    let check = async |what: &str| {
        let (status, problem) = get_as(&harness, "/links/x7Kp2", &harness.token).await;
        assert_eq!((status, &problem["code"]), (503, &json!("decision_unavailable")), "{what}");
    };
    check("no boolean").await;
    stub.tell(500, r#"{"allow":true}"#);
    check("another status").await;
    stub.tell(200, &format!(r#"{{"allow":true,"x":"{}"}}"#, "x".repeat(20_000)));
    check("an answer without end").await;
    stub.hang();
    check("no answer in time").await;
    assert_eq!(harness.calls(Service::Link), 0);
    let metrics = harness.mobile.metrics().await;
    let counted = "gateway_decisions_total{outcome=\"unavailable\",source=\"call\"} 4";
    assert!(metrics.contains(counted), "{metrics}");
    drop(stub);
    check("nothing listens").await;
}

#[tokio::test]
async fn a_public_route_is_decided_about_only_where_it_says_so_itself() {
    let stub = Stub::start(r#"{"allow":false}"#).await;
    let call = "decide = { call = \"POST policy-service:/d\", deadline = \"5s\" }";
    let layer = format!("[services.user-service]\n{call}\n[routes.auth-refresh]\n{call}\n");
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    // The harness logs in by a public route that inherits the decision and is not asked about.
    let harness = builder.layer("mobile-bff", &layer).start().await;
    assert!(stub.asked().is_empty());
    let request = harness.mobile.post("/auth/refresh").json_body(&json!({ "refresh_token": "x" }));
    assert_eq!(request.send().await.expect("an answer").status(), 403);
    let (_, question) = stub.asked().pop().expect("asked");
    let question: Value = serde_json::from_slice(&question).expect("JSON");
    assert_eq!((&question["identity"], &question["route"]), (&Value::Null, &json!("auth-refresh")));
}

#[tokio::test]
async fn a_kept_decision_is_for_the_same_caller_and_request_and_ends() {
    let stub = Stub::start(r#"{"allow":true}"#).await;
    let layer = "[services.link-service]\n\
                 decide = { call = \"POST policy-service:/d\", deadline = \"5s\", cache = \"10s\" }\n";
    let builder = Harness::builder().platform_layer(&stub.section("policy-service"));
    let harness = builder.layer("mobile-bff", layer).manual_clock().start().await;
    let admin = harness.log_in("admin@example.com").await;
    let asked = async |path: &str, token: &str| {
        assert_eq!(get_as(&harness, path, token).await.0, 200, "{path}");
        stub.asked().len()
    };
    assert_eq!(asked("/links/x7Kp2", &harness.token).await, 1);
    assert_eq!(asked("/links/x7Kp2?x=1", &harness.token).await, 1);
    assert_eq!(asked("/links/x7Kp2", &admin).await, 2);
    assert_eq!(asked("/links", &harness.token).await, 3);
    harness.advance(Duration::from_secs(10));
    assert_eq!(asked("/links/x7Kp2", &harness.token).await, 4);
}

// ── Limits by what a body says ──────────────────────────────────────────────────────────────────

#[tokio::test]
async fn one_account_has_one_bucket_however_it_is_spelled_and_others_have_their_own() {
    let layer = "
        [limits.account]\nkey = [\"address\", \"body.email\"]\nrate = \"3/min\"
        [limits.login]\nkey = \"address\"\nrate = \"100/min\"
        [routes.auth-login]\nlimits = [\"login\", \"account\"]\n";
    let builder = Harness::builder().layer("mobile-bff", layer).manual_clock();
    let harness = builder.start().await;
    let log_in = async |body: &str| {
        let request = harness.mobile.post("/auth/login").header("Content-Type", "application/json");
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let victim = |email: &str| format!("{{\"email\": \"{email}\", \"password\": \"wrong\"}}");
    for email in ["v@example.com", " V@Example.com", "\\u0076@example.com"] {
        assert_eq!(log_in(&victim(email)).await.0, 401, "{email}");
    }
    let before = harness.calls(Service::User);
    let (status, problem) = log_in(&victim("v@example.com")).await;
    assert_eq!((status, &problem["violated-policies"]), (429, &json!(["account"])));
    let (status, problem) = log_in(r#"{"email":"x","Email":"v@example.com"}"#).await;
    assert_eq!((status, &problem["code"]), (400, &json!("body_ambiguous")));
    assert_eq!(harness.calls(Service::User), before);
    assert_eq!(log_in(&victim("other@example.com")).await.0, 401);
    let good = log_in(&harness.login_body().to_string()).await;
    assert!(good.0 == 200 && good.1["access_token"].is_string(), "the body went on whole");
    // Whoever says nothing shares one bucket with all who do.
    let mut statuses = Vec::new();
    for body in ["{}", "[]", "no JSON", r#"{"email":null}"#] {
        statuses.push(log_in(body).await.0);
    }
    let (last, others) = statuses.split_last().expect("four");
    assert!(*last == 429 && !others.contains(&429), "{statuses:?}");
}

// ── body_schema ─────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_body_is_judged_by_type_size_syntax_and_schema_and_goes_on_as_it_came() {
    let stub = Stub::start("{}").await;
    let layer = "
        [routes.things]\nmatch = \"POST /things\"\nservice = \"things\"\nbody_size_max = \"200KiB\"
        [routes.things.body_schema.schema]
        type = \"object\"\nrequired = [\"name\"]\nadditionalProperties = false
        properties = { name = { type = \"string\" }, fill = { type = \"string\" } }\n";
    let builder = Harness::builder().platform_layer(&stub.section("things"));
    let harness = builder.layer("mobile-bff", layer).start().await;
    let send = async |content_type: &str, body: String| {
        let request = harness.mobile.post("/things").bearer_auth(&harness.token);
        let request = request.header("Content-Type", content_type).body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), json_of(answer).await)
    };
    let json = "application/json";
    for (content_type, body, status, code) in [
        ("text/plain", "{\"name\":\"a\"}".to_owned(), 415, "media_type_unsupported"),
        ("text/plain", "x".repeat(300_000), 413, "body_too_large"),
        (json, String::new(), 400, "body_not_json"),
        (json, "{\"name\":".to_owned(), 400, "body_not_json"),
        (json, "{\"name\":\"a\",\"name\":7}".to_owned(), 400, "body_not_json"),
        (json, "{\"name\":7,\"owner\":\"x\"}".to_owned(), 422, "body_invalid"),
        (json, format!("{{\"name\":7,\"fill\":\"{}\"}}", "x".repeat(100_000)), 422, "body_invalid"),
    ] {
        let (found, problem) = send(content_type, body).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    let (_, problem) = send(json, "{\"name\":7,\"owner\":\"x\"}".to_owned()).await;
    let pointers: Vec<&Value> =
        problem["errors"].as_array().expect("a list").iter().map(|one| &one["pointer"]).collect();
    assert!(pointers.contains(&&json!("/name")) && pointers.contains(&&json!("")), "{problem}");
    assert!(stub.asked().is_empty(), "nothing of these reached the service");
    let large = format!("{{\"name\":\"a\",\n \"fill\" : \"{}\"}}", "é".repeat(50_000));
    for body in ["{ \"name\" :\t\"\\u0061\" }\n".to_owned(), large] {
        assert_eq!(send(json, body.clone()).await.0, 200);
        assert_eq!(stub.asked().pop().expect("asked").1, body, "byte by byte");
    }
}

#[tokio::test]
async fn a_schema_may_come_from_a_file_or_from_an_operation_of_an_openapi_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = json!({ "type": "object", "required": ["slug"] });
    let document = json!({
        "openapi": "3.1.0",
        "paths": { "/links": { "post": {
            "operationId": "createLink",
            "requestBody": { "required": true, "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/NewLink" },
            } } },
        } } },
        "components": { "schemas": { "NewLink": {
            "type": "object", "properties": { "target_url": { "type": "string", "format": "uri" } },
        } } },
    });
    let written = [("slug.json", &schema), ("api.json", &document)];
    let [slug, api] = written.map(|(name, value)| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).expect("written");
        path.display().to_string()
    });
    let layer = format!(
        "[routes.links-create]\nbody_schema = {{ openapi = \"{api}\", operation = \"createLink\" }}\n\
         [routes.links-update]\nbody_schema = {{ file = \"{slug}\" }}\n"
    );
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    let send = async |method: &str, path: &str, body: Value| {
        let request = harness.mobile.request(method, path).bearer_auth(&harness.token);
        request.json_body(&body).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(send("POST", "/links", json!({ "target_url": "no uri" })).await, 422);
    assert_eq!(send("POST", "/links", json!({ "target_url": "https://example.com/" })).await, 201);
    assert_eq!(send("PATCH", "/links/x7Kp2", json!({ "title": "x" })).await, 422);
    assert_eq!(send("PATCH", "/links/x7Kp2", json!({ "slug": "x", "title": "y" })).await, 200);
}
