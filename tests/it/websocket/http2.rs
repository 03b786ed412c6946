//! WebSockets over HTTP/2 (RFC 8441): what they share a connection with, what a stream's ends mean, and
//! what is refused there alone.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::Builder;
use h2::ext::Protocol;
use http::{Method, Request, Version};
use serde_json::json;
use tests::harness::{GatewayUnderTest, Origin, Wire};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{Client, Connection, Over, PATIENCE, accept, open, refused};
use super::in_front_of;

const WEBSOCKET: &str = "websocket = true\n";

/// A frame of the service's with so many bytes.
fn binary(size: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 127];
    frame.extend(u64::try_from(size).expect("short").to_be_bytes());
    frame.extend((0..size).map(|place| u8::try_from(place % 251).expect("short")));
    frame
}

async fn metrics_with(gateway: &GatewayUnderTest, line: &str) {
    let told = async {
        while !page(gateway).await.contains(&format!("\n{line}\n")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, told).await.is_ok(), "{line} never came: {}", page(gateway).await);
}

async fn page(gateway: &GatewayUnderTest) -> String {
    let url = format!("{}/metrics", gateway.admin);
    let answer = tests::harness::client().get(url).send().await.expect("an answer");
    answer.text().await.expect("a body")
}

#[tokio::test]
async fn one_connection_carries_several_websockets_beside_requests() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "");
    let connection = Connection::open(&gateway.url).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(connection.open_websocket(&origin, "/live").await);
    }
    metrics_with(&gateway, "gateway_open_streams 3").await;
    metrics_with(&gateway, "gateway_open_connections 1").await;

    let script = async {
        let mut service = origin.accept().await;
        assert!(!service.head().await.to_ascii_lowercase().contains("upgrade"));
        service.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    let get = Request::get("http://gateway/live").version(Version::HTTP_2).body(());
    let get = connection.send(get.expect("a request"));
    let (mut answer, ()) = tokio::join!(get, script);
    assert_eq!((answer.status, &*answer.client.rest().await), (200, &b"ok"[..]));

    let large = binary(1 << 20);
    for (client, service) in &mut open {
        client.say(b"\x81\x82\0\0\0\0hi").await;
        assert_eq!(service.bytes(8).await, b"\x81\x82\0\0\0\0hi");
        let ((), heard) = tokio::join!(service.say(&large), client.bytes(large.len()));
        assert!(heard == large);
        let ((), heard) = tokio::join!(client.say(&large), service.bytes(large.len()));
        assert!(heard == large);
    }
    let (mut client, mut service) = open.pop().expect("the last");
    client.end();
    assert_eq!(service.rest().await, b"", "its service alone hears of it");
    drop(service);
    assert_eq!(client.rest().await, (Vec::new(), None));
    metrics_with(&gateway, "gateway_open_streams 2").await;
    for (client, service) in &mut open {
        service.say([0x81, 1, b'x']).await;
        assert_eq!(client.bytes(3).await, [0x81, 1, b'x']);
    }
}

#[tokio::test]
async fn who_does_not_read_slows_down_its_own_websocket_alone() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "");
    let connection = Connection::open(&gateway.url).await;
    let (mut stalled, mut flooding) = connection.open_websocket(&origin, "/live").await;
    let (mut flooding_too, mut deaf) = connection.open_websocket(&origin, "/live").await;
    let (mut client, mut service) = connection.open_websocket(&origin, "/live").await;
    let at_most = 64 << 20;
    let said = flooding.say_until_blocked(1 << 16, at_most).await;
    assert!(said < at_most, "the gateway took all of it");
    let piece = vec![b'x'; at_most];
    let said = timeout(Duration::from_millis(500), flooding_too.try_say(&piece)).await;
    assert!(said.is_err(), "the gateway took all of it");
    client.say(b"\x81\x82\0\0\0\0hi").await;
    assert_eq!(service.bytes(8).await.len(), 8);
    service.say([0x81, 1, b'x']).await;
    assert_eq!(client.bytes(3).await, [0x81, 1, b'x']);
    // And goes on when there is room again.
    assert_eq!(stalled.bytes(1 << 20).await.len(), 1 << 20);
    assert_eq!(deaf.bytes(1 << 18).await.len(), 1 << 18);
}

