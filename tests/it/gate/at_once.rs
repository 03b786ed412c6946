//! What is answered at once: constants, redirects, and what is closed for maintenance.

use serde_json::{Value, json};
use tests::harness::{Harness, field, json_of, part_status};
use tests::platform::Service;

use super::get_as;

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
    assert_eq!(part_status(&dashboard, "summary"), "o=failed;r=maintenance");
    assert_eq!(json_of(dashboard).await["summary"], Value::Null);
    assert_eq!(harness.calls(Service::Analytics), 0);
    assert_eq!(get_as(&harness, "/links/x7Kp2", &harness.token).await.0, 200);
}

#[tokio::test]
async fn what_an_answer_cannot_do_without_says_how_long_it_is_closed() {
    let layer = "[services.analytics-service]\nmaintenance = { retry_after = \"10m\" }\n\
                 [aggregates.dashboard.parts.summary]\nneed = \"required\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let dashboard = harness.mobile_get("/dashboard").await;
    assert_eq!(
        (dashboard.status().as_u16(), field(&dashboard, "retry-after")),
        (503, "600".to_owned())
    );
    assert_eq!(json_of(dashboard).await["code"], "part_maintenance");
    assert_eq!(harness.calls(Service::Analytics), 0);
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
