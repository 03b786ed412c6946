//! HTTP/2's windows in the hands of a client that means no good: it breaks their rules, or takes
//! next to nothing of a large answer. It must cost the gateway little, and not for long.

use std::time::Duration;

use tests::harness::{GatewayUnderTest, Origin, Wire};
use tokio::io::AsyncWriteExt as _;

use super::Setup;
use super::client::Client;
use super::frames::{
    DATA, END_HEADERS, Framed, HEADERS, PING, SETTINGS, WINDOW_UPDATE, block, frame, get, window_of,
};
use crate::streaming::in_front_of;

const PATIENCE: Duration = Duration::from_secs(20);

/// The largest that a window may be.
const WINDOW_MAX: u32 = (1 << 31) - 1;

const PROTOCOL_ERROR: &str = "gone 1";
const FLOW_CONTROL_ERROR: &str = "gone 3";

/// More than the gateway and the network between hold of an answer that nobody takes.
const HELD_MAX: usize = 32 << 20;

fn grow(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn resize(size: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &window_of(size))
}

#[test]
fn a_window_against_the_rules_ends_its_stream_or_connection() {
    let setup = Setup::start();
    for (name, sent, expected) in [
        ("a connection's overflows", grow(0, WINDOW_MAX), FLOW_CONTROL_ERROR),
        ("a stream's overflows", grow(1, WINDOW_MAX), "reset 3"),
        ("both by themselves are full", [grow(0, 1 << 30), grow(1, 1 << 30)].concat(), "200"),
        ("in two steps", [grow(1, 1 << 30), grow(1, 1 << 30)].concat(), "reset 3"),
        ("a connection's grows by nothing", grow(0, 0), PROTOCOL_ERROR),
        ("a stream's grows by nothing", grow(1, 0), PROTOCOL_ERROR),
        // RFC 9113 has other codes for this one and the last; the end is the same.
        ("a size that none may have", resize(WINDOW_MAX + 1), PROTOCOL_ERROR),
        ("the largest size", resize(WINDOW_MAX), "200"),
        ("no room", resize(0), "200"),
        (
            "a size that lets an open stream's overflow",
            [grow(1, 1), resize(WINDOW_MAX)].concat(),
            FLOW_CONTROL_ERROR,
        ),
        ("one of a stream that is not there", grow(7, 1), PROTOCOL_ERROR),
        ("one of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), PROTOCOL_ERROR),
    ] {
        let mut framed = Framed::open(&setup);
        let post: Vec<_> = get("/a").into_iter().skip(1).collect();
        let post = [vec![(":method", "POST")], post].concat();
        framed.send(HEADERS, END_HEADERS, 1, &block(&post));
        framed.client.send(sent);
        framed.send(DATA, 1, 1, b"hello");
        assert_eq!(framed.outcome(1), expected, "{name}");
        let mut other = Framed::open(&setup);
        other.request(1, &get("/other"));
        assert_eq!(other.outcome(1), "200", "{name}");
        setup.origin.take();
    }
}

/// A gateway in front of a service that the test plays, with little patience for who takes nothing,
/// and much for who asks nothing.
fn impatient(origin: &Origin, control_frames_max: u32) -> GatewayUnderTest {
    let server = "[server]\nidle_timeout = \"1s\"\nhead_timeout = \"5m\"\n";
    let http2 = format!("[server.http2]\ncontrol_frames_max = {control_frames_max}\n");
    in_front_of(origin, "", &format!("{server}{http2}"))
}

/// A client of a gateway's that has asked for an answer which begins to come, and the service.
async fn begun(gateway: &GatewayUnderTest, origin: &Origin, window: u32) -> (Framed, Wire) {
    let client = Client::connect_narrow(gateway.address()).await;
    let mut framed = Framed::over(client, &window_of(window));
    framed.client.send(grow(0, WINDOW_MAX - 65_535));
    framed.request(1, &get("/live"));
    (framed, answer(origin, 1 << 40).await)
}

/// The service's next connection, on which it has begun to answer.
async fn answer(origin: &Origin, length: u64) -> Wire {
    let mut service = origin.accept().await;
    service.head().await;
    let fields = format!("Connection: close\r\nContent-Length: {length}");
    service.say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
    service
}

/// Says more until the gateway hangs up; says how much it has taken.
async fn say_until_cut(service: &mut Wire) -> usize {
    let mut said = 0;
    while let Ok(count) = say(service).await {
        said += count;
        assert!(said < HELD_MAX, "nobody takes it, and the gateway holds it");
    }
    said
}

async fn say(service: &mut Wire) -> std::io::Result<usize> {
    let said = tokio::time::timeout(PATIENCE, service.0.write(&[b'x'; 16 * 1024])).await;
    said.expect("the gateway lets the service go")
}

/// That another client gets its answer, and nothing is left of anybody.
async fn serves_others(gateway: &GatewayUnderTest, origin: &Origin) {
    let mut other = Framed::over(Client::connect(gateway.address()), &[]);
    other.request(1, &get("/live"));
    let _service = answer(origin, 0).await;
    assert_eq!(other.outcome(1), "200");
    let metrics = gateway.metrics().await;
    assert!(!metrics.contains("status_code=\"5"), "{metrics}");
}

#[tokio::test]
async fn a_stream_whose_window_is_shut_ends_and_lets_its_service_go() {
    let origin = Origin::start().await;
    let gateway = impatient(&origin, 100);
    for window in [0, 1] {
        let (mut framed, mut service) = begun(&gateway, &origin, window).await;
        say_until_cut(&mut service).await;
        assert_eq!(framed.outcome(1), "200", "{window}");
        assert_eq!(framed.outcome(1), "reset 8", "{window}: cancelled");
        framed.request(3, &get("/live"));
        let _service = answer(&origin, 0).await;
        assert_eq!(framed.outcome(3), "200", "{window}: the connection goes on");
        serves_others(&gateway, &origin).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_an_answer_byte_by_byte_is_cut() {
    let origin = Origin::start().await;
    let gateway = impatient(&origin, 100);
    let (mut framed, mut service) = begun(&gateway, &origin, 1).await;
    service.say(&[b'x'; 1_000]).await;
    let mut taken = 0;
    while let Some(frame) = framed.next() {
        if frame.kind == DATA {
            taken += frame.payload.len();
            framed.client.send(grow(1, 1));
        }
    }
    assert!((1..200).contains(&taken), "{taken}");
    say_until_cut(&mut service).await;
    serves_others(&gateway, &origin).await;
    ended(&gateway, "flood").await;
}

#[tokio::test]
async fn who_opens_all_windows_and_reads_nothing_is_cut() {
    let origin = Origin::start().await;
    let gateway = impatient(&origin, 100);
    let (mut framed, mut service) = begun(&gateway, &origin, WINDOW_MAX).await;
    say_until_cut(&mut service).await;
    assert_eq!(framed.outcome(1), "200");
    assert_eq!(framed.outcome(1), "closed");
    serves_others(&gateway, &origin).await;
    ended(&gateway, "stalled").await;
}

/// Where frames for nothing may be as many as one likes, what is left is that somebody must take the
/// answers.
#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_not_kept() {
    let origin = Origin::start().await;
    let gateway = impatient(&origin, u32::MAX);
    let client = Client::connect_narrow(gateway.address()).await;
    let mut framed = Framed::over(client, &[]);
    let sent = framed.client.flood(&frame(PING, 0, 0, &[7; 8]).repeat(1_000));
    assert!(sent < HELD_MAX, "{sent}");
    serves_others(&gateway, &origin).await;
    ended(&gateway, "stalled").await;
}

/// Waits until one connection has been counted as ended for this reason; its client may have known
/// before it was.
async fn ended(gateway: &GatewayUnderTest, reason: &str) {
    gateway
        .metrics_with(&[format!("gateway_connections_ended_total{{reason=\"{reason}\"}} 1")])
        .await;
}
