//! WebSockets over real sockets: who may open one, what passes, and how it ends.

use serde_json::json;
use tests::harness::{GatewayUnderTest, Harness, Origin, Wire};

use super::streaming::in_front_of;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

fn accepted(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\nServer: secret\r\n\r\n"
    )
}

/// Opens a WebSocket; what the service was asked is the last of the three.
async fn open(
    gateway: &GatewayUnderTest,
    origin: &Origin,
    path: &str,
    more: &str,
) -> (Wire, Wire, String) {
    let mut client = Wire::connect(&gateway.url).await;
    client.say(handshake(path, more)).await;
    let mut service = origin.accept().await;
    let asked = service.head().await;
    service.say(accepted(ACCEPT)).await;
    let head = client.head().await.to_ascii_lowercase();
    for expected in ["101 switching", "upgrade: websocket", "connection: upgrade", "chat"] {
        assert!(head.contains(expected), "{expected}: {head}");
    }
    assert!(head.contains(&ACCEPT.to_ascii_lowercase()) && !head.contains("secret"), "{head}");
    (client, service, asked)
}

/// The head of the answer to a handshake that opens nothing.
async fn refused(gateway: &GatewayUnderTest, path: &str, more: &str) -> (String, String) {
    let mut client = Wire::connect(&gateway.url).await;
    client.say(handshake(path, &format!("{more}Connection: close\r\n"))).await;
    let answer = String::from_utf8(client.rest().await).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn bytes_pass_both_ways_and_one_record_counts_them() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "");
    let (mut client, mut service, asked) = open(&gateway, &origin, "/live?room=1", "").await;
    assert!(asked.starts_with("GET /live?room=1 HTTP/1.1\r\n"), "{asked}");
    for expected in ["upgrade: websocket", "connection: upgrade", "x-request-id: req_"] {
        assert!(asked.to_ascii_lowercase().contains(expected), "{expected}: {asked}");
    }
    for round in 0..3 {
        client.say([0x81, 0x81, 0, 0, 0, 0, b'0' + round]).await;
        assert_eq!(service.bytes(7).await, [0x81, 0x81, 0, 0, 0, 0, b'0' + round]);
        service.say([0x81, 1, b'a' + round]).await;
        assert_eq!(client.bytes(3).await, [0x81, 1, b'a' + round]);
    }
    assert!(gateway.lines().is_empty(), "it is open");
    client.say([0x88, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(service.bytes(6).await[0], 0x88);
    service.say([0x88, 0]).await;
    drop(service);
    assert_eq!(client.rest().await, [0x88, 0]);
    let line = gateway.line_of("/live").await;
    assert_eq!((&line["status"], &line["code"]), (&json!(101), &json!(null)), "{line}");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(27), &json!(11)), "{line}");
}

#[tokio::test]
async fn a_handshake_that_opens_nothing_has_its_status() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "[upstream]\nwebsockets_max = 1\n");
    let closed = in_front_of(&origin, "", "");
    let (head, body) = refused(&closed, "/live", "").await;
    assert!(head.starts_with("HTTP/1.1 400 ") && body.contains("websocket_not_offered"), "{head}");
    let (head, body) = refused(&gateway, "/live", "Sec-WebSocket-Version: 8\r\n").await;
    assert!(head.starts_with("HTTP/1.1 426 ") && body.contains("websocket_version"), "{head}");
    assert!(head.contains("sec-websocket-version: 13"), "{head}");
    assert!(origin.is_alone().await);

    // The service's own refusal is an answer like any other.
    let script = async {
        let mut service = origin.accept().await;
        service.head().await;
        service.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n").await;
    };
    let ((head, body), ()) = tokio::join!(refused(&gateway, "/live", ""), script);
    assert!(head.starts_with("HTTP/1.1 403 ") && body == "no!\n", "{head} {body}");
    // A 101 for somebody else's handshake is none.
    let script = async {
        let mut service = origin.accept().await;
        service.head().await;
        service.say(accepted("AAAAAAAAAAAAAAAAAAAAAAAAAAA=")).await;
        service
    };
    let ((head, body), _service) = tokio::join!(refused(&gateway, "/live", ""), script);
    assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("upstream_broken"), "{head}");

    // As many as may be open, and each makes room when it ends.
    let (client, mut service, _) = open(&gateway, &origin, "/live", "").await;
    let (head, body) = refused(&gateway, "/live", "").await;
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("websockets_exhausted"), "{head}");
    assert!(head.contains("retry-after: 1"), "{head}");
    drop(client);
    assert_eq!(service.rest().await, b"");
    drop(service);
    while !gateway.lines().iter().any(|line| line["status"] == 101) {
        tokio::task::yield_now().await;
    }
    open(&gateway, &origin, "/live", "").await;
}

