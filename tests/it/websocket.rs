//! WebSockets over real sockets: who may open one, what passes, and how it ends; over HTTP/1.1 and over
//! HTTP/2 alike. What only HTTP/2 has stands in `http2`.

pub(crate) mod client;
mod http2;

use std::time::Duration;

use serde_json::json;
use tests::harness::{Harness, Origin, Wire};

use self::client::{BOTH, Over, accept_of, accepted, ask, open, refused};
use super::streaming::{in_front_of, in_front_of_limited};

#[tokio::test]
async fn bytes_pass_both_ways_and_one_record_counts_them() {
    for over in BOTH {
        bytes_pass_both_ways(over).await;
    }
}

async fn bytes_pass_both_ways(over: Over) {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "");
    let more = "Sec-WebSocket-Protocol: chat, news\r\nSec-WebSocket-Extensions: x-own\r\n";
    let (mut client, mut service, asked) =
        open(over, &gateway, &origin, "/live?room=1", more).await;
    assert!(asked.starts_with("GET /live?room=1 HTTP/1.1\r\n"), "{asked}");
    for expected in [
        "upgrade: websocket",
        "connection: upgrade",
        "x-request-id: req_",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: chat, news",
        "sec-websocket-extensions: x-own",
    ] {
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
    assert_eq!((&line["status"], &line["code"]), (&json!(over.opened()), &json!(null)), "{line}");
    let method = if over == Over::Http1 { "GET" } else { "CONNECT" };
    assert_eq!(line["method"], method, "what the client said");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(27), &json!(11)), "{line}");
}

#[tokio::test]
async fn a_handshake_that_opens_nothing_has_its_status() {
    for over in BOTH {
        what_opens_nothing(over).await;
        room_for_one(over).await;
    }
}

async fn what_opens_nothing(over: Over) {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "");
    let closed = in_front_of(&origin, "", "");
    let (answer, body) = refused(over, &closed, "/live", "").await;
    assert!(answer.status == 400 && body.contains("websocket_not_offered"), "{body}");
    let (answer, body) = refused(over, &gateway, "/live", "Sec-WebSocket-Version: 8\r\n").await;
    assert!(answer.status == 426 && body.contains("websocket_version"), "{body}");
    assert_eq!(answer.field("sec-websocket-version"), "13");
    // A `POST` route, and a path that is none.
    for (path, status, code) in [("/upload", 405, "method_not_allowed"), ("/x", 404, "not_found")] {
        let (answer, body) = refused(over, &gateway, path, "").await;
        assert!(answer.status == status && body.contains(code), "{over:?} {path}: {body}");
    }
    assert!(origin.is_alone().await);

    // The service's own refusal is an answer like any other.
    let script = async {
        let mut service = origin.accept().await;
        service.head().await;
        service.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n").await;
    };
    let ((answer, body), ()) = tokio::join!(refused(over, &gateway, "/live", ""), script);
    assert_eq!((answer.status, body.as_str()), (403, "no!\n"));
    // A 101 for somebody else's handshake is none.
    let script = async {
        let mut service = origin.accept().await;
        service.head().await;
        service.say(accepted("AAAAAAAAAAAAAAAAAAAAAAAAAAA=")).await;
        service
    };
    let ((answer, body), _service) = tokio::join!(refused(over, &gateway, "/live", ""), script);
    assert!(answer.status == 502 && body.contains("upstream_broken"), "{body}");
}

#[tokio::test]
async fn events_in_answer_to_a_handshake_are_a_stream_like_any_other() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\nstream_idle_timeout = \"50ms\"\n", "");
    let mut client = Wire::connect(&gateway.url).await;
    client
        .say(
            "GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let mut service = origin.accept().await;
    service.head().await;
    service
        .say(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
        )
        .await;
    client.until("data: 1\n\n\r\n").await;
    // Ended as streams of events are, and not cut as bodies are that stop.
    assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert_eq!(service.rest().await, b"");
    assert_eq!(gateway.line_of("/live").await["code"], "stream_idle");
}

/// As many as may be open, and each makes room when it ends.
async fn room_for_one(over: Over) {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "[upstream]\nwebsockets_max = 1\n");
    let (client, mut service, _) = open(over, &gateway, &origin, "/live", "").await;
    let (answer, body) = refused(over, &gateway, "/live", "").await;
    assert!(answer.status == 503 && body.contains("websockets_exhausted"), "{body}");
    assert_eq!(answer.field("retry-after"), "1");
    drop(client);
    assert_eq!(service.rest().await, b"");
    drop(service);
    gateway.line(|line| line["status"] == over.opened()).await;
    open(over, &gateway, &origin, "/live", "").await;
}

