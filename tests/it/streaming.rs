//! Streams over real sockets: events, trailers, large bodies, and how each ends.

use std::time::{Duration, Instant};

use gateway_core::command::{Gateway, Kit};
use gateway_core::endpoint::Endpoints;
use serde_json::json;
use shared_config::Diagnostics;
use tests::harness::{GatewayUnderTest, Harness, Origin, Wire, json_of};

/// A gateway that owns no endpoint.
#[derive(Debug)]
pub(crate) struct Bare;

impl Gateway for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn endpoints(&self, _: &Kit<'_>) -> Result<Endpoints, Diagnostics> {
        Ok(Endpoints::new())
    }
}

/// A gateway in front of one service, with public routes `GET /live` and `POST /upload`; `more`
/// stands in their tables and `top` above.
pub(crate) fn in_front_of(origin: &Origin, more: &str, top: &str) -> GatewayUnderTest {
    in_front_of_limited(origin, &format!("unlimited = \"a test\"\n{more}"), top)
}

/// The same, where `more` says what limits hold.
pub(crate) fn in_front_of_limited(origin: &Origin, more: &str, top: &str) -> GatewayUnderTest {
    let url = origin.url();
    let toml = format!(
        "[gateway]\nname = \"bare\"\nexpose = [\"*\"]\n{top}\n[services.live]\nurl = \"{url}\"\n\
         [routes.live]\nmatch = \"GET /live\"\nservice = \"live\"\npublic = \"a test\"\n\
         {more}\n\
         [routes.upload]\nmatch = \"POST /upload\"\nservice = \"live\"\npublic = \"a test\"\n\
         unlimited = \"a test\"\nupload_idle_timeout = \"10s\"\n"
    );
    GatewayUnderTest::of_text(&Bare, &toml)
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Opens the stream of events; the client has its head, and the service is about to speak.
async fn open(gateway: &GatewayUnderTest, origin: &Origin, path: &str, more: &str) -> (Wire, Wire) {
    let mut client = Wire::connect(&gateway.url).await;
    client.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n")).await;
    let mut service = origin.accept().await;
    service.head().await;
    service.say(EVENTS).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    (client, service)
}

#[tokio::test]
async fn each_event_is_there_before_the_next_is_sent() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "");
    let (mut client, mut service) = open(&gateway, &origin, "/live", "").await;
    for number in 0..5 {
        let event = format!("id: {number}\ndata: news\n\n");
        service.say(chunk(&event)).await;
        assert_eq!(client.until("news\n\n\r\n").await, chunk(&event));
    }
    service.say("0\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "0\r\n\r\n");
    let line = gateway.line_of("/live").await;
    assert_eq!((&line["status"], &line["code"]), (&json!(200), &json!(null)), "{line}");
    assert_eq!((&line["bytes_out"], &line["upstream_service"]), (&json!(90), &json!("live")));
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_call_to_the_service_along() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "");
    let (client, mut service) = open(&gateway, &origin, "/live", "").await;
    drop(client);
    assert_eq!(service.rest().await, b"");
    assert_eq!(gateway.line_of("/live").await["code"], "client_disconnected");
    assert!(gateway.metrics().await.contains("gateway_open_streams 0"));
}

#[tokio::test]
async fn a_stream_outlives_the_deadline_and_ends_when_it_is_silent_for_too_long() {
    let origin = Origin::start().await;
    let limits = "deadline = \"100ms\"\nstream_idle_timeout = \"400ms\"\n";
    let gateway = in_front_of(&origin, limits, "[upstream]\nread_timeout = \"50ms\"\n");
    let (mut client, mut service) = open(&gateway, &origin, "/live", "").await;
    let started = Instant::now();
    // The end is that of an answer: an EventSource comes again by itself.
    assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert_eq!(service.rest().await, b"");
    assert_eq!(gateway.line_of("/live").await["code"], "stream_idle");
}

#[tokio::test]
async fn a_drain_ends_streams_between_two_events() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "");
    let (mut between, mut quiet) = open(&gateway, &origin, "/live", "").await;
    quiet.say(chunk("data: 1\n\n")).await;
    between.until("data: 1\n\n\r\n").await;
    let (mut inside, mut busy) = open(&gateway, &origin, "/live", "").await;
    busy.say(chunk("data: 1\n\ndata: ")).await;
    inside.until("data: \r\n").await;
    let script = async {
        assert_eq!(between.until("0\r\n\r\n").await, "0\r\n\r\n");
        assert_eq!(quiet.rest().await, b"", "the service is hung up on");
        busy.say(chunk("2\n\n")).await;
        assert_eq!(inside.until("0\r\n\r\n").await, chunk("2\n\n") + "0\r\n\r\n");
    };
    let (lines, ()) = tokio::join!(gateway.stop(), script);
    let codes: Vec<_> = lines.iter().map(|line| line["code"].clone()).collect();
    assert_eq!(codes, [json!("draining"), json!("draining")]);
}