#[tokio::test]
async fn an_end_is_passed_on_as_the_end_that_it_is() {
    type End = (&'static str, fn(&mut Option<Wire>), Option<Reason>);
    let ends: [End; 2] = [
        ("in order", |service| drop(service.take()), None),
        ("a reset", |service| reset(service.take().expect("open")), Some(Reason::CANCEL)),
    ];
    for (name, end, expected) in ends {
        let origin = Origin::start().await;
        let gateway = in_front_of(&origin, WEBSOCKET, "");
        let connection = Connection::open(&gateway.url).await;
        let (mut client, mut service) = connection.open_websocket(&origin, "/live").await;
        service.say([0x81, 1, b'x']).await;
        assert_eq!(client.bytes(3).await, [0x81, 1, b'x']);
        end(&mut Some(service));
        assert_eq!(client.rest().await, (Vec::new(), expected), "{name}");
        let line = gateway.line_of("/live").await;
        assert_eq!((&line["code"], &line["bytes_out"]), (&json!("upstream_broke_off"), &json!(3)));
    }
}

/// Ends a connection as a crash does.
fn reset(service: Wire) {
    let Wire(io) = service;
    io.set_zero_linger().expect("a socket");
}

#[tokio::test]
async fn whichever_way_a_client_leaves_nothing_is_left_of_its_websocket() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "[upstream]\nwebsockets_max = 1\n");
    for way in ["a reset", "another reset", "a dropped stream", "a dropped connection"] {
        let connection = Connection::open(&gateway.url).await;
        let (mut client, mut service) = connection.open_websocket(&origin, "/live").await;
        client.say([0x81, 0x81, 0, 0, 0, 0, b'x']).await;
        assert_eq!(service.bytes(7).await.len(), 7);
        service.say([0x81, 1, b'x']).await;
        assert_eq!(client.bytes(3).await.len(), 3);
        match way {
            "a reset" => client.sender.send_reset(Reason::CANCEL),
            "another reset" => client.sender.send_reset(Reason::PROTOCOL_ERROR),
            "a dropped stream" => drop(client),
            _ => drop((client, connection)),
        }
        assert_eq!(service.rest().await, b"", "{way}");
        drop(service);
        metrics_with(&gateway, "gateway_open_streams 0").await;
        let line = gateway.line(|line| line["path"] == "/live").await;
        assert_eq!(line["code"], "client_disconnected", "{way}: {line}");
        assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(7), &json!(3)), "{way}");
    }
    gateway.metrics().await;
    metrics_with(&gateway, "gateway_open_connections 0").await;
}

#[tokio::test]
async fn a_client_that_leaves_before_it_is_answered_leaves_nothing() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "[upstream]\nwebsockets_max = 1\n");
    let connection = Connection::open(&gateway.url).await;
    let script = async {
        let mut service = origin.accept().await;
        service.head().await;
        service
    };
    let asked = connection.ask("/live", "");
    let mut service = tokio::select! {
        _ = asked => panic!("nobody has answered"),
        service = script => service,
    };
    assert_eq!(service.rest().await, b"");
    assert_eq!(gateway.line_of("/live").await["status"], 499);
    connection.open_websocket(&origin, "/live").await;
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_and_the_connection_goes_on() {
    let origin = Origin::start().await;
    let constant = "[routes.robots]\nmatch = \"GET /robots.txt\"\npublic = \"a test\"\n\
                    respond = { body = \"none\" }\n";
    let gateway = in_front_of(&origin, WEBSOCKET, constant);
    let connection = Connection::open(&gateway.url).await;
    let connect =
        |uri: &str| Request::builder().method(Method::CONNECT).version(Version::HTTP_2).uri(uri);
    let of = |protocol: &str, path: &str| {
        let request = connect(&format!("http://gateway{path}"));
        let request = request.header("sec-websocket-version", "13");
        request.extension(Protocol::from(protocol)).body(()).expect("a request")
    };
    let cases = [
        (connect("gateway:443").body(()).expect("a request"), 501, "method_not_implemented"),
        (of("connect-udp", "/live"), 501, "protocol_not_implemented"),
        (of("websocket", "/robots.txt"), 400, "websocket_not_offered"),
        (of("websocket", "/live/../live"), 400, "path_not_canonical"),
    ];
    for (request, status, code) in cases {
        let shown = format!("{request:?}");
        let mut answer = connection.send(request).await;
        let body = String::from_utf8(answer.client.rest().await).expect("text");
        assert!(answer.status == status && body.contains(code), "{shown}: {body}");
    }
    let mut no_version = Request::connect("http://gateway/live").version(Version::HTTP_2);
    no_version = no_version.extension(Protocol::from("websocket"));
    let answer = connection.send(no_version.body(()).expect("a request")).await;
    assert_eq!((answer.status, answer.field("sec-websocket-version")), (426, "13"));
    assert_eq!(answer.field("upgrade"), "", "HTTP/2 has no such field");
    assert!(origin.is_alone().await);

    // To a client a 200 would be the WebSocket, so one of a service that knows of none is not passed.
    let script = async {
        let mut service = origin.accept().await;
        service.head().await;
        service.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    let ((answer, body), ()) = tokio::join!(refused(Over::Http2, &gateway, "/live", ""), script);
    assert!(answer.status == 502 && body.contains("upstream_broken"), "{body}");
    connection.open_websocket(&origin, "/live").await;
}

#[tokio::test]
async fn small_messages_are_no_flood_however_often_they_are_acknowledged() {
    let origin = Origin::start().await;
    let top = "[server.http2]\ncontrol_frames_max = 100\n";
    let gateway = in_front_of(&origin, WEBSOCKET, top);
    // So small a window that each message has its own acknowledgement.
    let connection = Connection::with(&gateway.url, Builder::new().initial_window_size(4)).await;
    let (mut client, mut service) = connection.open_websocket(&origin, "/live").await;
    for _ in 0..1_000 {
        client.say([0x81, 0x81, 0, 0, 0, 0, b'x']).await;
        service.bytes(7).await;
        service.say([0x81, 1, b'x']).await;
        client.bytes(3).await;
    }
    metrics_with(&gateway, "gateway_open_streams 1").await;
}

#[tokio::test]
async fn small_messages_that_come_all_at_once_are_no_flood_where_the_service_reads_them() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "");
    let connection = Connection::open(&gateway.url).await;
    let (mut client, mut service) = connection.open_websocket(&origin, "/live").await;
    let message = Bytes::from_static(&[0x81, 0x81, 0, 0, 0, 0, b'x']);
    for _ in 0..20_000 {
        client.sender.send_data(message.clone(), false).expect("sent");
    }
    assert_eq!(service.bytes(20_000 * message.len()).await.len(), 20_000 * message.len());
    service.say([0x81, 1, b'x']).await;
    assert_eq!(client.bytes(3).await, [0x81, 1, b'x']);
}