#[tokio::test]
async fn a_drain_says_goodbye_to_both_sides_between_two_frames() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "");
    let (mut client, mut service, _) = open(&gateway, &origin, "/live", "").await;
    // Half a frame is under way to the client.
    service.say([0x81, 4, b'h', b'a']).await;
    assert_eq!(client.bytes(4).await, [0x81, 4, b'h', b'a']);
    let script = async {
        let goodbye = service.bytes(8).await;
        assert_eq!(goodbye[..2], [0x88, 0x82]);
        assert_eq!([goodbye[6] ^ goodbye[2], goodbye[7] ^ goodbye[3]], 1001_u16.to_be_bytes());
        // In the same piece as the frame's end stands a frame that comes too late.
        service.say([b'l', b'f', 0x81, 1, b'x']).await;
        assert_eq!(client.rest().await, [b'l', b'f', 0x88, 2, 0x03, 0xe9]);
    };
    let both = async { tokio::join!(gateway.stop(), script) };
    let (lines, ()) = both.await;
    assert_eq!((&lines[0]["status"], &lines[0]["code"]), (&json!(101), &json!("draining")));
}

async fn live(origin: &Origin) -> Harness {
    let layer = format!(
        "[services.live]\nurl = \"{}\"\nassertion_key = {{ env = \"LINK_SERVICE_ASSERTION_KEY\" }}\n\
         [routes.live]\nmatch = \"GET /live\"\nservice = \"live\"\nwebsocket = true\n",
        origin.url()
    );
    Harness::builder().layer("web-bff", &layer).start().await
}

#[tokio::test]
async fn a_session_opens_websockets_for_its_own_pages_alone() {
    let origin = Origin::start().await;
    let harness = live(&origin).await;
    let cookie = format!("Cookie: {}\r\n", harness.cookie());
    for foreign in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: https://gateway\r\nSec-Fetch-Site: cross-site\r\n",
        "",
    ] {
        let (head, body) = refused(&harness.web, "/api/live", &format!("{cookie}{foreign}")).await;
        assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("csrf_"), "{foreign}: {head}");
    }
    let (head, _) = refused(&harness.web, "/api/live", "Origin: https://gateway\r\n").await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert!(origin.is_alone().await);
    for ours in ["Origin: https://gateway\r\n", "Origin: http://localhost:5173\r\n"] {
        let more = format!("{cookie}{ours}X-User-ID: 1\r\n");
        let (_client, _service, asked) = open(&harness.web, &origin, "/api/live", &more).await;
        let asked = asked.to_ascii_lowercase();
        assert!(asked.contains("x-user-id: 4821\r\n") && !asked.contains("x-user-id: 1\r\n"));
        assert!(asked.contains("x-gateway-assertion: ") && !asked.contains("cookie"), "{asked}");
    }
}

#[tokio::test]
async fn a_logout_closes_the_session_s_websockets() {
    let origin = Origin::start().await;
    let harness = live(&origin).await;
    let more = format!("Cookie: {}\r\nOrigin: https://gateway\r\n", harness.cookie());
    let (mut client, mut service, _) = open(&harness.web, &origin, "/api/live", &more).await;
    let logout = harness.web.post("/bff/logout").header("Cookie", harness.cookie());
    let answer = logout.header("X-CSRF", "1").send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(client.rest().await, [0x88, 2, 0x03, 0xf0], "1008: against the policy");
    assert_eq!(service.rest().await.len(), 8);
    assert_eq!(harness.web.line_of("/api/live").await["code"], "identity_ended");
}