/// The sample, with a stream of events on two of its gateways.
async fn live_everywhere(origin: &Origin) -> Harness {
    let url = origin.url();
    let route = format!(
        "[services.live]\nurl = \"{url}\"\n[routes.live]\nmatch = \"GET /live\"\nservice = \"live\"\n"
    );
    Harness::builder()
        .manual_clock()
        .layer("web-bff", &route)
        .layer("mobile-bff", &route)
        .layer("partner-gateway", &route.replace("routes.live", "routes.links-live"))
        .ended_keys()
        .start()
        .await
}

#[tokio::test]
async fn a_stream_ends_with_the_identity_that_opened_it() {
    let origin = Origin::start().await;
    let harness = live_everywhere(&origin).await;
    let cookie = format!("Cookie: {}\r\nX-CSRF: 1\r\n", harness.cookie());
    let token = format!("Authorization: Bearer {}\r\n", harness.token);
    let key = format!("X-API-Key: {}\r\n", harness.key("expiring"));
    let lasting = format!("X-API-Key: {}\r\n", harness.key("pro"));

    // A logout ends the streams of its session, and of no other.
    let (mut first, mut service) = open(&harness.web, &origin, "/api/live", &cookie).await;
    let mut harness = harness;
    harness.begin_session().await;
    let cookie = format!("Cookie: {}\r\nX-CSRF: 1\r\n", harness.cookie());
    let (mut second, mut other) = open(&harness.web, &origin, "/api/live", &cookie).await;
    let logout = harness.web.post("/bff/logout").header("Cookie", harness.cookie());
    let answer = logout.header("X-CSRF", "1").send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(second.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert_eq!(other.rest().await, b"");
    assert_eq!(harness.web.line_of("/api/live").await["code"], "identity_ended");
    service.say(chunk("data: still here\n\n")).await;
    first.until("here\n\n\r\n").await;

    // A session that times out, and a token and a key that expire, take theirs along, without a
    // request.
    let (mut by_token, _service) = open(&harness.mobile, &origin, "/live", &token).await;
    let (mut by_key, _service) = open(&harness.partner, &origin, "/v1/live", &key).await;
    let (mut lasting, mut alive) = open(&harness.partner, &origin, "/v1/live", &lasting).await;
    harness.advance(Duration::from_secs(31 * 60));
    for stream in [&mut first, &mut by_token, &mut by_key] {
        assert_eq!(stream.until("0\r\n\r\n").await, "0\r\n\r\n");
    }
    assert_eq!(harness.mobile.line_of("/live").await["code"], "identity_ended");
    alive.say(chunk("data: still here\n\n")).await;
    lasting.until("here\n\n\r\n").await;

    // A partner who was suspended elsewhere.
    let end = |identity| format!("{}/streams/end?identity={identity}", harness.partner.admin);
    for (identity, ended) in [("acme", 0), ("globex", 1)] {
        let answer = harness.client.post(end(identity)).send().await.expect("an answer");
        assert_eq!(json_of(answer).await, json!({ "ended": ended }), "{identity}");
    }
    assert_eq!(lasting.until("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn trailers_pass_both_ways_without_what_they_may_not_say() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "");
    let mut client = Wire::connect(&gateway.url).await;
    client
        .say(
            "POST /upload HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip\r\nConnection: TE\r\n\
             Trailer: X-Checksum, X-User-ID, Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Checksum: 1\r\nX-User-ID: admin\r\nContent-Length: 9\r\n\
             X-Unannounced: 1\r\n\r\n",
        )
        .await;
    let mut service = origin.accept().await;
    let head = service.head().await;
    assert!(
        head.contains("te: trailers\r\n") && head.contains("trailer: x-checksum\r\n"),
        "{head}"
    );
    assert_eq!(service.until("\r\n\r\n").await, "2\r\nhi\r\n0\r\nx-checksum: 1\r\n\r\n");
    service
        .say(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Took, Set-Cookie, X-User-ID, Server\r\n\r\n2\r\nok\r\n0\r\nX-Took: 5\r\n\
             Set-Cookie: a=b\r\nX-User-ID: 1\r\nServer: secret\r\nX-Request-ID: forged\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert!(head.contains("trailer: x-took\r\n"), "{head}");
    assert_eq!(client.until("\r\n\r\n").await, "2\r\nok\r\n0\r\nx-took: 5\r\n\r\n");
}

/// What fits into the buffers between two ends that do not read, with room to spare.
const BUFFERED_MAX: usize = 24 << 20;
const LARGE: usize = 48 << 20;

/// Both ends of a long upload of which the service has the head.
async fn uploading(gateway: &GatewayUnderTest, origin: &Origin) -> (Wire, Wire) {
    let mut client = Wire::connect(&gateway.url).await;
    client
        .say(format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"))
        .await;
    let mut service = origin.accept().await;
    service.head().await;
    (client, service)
}

#[tokio::test]
async fn a_sender_of_a_large_body_goes_no_faster_than_its_reader() {
    let origin = Origin::start().await;
    let top = "[server]\nbody_size_max = \"64MiB\"\nbody_timeout = \"100ms\"\n";
    let gateway = in_front_of(&origin, "", top);
    let (mut client, mut service) = uploading(&gateway, &origin).await;
    let said = client.say_until_blocked(64 * 1024, LARGE).await;
    assert!(said < BUFFERED_MAX, "{said} bytes are somewhere between the two");
    let rest = async {
        let more = client.say_until_blocked(64 * 1024, LARGE - said).await;
        assert_eq!(said + more, LARGE);
    };
    tokio::join!(rest, async {
        for _ in 0..LARGE / (1 << 20) {
            assert!(service.bytes(1 << 20).await.iter().all(|&byte| byte == b'x'));
        }
    });
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    service.say(head).await;
    client.head().await;
    let said = service.say_until_blocked(64 * 1024, LARGE).await;
    assert!(said < BUFFERED_MAX, "{said} bytes are somewhere between the two");
    let rest = async {
        let more = service.say_until_blocked(64 * 1024, LARGE - said).await;
        assert_eq!(said + more, LARGE);
    };
    tokio::join!(rest, async {
        for _ in 0..LARGE / (1 << 20) {
            client.bytes(1 << 20).await;
        }
    });
    let line = gateway.line_of("/upload").await;
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(LARGE), &json!(LARGE)), "{line}");
}

#[tokio::test]
async fn a_service_that_takes_nothing_more_of_an_upload_is_hung_up_on() {
    let origin = Origin::start().await;
    let top = "[server]\nbody_size_max = \"64MiB\"\n[upstream]\nwrite_timeout = \"300ms\"\n";
    let gateway = in_front_of(&origin, "", top);
    let (mut client, _service) = uploading(&gateway, &origin).await;
    client.say_until_blocked(64 * 1024, LARGE).await;
    assert!(client.head().await.starts_with("HTTP/1.1 504 "));
    let line = gateway.line_of("/upload").await;
    assert_eq!((&line["code"], &line["attempts"]), (&json!("upstream_timeout"), &json!(1)));
}

#[tokio::test]
async fn a_service_that_answers_an_upload_and_hangs_up_is_heard_and_the_rest_is_dropped() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "[server]\nbody_size_max = \"64MiB\"\n");
    let (mut client, mut service) = uploading(&gateway, &origin).await;
    client.say_until_blocked(64 * 1024, LARGE).await;
    // The gateway looks only when both have happened, and so tries to send more before it reads.
    gateway.stall_core(Duration::from_millis(300));
    let mut other = Wire::connect(&gateway.url).await;
    other.say("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while gateway.last_steps().is_none() {
        tokio::task::yield_now().await;
    }
    service.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nless").await;
    drop(service);
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(client.rest().await, b"less", "and it hangs up");
    let line = gateway.line_of("/upload").await;
    assert_eq!((&line["status"], &line["attempts"]), (&json!(413), &json!(1)), "{line}");
    let taken = line["bytes_in"].as_u64().expect("a number");
    assert!(taken < u64::try_from(BUFFERED_MAX).expect("fits"), "{line}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_only_when_its_body_is_wanted() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "");
    let ask = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n";
    let mut client = Wire::connect(&gateway.url).await;
    client.say(format!("POST /upload HTTP/1.1\r\n{ask}\r\n")).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hi").await;
    let mut service = origin.accept().await;
    let head = service.head().await.to_ascii_lowercase();
    assert!(!head.contains("expect"), "{head}");
    assert_eq!(service.bytes(2).await, b"hi");
    service.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
    service.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    let mut client = Wire::connect(&gateway.url).await;
    client.say(format!("POST /nothing HTTP/1.1\r\n{ask}\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn ranges_pass_as_they_are() {
    let origin = Origin::start().await;
    let gateway = in_front_of(&origin, "", "");
    let mut client = Wire::connect(&gateway.url).await;
    let fields = "Range: bytes=2-3\r\nIf-Range: \"v1\"\r\n";
    client.say(format!("GET /live HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    let mut service = origin.accept().await;
    let head = service.head().await;
    assert!(head.contains("range: bytes=2-3\r\n") && head.contains("if-range: \"v1\"\r\n"));
    service
        .say(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/9\r\nContent-Length: 2\r\n\
             ETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\r\ncd",
        )
        .await;
    let head = client.head().await;
    for field in ["HTTP/1.1 206 ", "content-range: bytes 2-3/9\r\n", "etag: \"v1\"\r\n"] {
        assert!(head.contains(field), "{field}: {head}");
    }
    assert_eq!(client.bytes(2).await, b"cd");
}