#[tokio::test]
async fn a_flood_ends_the_websockets_of_its_connection() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "[server.http2]\ncontrol_frames_max = 100\n");
    let connection = Connection::open(&gateway.url).await;
    let (mut client, mut service) = connection.open_websocket(&origin, "/live").await;
    for _ in 0..200 {
        client.sender.send_data(Bytes::new(), false).expect("sent");
    }
    assert_eq!(service.rest().await, b"");
    drop(service);
    client.rest().await;
    assert_eq!(gateway.line_of("/live").await["code"], "client_disconnected");
    metrics_with(&gateway, "gateway_open_streams 0").await;
}

#[tokio::test]
async fn a_drain_ends_all_websockets_of_a_connection_and_then_the_connection() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "");
    let host = gateway.address().to_owned();
    let io = TcpStream::connect(host).await.expect("connected");
    let (requests, connection) = h2::client::handshake(io).await.expect("HTTP/2");
    let ends = tokio::spawn(connection);
    let connection = Connection(requests);
    while !connection.0.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(connection.open_websocket(&origin, "/live").await);
    }
    let script = async {
        for (mut client, mut service) in open {
            assert_eq!(client.rest().await, (vec![0x88, 2, 0x03, 0xe9], None));
            assert_eq!(service.rest().await.len(), 8);
        }
    };
    let (lines, ()) = tokio::join!(gateway.stop(), script);
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["code"] == "draining"), "{lines:?}");
    let ended = timeout(PATIENCE, ends).await.expect("in time").expect("no panic");
    assert!(ended.is_ok(), "GOAWAY came first, and for no error: {ended:?}");
}

#[tokio::test]
async fn a_handshake_has_no_key_of_the_client_s() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, WEBSOCKET, "");
    let more = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (_client, _service, asked) = open(Over::Http2, &gateway, &origin, "/live", more).await;
    assert!(!asked.contains("dGhlIHNhbXBsZSBub25jZQ=="), "{asked}");
    let keys =
        asked.lines().filter(|line| line.to_ascii_lowercase().starts_with("sec-websocket-k"));
    assert_eq!(keys.count(), 1, "{asked}");
    let connection = Connection::open(&gateway.url).await;
    let (answer, _) = tokio::join!(connection.ask("/live", ""), accept(&origin));
    assert!(matches!(answer.client, Client::Http2(_)));
}
