//! Parts that are kept: whose they are, for how long, and how they go. How keys are made and
//! flights shared is tested in the core.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::harness::{Harness, field, json_of, part_status};
use tests::platform::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Time enough for a busy machine.
const PATIENT: &str = "[aggregates.dashboard]\ndeadline = \"8s\"\n";

async fn patient() -> Harness {
    Harness::builder().layer("web-bff", PATIENT).manual_clock().start().await
}

/// What the report and the cache say of the usage.
async fn usage(harness: &Harness) -> (String, String) {
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(answer.status(), 200);
    let told = (part_status(&answer, "usage"), field(&answer, "cache-status"));
    assert_eq!(json_of(answer).await["usage"]["plan"], "pro", "{told:?}");
    told
}

fn told(status: &str, cache: &str) -> (String, String) {
    (status.to_owned(), cache.to_owned())
}

#[tokio::test]
async fn the_second_dashboard_of_a_user_has_the_usage_of_the_first() {
    let harness = patient().await;
    for (status, cache, logged) in
        [("o=ok", "usage;fwd=miss;stored", "MISS"), ("o=cached", "usage;hit;ttl=30", "HIT")]
    {
        let answer = harness.web_get("/api/dashboard").await;
        assert_eq!(part_status(&answer, "usage"), status);
        assert_eq!(field(&answer, "cache-status"), cache);
        assert!(answer.headers().contains_key("etag"), "a kept part is no gap");
        let line = harness.web.line_with(&field(&answer, "x-request-id")).await;
        assert_eq!(line["cache"], logged, "{line}");
    }
    assert_eq!(harness.calls(Service::Billing), 1);
    let metrics = harness.web.metrics().await;
    for outcome in ["miss", "hit"] {
        let counted = format!(
            "gateway_part_cache_total{{aggregate=\"dashboard\",part=\"usage\",outcome=\"{outcome}\"}} 1"
        );
        assert!(metrics.contains(&counted), "{metrics}");
    }
}

#[tokio::test]
async fn another_user_has_a_call_of_their_own() {
    let harness = Harness::start().await;
    let viewer = harness.log_in("viewer@example.com").await;
    for (token, plan) in [(&harness.token, "pro"), (&viewer, "free"), (&harness.token, "pro")] {
        let answer = harness.mobile.get("/dashboard").bearer_auth(token).send().await;
        let dashboard = json_of(answer.expect("an answer")).await;
        assert_eq!(dashboard["usage"], json!({ "plan": plan }));
    }
    assert_eq!(harness.calls(Service::Billing), 2);
}

#[tokio::test]
async fn a_key_is_exactly_what_is_sent() {
    let layer = "[aggregates.dashboard.parts.links]\ncache = { ttl = \"30s\" }\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for (query, items) in [
        ("limit=1", 1),
        ("limit=2", 2),
        ("%6Cimit=1", 1),
        ("utm_source=x&limit=2&evil=1", 2),
        ("limit=1&limit=2", 1),
    ] {
        let path = format!("/dashboard?fields=links&{query}");
        let request = harness.mobile.get(&path).bearer_auth(&harness.token);
        let request = request.header("X-Forwarded-Host", "evil").header("Accept-Language", "evil");
        let dashboard = json_of(request.send().await.expect("an answer")).await;
        let shown = dashboard["links"]["items"].as_array().map(Vec::len);
        assert_eq!(shown, Some(items), "{query}");
    }
    assert_eq!(harness.calls(Service::Link), 2);
}