#[tokio::test]
async fn limits_hold_for_handshakes_as_for_requests() {
    for over in BOTH {
        let origin = Origin::start().await;
        let limits = "[limits.few]\nkey = \"address\"\nrate = \"1/min\"\n";
        let more = "websocket = true\nlimits = [\"few\"]\n";
        let gateway = in_front_of_limited(&origin, more, limits);
        let (_client, _service, _) = open(over, &gateway, &origin, "/live", "").await;
        let (answer, body) = refused(over, &gateway, "/live", "").await;
        assert!(answer.status == 429 && body.contains("rate_limited"), "{body}");
    }
}

#[tokio::test]
async fn a_handshake_takes_a_call_s_place_until_it_is_answered() {
    for over in BOTH {
        let origin = Origin::start().await;
        let one = "[upstream.concurrency]\nlatency_max = \"60s\"\nmin = 1\nmax = 1\n";
        let gateway = in_front_of(&origin, "websocket = true\n", one);
        let asking = ask(over, gateway.url.clone(), "/live".to_owned(), String::new());
        let script = async {
            let mut service = origin.accept().await;
            let asked = service.head().await;
            let (answer, body) = refused(over, &gateway, "/live", "").await;
            assert!(answer.status == 503 && body.contains("upstream_overloaded"), "{body}");
            assert_eq!(answer.field("retry-after"), "1");
            service.say(accepted(&accept_of(&asked))).await;
            service
        };
        let (answer, _service) = tokio::join!(asking, script);
        assert_eq!(answer.status, over.opened());
        // The first is open still.
        open(over, &gateway, &origin, "/live", "").await;
    }
}

#[tokio::test]
async fn a_websocket_that_is_silent_for_too_long_is_closed() {
    for over in BOTH {
        let origin = Origin::start().await;
        let more = "websocket = true\nstream_idle_timeout = \"400ms\"\n";
        let gateway = in_front_of(&origin, more, "");
        let (mut client, mut service, _) = open(over, &gateway, &origin, "/live", "").await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            client.say([0x89, 0x80, 0, 0, 0, 0]).await;
            service.bytes(6).await;
        }
        assert_eq!(client.rest().await, [0x88, 2, 0x03, 0xe9], "{over:?}");
        assert_eq!(service.rest().await.len(), 8);
        assert_eq!(gateway.line_of("/live").await["code"], "stream_idle");
    }
}

#[tokio::test]
async fn a_drain_says_goodbye_to_both_sides_between_two_frames() {
    for over in BOTH {
        a_drain_says_goodbye(over).await;
    }
}

async fn a_drain_says_goodbye(over: Over) {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "websocket = true\n", "");
    let (mut client, mut service, _) = open(over, &gateway, &origin, "/live", "").await;
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
    assert_eq!(
        (&lines[0]["status"], &lines[0]["code"]),
        (&json!(over.opened()), &json!("draining"))
    );
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
    for over in BOTH {
        for_its_own_pages_alone(over).await;
    }
}

async fn for_its_own_pages_alone(over: Over) {
    let origin = Origin::start().await;
    let harness = live(&origin).await;
    let cookie = format!("Cookie: {}\r\n", harness.cookie());
    for foreign in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: https://gateway\r\nSec-Fetch-Site: cross-site\r\n",
        "",
    ] {
        let more = format!("{cookie}{foreign}");
        let (answer, body) = refused(over, &harness.web, "/api/live", &more).await;
        assert!(answer.status == 403 && body.contains("csrf_"), "{foreign}: {body}");
    }
    let ours = "Origin: https://gateway\r\n";
    assert_eq!(refused(over, &harness.web, "/api/live", ours).await.0.status, 401);
    assert!(origin.is_alone().await);
    for ours in [ours, "Origin: http://localhost:5173\r\n"] {
        let more = format!("{cookie}{ours}X-User-ID: 1\r\n");
        let (_client, _service, asked) =
            open(over, &harness.web, &origin, "/api/live", &more).await;
        let asked = asked.to_ascii_lowercase();
        assert!(asked.contains("x-user-id: 4821\r\n") && !asked.contains("x-user-id: 1\r\n"));
        assert!(asked.contains("x-gateway-assertion: ") && !asked.contains("cookie"), "{asked}");
    }
}

#[tokio::test]
async fn a_logout_closes_the_session_s_websockets() {
    for over in BOTH {
        let origin = Origin::start().await;
        let harness = live(&origin).await;
        let more = format!("Cookie: {}\r\nOrigin: https://gateway\r\n", harness.cookie());
        let (mut client, mut service, _) =
            open(over, &harness.web, &origin, "/api/live", &more).await;
        let logout = harness.web.post("/bff/logout").header("Cookie", harness.cookie());
        let answer = logout.header("X-CSRF", "1").send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
        assert_eq!(client.rest().await, [0x88, 2, 0x03, 0xf0], "1008: against the policy");
        assert_eq!(service.rest().await.len(), 8);
        assert_eq!(harness.web.line_of("/api/live").await["code"], "identity_ended");
    }
}
