//! Where a request goes while another service is tried.

use tests::harness::{Harness, field, json_of};

use super::Stub;

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