#[tokio::test]
async fn a_hundred_requests_with_an_empty_cache_are_one_call() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    let before = harness.calls(Service::User);
    harness.fault(Service::Billing, r#"{"next":1,"hold":true}"#);
    let get = async || {
        let answer = harness.mobile_get("/dashboard?fields=usage").await;
        let cache = field(&answer, "cache-status");
        assert_eq!(json_of(answer).await, json!({ "usage": { "plan": "pro" } }));
        cache
    };
    let all = join_all((0..100).map(|_| get()));
    let release = async {
        // Whoever has asked for the profile asks for the usage as well.
        harness.until_called(Service::User, before + 99).await;
        harness.release(Service::Billing);
    };
    let (all, ()) = tokio::join!(all, release);
    assert_eq!(harness.calls(Service::Billing), 1);
    let stored = all.iter().filter(|cache| *cache == "usage;fwd=miss;stored").count();
    let collapsed = all.iter().filter(|cache| *cache == "usage;fwd=miss;collapsed").count();
    assert_eq!((stored, collapsed), (1, 99), "{all:?}");
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains(r#"part="usage",outcome="coalesced"} 99"#), "{metrics}");
}

#[tokio::test]
async fn a_call_goes_on_while_anybody_waits_for_it() {
    let harness = Harness::builder().layer("mobile-bff", PATIENT).start().await;
    let before = harness.calls(Service::User);
    harness.fault(Service::Billing, r#"{"next":1,"hold":true}"#);
    let path = "/dashboard?fields=usage";
    let first = harness.mobile.get(path).bearer_auth(&harness.token);
    let first = tokio::spawn(first.send());
    harness.until_called(Service::Billing, 0).await;
    let second = async {
        let answer = harness.mobile_get(path).await;
        assert_eq!(field(&answer, "cache-status"), "usage;fwd=miss;collapsed");
        assert_eq!(json_of(answer).await["usage"]["plan"], "pro");
    };
    let leave = async {
        harness.until_called(Service::User, before + 1).await;
        first.abort();
        let line = harness.mobile.line_of("/dashboard").await;
        assert_eq!(line["code"], "client_disconnected", "the one who began the call has left");
        harness.release(Service::Billing);
    };
    tokio::join!(second, leave);
    assert_eq!((harness.calls(Service::Billing), harness.given_up(Service::Billing)), (1, 0));
}

#[tokio::test]
async fn what_is_purged_while_it_is_fetched_is_shown_and_not_kept() {
    let harness = Harness::builder().layer("web-bff", PATIENT).start().await;
    harness.fault(Service::Billing, r#"{"next":1,"hold":true}"#);
    let purge = async {
        harness.until_called(Service::Billing, 0).await;
        assert_eq!(purge(&harness, "POST", "all").await, (200, json!({ "removed": 0 })));
        harness.release(Service::Billing);
    };
    let (told, ()) = tokio::join!(usage(&harness), purge);
    assert_eq!(told, ("o=ok".to_owned(), "usage;fwd=miss".to_owned()));
    assert_eq!(usage(&harness).await.1, "usage;fwd=miss;stored");
    assert_eq!(harness.calls(Service::Billing), 2);
}

#[tokio::test]
async fn past_its_time_a_kept_answer_is_shown_at_once_while_one_new_one_is_fetched() {
    let harness = patient().await;
    usage(&harness).await;
    harness.advance(Duration::from_secs(40));
    harness.fault(Service::Billing, r#"{"next":1,"hold":true}"#);
    for _ in 0..3 {
        let answer = harness.web_get("/api/dashboard").await;
        assert_eq!(part_status(&answer, "usage"), "o=stale");
        assert_eq!(field(&answer, "cache-status"), "usage;hit;ttl=-10");
        assert_eq!(field(&answer, "cache-control"), "no-store");
        let line = harness.web.line_with(&field(&answer, "x-request-id")).await;
        assert_eq!(line["cache"], "STALE");
    }
    harness.until_called(Service::Billing, 1).await;
    harness.release(Service::Billing);
    while usage(&harness).await != told("o=cached", "usage;hit;ttl=30") {}
    assert_eq!(harness.calls(Service::Billing), 2, "one refresh");
}

#[tokio::test]
async fn a_refresh_ends_when_its_user_logs_out() {
    let harness = patient().await;
    usage(&harness).await;
    harness.advance(Duration::from_secs(40));
    harness.fault(Service::Billing, r#"{"next":1,"hang":true}"#);
    assert_eq!(usage(&harness).await.0, "o=stale");
    harness.until_called(Service::Billing, 1).await;
    assert_eq!(harness.web_send("POST", "/bff/logout", &[]).await.status(), 204);
    harness.until_given_up(Service::Billing, 1).await;
}

#[tokio::test]
async fn where_none_can_be_had_the_last_good_answer_is_shown_for_its_hour() {
    let mut harness = patient().await;
    usage(&harness).await;
    harness.stop(Service::Billing);
    assert_eq!(usage(&harness).await.0, "o=cached", "nobody had to be asked");
    let twenty_minutes = Duration::from_secs(20 * 60);
    for ttl in [-1_170, -2_370, -3_570] {
        harness.advance(twenty_minutes);
        let cache = format!("usage;fwd=stale;ttl={ttl}");
        assert_eq!(usage(&harness).await, told("o=stale", &cache));
    }
    harness.advance(twenty_minutes);
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(part_status(&answer, "usage"), "o=fallback;r=refused");
    assert_eq!(json_of(answer).await["usage"], json!({ "plan": "unknown" }));
}

#[tokio::test]
async fn after_a_logout_everything_is_asked_for_anew() {
    let mut harness = patient().await;
    usage(&harness).await;
    assert_eq!(usage(&harness).await.0, "o=cached");
    harness.begin_session().await;
    assert_eq!(usage(&harness).await.0, "o=cached", "another session of the same user");
    assert_eq!(harness.web_send("POST", "/bff/logout", &[]).await.status(), 204);
    assert_eq!(purge(&harness, "POST", "identity=4821").await, (200, json!({ "removed": 0 })));
    harness.begin_session().await;
    assert_eq!(usage(&harness).await.0, "o=ok");
    assert_eq!(harness.calls(Service::Billing), 2);
}

/// Status and answer; of a refusal, its text.
async fn purge(harness: &Harness, method: &str, query: &str) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let url = format!("{}/purge?{query}", harness.web.admin);
    let answer = harness.client.request(method, url).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn an_operator_purges_by_part_call_and_user_and_all() {
    let harness = patient().await;
    for (query, removed) in [
        ("part=dashboard.usage", 1),
        ("call=GET%20billing-service:/usage", 1),
        ("identity=4821", 1),
        ("all", 1),
        ("part=dashboard.hooks", 0),
        ("call=GET%20billing-service:/usage/2", 0),
        ("identity=482", 0),
    ] {
        usage(&harness).await;
        assert_eq!(usage(&harness).await.0, "o=cached");
        let answer = purge(&harness, "POST", query).await;
        assert_eq!(answer, (200, json!({ "removed": removed })), "{query}");
        let expected = if removed == 0 { "o=cached" } else { "o=ok" };
        assert_eq!(usage(&harness).await.0, expected, "{query}");
    }
    for query in ["", "nonsense=1", "part=dashboard.usage&all", "identity=1&call=x"] {
        let (status, said) = purge(&harness, "POST", query).await;
        assert_eq!(status, 400, "{query}");
        assert!(said.as_str().is_some_and(|said| said.contains("say what goes")), "{said}");
    }
    assert_eq!(purge(&harness, "GET", "all").await.0, 405);
    assert_eq!(usage(&harness).await.0, "o=cached", "nothing of that has purged anything");
}

#[tokio::test]
async fn where_a_token_is_configured_nobody_purges_without_it() {
    let layer = "[admin]\ntoken = { env = \"TEST_ADMIN_TOKEN\" }\n";
    let harness = Harness::builder()
        .layer("web-bff", layer)
        .variable("TEST_ADMIN_TOKEN", "a-token-for-operators")
        .start()
        .await;
    usage(&harness).await;
    assert_eq!(purge(&harness, "POST", "all").await.0, 401);
    assert_eq!(usage(&harness).await.0, "o=cached");
    let request = harness.client.post(format!("{}/purge?all", harness.web.admin));
    let answer = request.bearer_auth("a-token-for-operators").send().await.expect("an answer");
    assert_eq!(json_of(answer).await, json!({ "removed": 1 }));
}

/// A service that answers by its path, and remembers what it was asked.
async fn origin() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 16 * 1024];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let more = FIELDS.iter().find(|(name, _)| head.contains(&format!("/notes/{name} ")));
            let more = more.map_or("", |(_, more)| *more);
            seen.lock().expect("no panic").push(head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n{more}\r\n42"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (format!("http://{address}"), heads)
}

/// Paths, each with what its answers say about being kept.
const FIELDS: [(&str, &str); 7] = [
    ("plain", ""),
    ("public", "Cache-Control: public, max-age=60\r\n"),
    ("private", "Cache-Control: private\r\n"),
    ("no-store", "Cache-Control: no-store\r\n"),
    ("cookie", "Set-Cookie: a=b\r\n"),
    ("vary-all", "Vary: *\r\n"),
    ("vary-cookie", "Vary: Accept, Cookie\r\n"),
];

#[tokio::test]
async fn what_everybody_may_see_is_one_call_unless_the_service_says_otherwise() {
    let (url, heads) = origin().await;
    let layer = format!(
        "[services.link-service]\nurl = \"{url}\"\n\
         [aggregates.news]\ndeadline = \"8s\"\n\
         [aggregates.news.parts.notes]\ncall = \"GET link-service:/notes/{{path.kind}}\"\n\
         cache = {{ ttl = \"30s\", scope = \"shared\" }}\n\
         [views.news]\nroute = \"GET /news/{{kind}}\"\nfields = \"notes\"\n"
    );
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    let viewer = harness.log_in("viewer@example.com").await;
    for (kind, _) in FIELDS {
        for token in [&harness.token, &viewer] {
            let request = harness.mobile.get(&format!("/news/{kind}")).bearer_auth(token);
            let answer = json_of(request.send().await.expect("an answer")).await;
            assert_eq!(answer, json!({ "notes": 42 }), "{kind}");
        }
        let heads = std::mem::take(&mut *heads.lock().expect("no panic"));
        let expected = if ["plain", "public"].contains(&kind) { 1 } else { 2 };
        assert_eq!(heads.len(), expected, "{kind}");
        for head in heads {
            let head = head.to_lowercase();
            assert!(!head.contains("x-user-id"), "the service is not told who asks: {head}");
        }
    }
}

#[tokio::test]
async fn a_cookie_that_another_aggregate_lists_is_not_shown_here() {
    let layer = r#"
[aggregates.open]
deadline = "8s"
set_cookies = ["upstream"]
[aggregates.open.parts.usage]
call = "GET billing-service:/usage"
convert = "xml_to_json"
required_fields = "plan"
cache = { ttl = "30s" }
[views.open]
route = "GET /open"
fields = "*"
"#;
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let open = harness.mobile_get("/open").await;
    assert_eq!(field(&open, "set-cookie"), "upstream=1; Path=/");
    let closed = harness.mobile_get("/dashboard").await;
    assert_eq!(field(&closed, "set-cookie"), "");
}

#[tokio::test]
async fn the_last_good_answer_is_shown_where_a_new_one_takes_too_long() {
    let layer = "[aggregates.dashboard]\ndeadline = \"8s\"\n\
                 [aggregates.dashboard.parts.usage]\ndeadline = \"100ms\"\n";
    let harness = Harness::builder().layer("web-bff", layer).manual_clock().start().await;
    harness.web_get("/api/dashboard").await;
    harness.advance(Duration::from_secs(1_200));
    harness.fault(Service::Billing, r#"{"next":1,"hang":true}"#);
    let answer = harness.web_get("/api/dashboard").await;
    assert_eq!(part_status(&answer, "usage"), "o=stale");
    assert_eq!(field(&answer, "cache-status"), "usage;fwd=stale;ttl=-1170");
}
