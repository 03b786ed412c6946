//! What services answer and what clients get: framing, places, errors, and what must not get out.

use serde_json::json;
use tests::harness::{Harness, JsonBody as _, json_of};
use tests::platform::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A service that answers every request with these bytes, whatever they are.
async fn origin(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 16 * 1024];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// The sample with link-service and billing-service behind `answer`.
async fn before(answer: &'static [u8]) -> Harness {
    let url = origin(answer).await;
    let layer = format!(
        "[services.link-service]\nurl = \"{url}\"\n[services.billing-service]\nurl = \"{url}\"\n"
    );
    Harness::builder().layer("mobile-bff", &layer).start().await
}

#[tokio::test]
async fn an_answer_whose_end_could_be_read_in_two_ways_is_no_answer() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
           Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\
          Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n",
    ] {
        let harness = before(answer).await;
        // Streamed through, and held whole for a transform.
        for path in ["/links/x7Kp2", "/billing/usage"] {
            for _ in 0..2 {
                let answer = harness.mobile_get(path).await;
                assert_eq!(answer.status(), 502, "{path}");
                let problem = answer.text().await.expect("a problem");
                assert!(problem.contains("upstream_broken"), "{problem}");
            }
        }
    }
}

#[tokio::test]
async fn a_place_that_a_service_names_is_where_its_consumer_finds_it() {
    let harness = Harness::start().await;
    let create = harness.partner.post("/v1/links").bearer_auth(harness.key("pro"));
    let body = json!({ "target_url": "https://example.com/" });
    let made = create.json_body(&body).send().await.expect("an answer");
    assert_eq!(made.status(), 201);
    let place = made.headers()["location"].to_str().expect("ASCII").to_owned();
    assert!(place.starts_with("/v1/links/"), "{place}");
    assert_eq!(harness.partner_get(&place, "pro").await.status(), 200);
    let address = harness.service_url(Service::Link);
    harness.fault(
        Service::Link,
        &format!(r#"{{"next":1,"status":302,"location":"{address}/links/elsewhere"}}"#),
    );
    let moved = harness.partner_get("/v1/links", "pro").await;
    assert_eq!(moved.headers()["location"], "/v1/links/elsewhere");
}

#[tokio::test]
async fn what_the_gateway_tells_services_does_not_come_back_to_clients() {
    let harness = before(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Auth-Verified: true\r\nX-Tenant-ID: t\r\n\
          X-Consumer-Tier: pro\r\nX-Gateway-Assertion: proof\r\nTraceparent: 00-1\r\n\
          Alt-Svc: h2=\":1\"\r\nX-User-Role: editor\r\nX-Plain: kept\r\n\r\n",
    )
    .await;
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.headers()["x-plain"], "kept");
    for name in [
        "x-auth-verified",
        "x-tenant-id",
        "x-consumer-tier",
        "x-gateway-assertion",
        "traceparent",
        "alt-svc",
        "x-user-role",
    ] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_dump_in_json_stays_inside_and_when_to_try_again_gets_out() {
    let harness = before(
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
          Retry-After: 7\r\nCache-Control: max-age=60\r\nContent-Length: 26\r\n\r\n\
          {\"trace\":\"at com.example\"}",
    )
    .await;
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let problem = json_of(answer).await;
    assert_eq!(problem["code"], "upstream_failed");
    assert!(!problem.to_string().contains("com.example"));
}

#[tokio::test]
async fn a_401_of_a_service_asks_for_the_gateways_credential_and_is_not_stored() {
    let harness = before(
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
          ETag: \"a\"\r\n\r\n",
    )
    .await;
    let answer = harness.mobile_get("/links/x7Kp2").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="mobile""#);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    // The same for a required part.
    let harness = Harness::start().await;
    harness.fault(Service::User, r#"{"next":1,"status":401}"#);
    let answer = harness.mobile_get("/dashboard").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="mobile""#);
}

#[tokio::test]
async fn a_refusal_of_a_request_with_a_long_body_says_that_the_connection_ends() {
    let harness = Harness::start().await;
    let head =
        "POST /links HTTP/1.1\r\nAuthorization: Bearer nonsense\r\nContent-Length: 200000\r\n";
    let (status, answer) = harness.mobile.raw(head).await;
    assert_eq!(status, 401, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // Without a body the connection goes on: the refusal itself does not end it.
    let answer = harness.mobile.get("/links").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    assert!(!answer.headers().contains_key("connection"));
}

#[tokio::test]
async fn a_body_that_grows_beyond_its_route_is_413_at_the_gateways_own_endpoints_too() {
    let layer = "[routes.push-tokens-register]\nbody_size_max = \"1KiB\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let chunk = "x".repeat(0x600);
    let (status, answer) = harness
        .mobile
        .raw_with_body(
            &format!(
                "POST /devices/push-tokens HTTP/1.1\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
                harness.token
            ),
            &format!("600\r\n{chunk}\r\n0\r\n\r\n"),
        )
        .await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("body_too_large") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_no_body_is_the_clients_fault_also_where_it_is_held_whole() {
    let layer = "[routes.links-create.request]\nremove_body_fields = [\"internal\"]\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let head = format!(
        "POST /links HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n",
        harness.token
    );
    let (status, answer) = harness.mobile.raw_with_body(&head, "zz\r\nno size\r\n").await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("chunks_malformed"), "{answer}");
    assert_eq!(harness.calls(Service::Link), 0);
}
