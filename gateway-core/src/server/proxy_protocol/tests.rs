//! Headers as bytes, and connections that begin with one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::*;
use crate::clock::Clock;
use crate::server::tests::settings;
use crate::server::{Entrance, RefusedHead, Running, Serve, Server, Transport};

/// A header whose connection is the peer's own.
const THE_PEER: &str = "the peer";
/// What is no header.
const NO: &str = "malformed";

fn said(parsed: Result<Option<SocketAddr>, Malformed>) -> String {
    match parsed {
        Ok(Some(client)) => client.to_string(),
        Ok(None) => THE_PEER.to_owned(),
        Err(Malformed) => NO.to_owned(),
    }
}

#[test]
fn version_1_is_one_line_of_one_form() {
    for (line, expected) in [
        ("TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7:56324"),
        ("TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
        ("TCP4 192.0.2.7 198.51.100.1 0 0\r\n", "192.0.2.7:0"),
        ("TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "[2001:db8::7]:56324"),
        ("TCP6 ::ffff:192.0.2.7 ::1 56324 443\r\n", "192.0.2.7:56324"),
        ("UNKNOWN\r\n", THE_PEER),
        ("UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", THE_PEER),
        ("UNKNOWNX\r\n", NO),
        ("UNKNOWN \u{1}\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 56324 443\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 56324 443", NO),
        ("TCP4  192.0.2.7 198.51.100.1 56324 443\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 56324\r\n", NO),
        ("TCP4 192.0.2.7\t198.51.100.1 56324 443\r\n", NO),
        ("TCP4 192.0.2.07 198.51.100.1 56324 443\r\n", NO),
        ("TCP4 192.0.2.256 198.51.100.1 56324 443\r\n", NO),
        ("TCP4 2001:db8::7 2001:db8::1 56324 443\r\n", NO),
        ("TCP6 192.0.2.7 198.51.100.1 56324 443\r\n", NO),
        ("TCP4 192.0.2.7 2001:db8::1 56324 443\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 065 443\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 +65 443\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 65536 443\r\n", NO),
        ("TCP4 192.0.2.7 198.51.100.1 56324 \r\n", NO),
        ("tcp4 192.0.2.7 198.51.100.1 56324 443\r\n", NO),
        ("UDP4 192.0.2.7 198.51.100.1 56324 443\r\n", NO),
        ("\r\n", NO),
    ] {
        assert_eq!(said(parse::v1(format!("PROXY {line}").as_bytes())), expected, "{line:?}");
    }
    assert_eq!(said(parse::v1(b"PROXY TCP4 \xff\r\n")), NO);
}

#[test]
fn version_2_says_it_in_as_many_bytes_as_its_family_takes() {
    let v4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
    let v6 = |client: [u8; 16]| [&client[..], &[0; 16], &[0xdc, 4, 1, 0xbb]].concat();
    let documentation = v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    let mapped = v6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]);
    let with_more = [v4, &[3, 0, 4, 0, 0, 0, 0]].concat();
    let unix = [0; 216];
    let cases: [(u8, u8, &[u8], &str); 20] = [
        (0x21, 0x11, v4, "192.0.2.7:56324"),
        (0x21, 0x11, &with_more, "192.0.2.7:56324"),
        (0x21, 0x21, &documentation, "[2001:db8::7]:56324"),
        (0x21, 0x21, &mapped, "192.0.2.7:56324"),
        (0x20, 0x00, &[], THE_PEER),
        (0x20, 0x11, v4, THE_PEER),
        (0x20, 0xff, &[], THE_PEER),
        (0x21, 0x00, &[], THE_PEER),
        (0x21, 0x12, v4, THE_PEER),
        (0x21, 0x22, &documentation, THE_PEER),
        (0x21, 0x31, &unix, THE_PEER),
        (0x21, 0x11, &v4[..11], NO),
        (0x21, 0x11, &[], NO),
        (0x21, 0x21, v4, NO),
        (0x21, 0x31, &unix[..215], NO),
        (0x21, 0x12, &[], NO),
        (0x21, 0x13, v4, NO),
        (0x21, 0x41, v4, NO),
        (0x22, 0x11, v4, NO),
        (0x11, 0x11, v4, NO),
    ];
    for (command, family, body, expected) in cases {
        assert_eq!(
            said(parse::v2(command, family, body)),
            expected,
            "{command:x} {family:x} {body:?}"
        );
    }
}

/// Answers who its peer is.
struct WhoIs;

impl Serve for WhoIs {
    type Body = Full<Bytes>;

    async fn serve(&self, _: Request<Incoming>, transport: &Transport) -> Response<Full<Bytes>> {
        Response::new(format!("peer={}.", transport.peer).into())
    }

    fn refuse(&self, _: &RefusedHead, _: &Transport) -> Response<Full<Bytes>> {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

struct Served {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    drain: watch::Sender<bool>,
    running: Running,
}

fn serve(from: &str, header_timeout: Duration) -> Served {
    let metrics = Arc::new(Metrics::new());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, settings(), &metrics).expect("a free port");
    let address = server.local_addr();
    let from = vec![from.parse().expect("a network")];
    let proxy_protocol = ProxyProtocol::new(from, header_timeout, Arc::clone(&metrics));
    let entrance = Entrance { proxy_protocol: Some(proxy_protocol), tls: None };
    let (drain, drains) = watch::channel(false);
    let running = server.behind(entrance).start(|_| WhoIs, &drains).expect("a server");
    Served { address, metrics, drain, running }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

impl Served {
    /// What the server answers to a connection of these pieces: its status and whom it saw.
    fn heard(&self, pieces: &[&[u8]], hangs_up: bool) -> String {
        let mut client = TcpStream::connect(self.address).expect("a server");
        client.set_nodelay(true).expect("set");
        let own = client.local_addr().expect("bound").to_string();
        for piece in pieces {
            let _ = client.write_all(piece);
        }
        if hangs_up {
            client.shutdown(std::net::Shutdown::Write).expect("shut down");
        }
        let mut heard = Vec::new();
        let _ = client.read_to_end(&mut heard);
        let heard = String::from_utf8_lossy(&heard).replace(&own, "the socket");
        let status = heard.split(' ').nth(1).unwrap_or_default();
        let peer = heard.split("peer=").nth(1).unwrap_or_default();
        format!("{status} {peer}").trim().to_owned()
    }

    fn failures(&self, reason: &'static str) -> u64 {
        let labels = HandshakeFailure { layer: "proxy_protocol", reason };
        self.metrics.handshake_failures.get_or_create(&labels).get()
    }

    fn stop(self) {
        self.drain.send_replace(true);
        self.running.join().expect("no panic");
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
}

#[test]
fn a_listed_peer_says_whose_connection_it_is_and_the_request_behind_it_is_whole() {
    let served = serve("127.0.0.0/8", Duration::from_secs(60));
    let v1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    let in_v2 = v2(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb]);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_SIZE_MAX - 16));
    let extended =
        v2(0x21, 0x11, &[&[192, 0, 2, 7, 0, 0, 0, 0, 0, 9, 0, 9], &[0; 4_084][..]].concat());
    let cases: [(&str, &[&[u8]], &str); 8] = [
        ("version 1", &[v1, GET], "200 192.0.2.7:56324."),
        ("version 1 in one piece", &[&[v1, GET].concat()], "200 192.0.2.7:56324."),
        ("version 1 in pieces", &[&v1[..7], &v1[7..20], &v1[20..], GET], "200 192.0.2.7:56324."),
        ("the longest of version 1", &[longest.as_bytes(), GET], "200 the socket."),
        ("version 2", &[&in_v2, GET], "200 192.0.2.7:56324."),
        ("version 2 in one piece", &[&[&in_v2[..], GET].concat()], "200 192.0.2.7:56324."),
        ("the longest of version 2", &[&extended, GET], "200 192.0.2.7:9."),
        ("a check of the balancer's own", &[&v2(0x20, 0, &[]), GET], "200 the socket."),
    ];
    for (case, pieces, expected) in cases {
        assert_eq!(served.heard(pieces, false), expected, "{case}");
    }
    served.stop();
}

#[test]
fn a_listed_peer_that_does_not_say_it_is_cut_and_counted_by_reason() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_SIZE_MAX - 15));
    let too_long_v2 = [&V2_SIGNATURE[..], &[0x21, 0x11, 0x10, 0x01]].concat();
    let cases: [(&str, &[u8], bool, &str); 10] = [
        ("no header", GET, false, "missing"),
        ("another case", b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n", false, "missing"),
        ("a wrong version 1", b"PROXY TCP4 192.0.2.7 1 2\r\n", false, "malformed"),
        ("a longer version 1", too_long.as_bytes(), false, "malformed"),
        ("a wrong version 2", &v2(0x21, 0x11, &[0; 11]), false, "malformed"),
        ("a longer version 2", &too_long_v2, false, "malformed"),
        ("nothing, and gone", b"", true, "closed"),
        ("half a version 1, and gone", b"PROXY TCP4 192.0.2.7 ", true, "closed"),
        ("half a version 2, and gone", &v2(0x21, 0x11, &[0; 12])[..20], true, "closed"),
        ("half a header, and silence", b"PROXY TCP4 192.0.2.7 ", false, "timeout"),
    ];
    for (case, said, hangs_up, reason) in cases {
        let wait = Duration::from_millis(if reason == "timeout" { 50 } else { 60_000 });
        let served = serve("127.0.0.1/32", wait);
        assert_eq!(served.heard(&[said], hangs_up), "", "{case}");
        let clock = Clock::system();
        let started = clock.now();
        while served.failures(reason) == 0 {
            assert!(
                clock.now().since(started) < Duration::from_secs(20),
                "{case}: {}",
                served.metrics.render()
            );
            thread::yield_now();
        }
        served.stop();
    }
}

#[test]
fn from_anybody_else_a_header_is_bad_http_and_never_believed() {
    let served = serve("192.0.2.0/24", Duration::from_secs(60));
    assert_eq!(served.heard(&[GET], false), "200 the socket.");
    let v1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    assert_eq!(served.heard(&[v1, GET], true), "400");
    let in_v2 = v2(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb]);
    assert_eq!(served.heard(&[&in_v2, GET], true), "400");
    let page = served.metrics.render();
    assert!(!page.contains("layer=\"proxy_protocol\""), "{page}");
    served.stop();
}
