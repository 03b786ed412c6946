//! HTTP/2: what a library sends arrives as HTTP/1.1, and what none would send harms nobody.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::Setup;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Framed, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get, window_of,
};

#[derive(Clone)]
struct Spawn;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

async fn connect(setup: &Setup) -> SendRequest<Full<Bytes>> {
    let address = setup.gateway.url.strip_prefix("http://").expect("http");
    let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    let (sender, connection) = handshake(Spawn, TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_client_of_http_2_reaches_services_of_http_1() {
    let setup = Setup::start();
    let mut sender = connect(&setup).await;
    let url = |path: &str| format!("http://api.example.com{path}");
    let get = Request::get(url("/a?b=c")).header("te", "trailers");
    let answer = sender.send_request(get.body(Full::default()).expect("a request")).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(answer.collect().await.expect("a body").to_bytes(), "ok");
    assert_eq!(setup.origin.take(), ["GET /a?b=c"]);

    let post = Request::post(url("/b")).body(Full::from("hello")).expect("a request");
    assert_eq!(sender.send_request(post).await.expect("an answer").status(), 200);
    assert_eq!(setup.origin.take(), ["POST /b hello"]);
    let head = Request::head(url("/c")).body(Full::default()).expect("a request");
    let answer = sender.send_request(head).await.expect("an answer");
    assert_eq!(answer.headers()["content-length"], "2");
    assert!(answer.collect().await.expect("a body").to_bytes().is_empty());
    assert_eq!(setup.origin.take(), ["HEAD /c"]);

    // More than may be in flight: the others wait.
    let many = (0..50).map(|n| {
        let get = Request::get(url(&format!("/{n}"))).body(Full::default()).expect("a request");
        sender.send_request(get)
    });
    for answer in futures::future::join_all(many).await {
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    assert_eq!(setup.origin.take().len(), 50);
}

#[tokio::test]
async fn the_same_rules_and_limits_hold_as_for_http_1() {
    let setup = Setup::start();
    let mut sender = connect(&setup).await;
    let long = |size: usize| "x".repeat(size);
    for (path, fields, body, status, code) in [
        ("/a/..%2fb".to_owned(), vec![], String::new(), 400, "path_not_canonical"),
        ("/a//b".to_owned(), vec![], String::new(), 400, "path_not_canonical"),
        (format!("/{}", long(512)), vec![], String::new(), 414, "target_too_long"),
        ("/a".to_owned(), vec![("x", long(2_040))], String::new(), 431, "head_too_large"),
        ("/a".to_owned(), vec![("x", long(1)); 21], String::new(), 431, "head_too_large"),
        ("/a".to_owned(), vec![], long(1_025), 413, "body_too_large"),
        ("/a".to_owned(), vec![("host", "b".to_owned())], String::new(), 400, "host_invalid"),
        ("/a".to_owned(), vec![("expect", long(2))], String::new(), 417, "expectation_failed"),
    ] {
        let mut request = Request::post(format!("http://api.example.com{path}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body)).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
        let body = answer.collect().await.expect("a body").to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
        assert_eq!(problem["code"], code, "{path}");
    }
    assert!(setup.origin.take().is_empty());
    let get = Request::get("http://a/%61").body(Full::default()).expect("a request");
    assert_eq!(sender.send_request(get).await.expect("an answer").status(), 200);
    assert_eq!(setup.origin.take(), ["GET /a"], "one normaliser, and the connection goes on");
}

#[test]
fn a_request_that_no_library_sends_is_refused_alone() {
    let setup = Setup::start();
    let with = |field: (&'static str, &'static str)| [get("/a"), vec![field]].concat();
    let without =
        |name: &str| get("/a").into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    // The library's answer to a name that it cannot even unpack is the end of the connection.
    let (malformed, gone) = ("reset 1", "gone 1");
    let mut outcomes = Vec::new();
    let cases = [
        ("a sound one", get("/a"), "200"),
        ("a connection field", with(("connection", "close")), malformed),
        ("a transfer coding", with(("transfer-encoding", "chunked")), malformed),
        ("an upgrade", with(("upgrade", "h2c")), malformed),
        ("keep-alive", with(("keep-alive", "1")), malformed),
        ("proxy-connection", with(("proxy-connection", "close")), malformed),
        ("a te that is not trailers", with(("te", "gzip")), malformed),
        ("a capital", with(("X-Evil", "1")), gone),
        ("a line's end in a value", with(("x", "a\r\nevil: 1")), gone),
        ("a line feed in a value", with(("x", "a\nevil: 1")), gone),
        ("a zero in a value", with(("x", "a\0")), gone),
        ("a line's end in a name", with(("x\r\nevil", "1")), gone),
        ("a colon in a name", with(("x:evil", "1")), gone),
        ("a space in a name", with(("x evil", "1")), gone),
        ("an empty name", with(("", "evil")), gone),
        ("a pseudo-field behind", with((":path", "/evil")), malformed),
        ("an unknown pseudo-field", with((":evil", "1")), gone),
        ("an answer's pseudo-field", with((":status", "200")), malformed),
        ("no path", without(":path"), malformed),
        ("an empty path", [without(":path"), vec![(":path", "")]].concat(), malformed),
        ("a path with a space", get("/a HTTP/1.1"), malformed),
        ("a path with a line's end", get("/a\r\nevil: 1"), malformed),
        // The library cuts it off; what is left is what is asked for.
        ("a fragment", get("/a#.png"), "200"),
        ("a path beyond ASCII", get("/caf\u{e9}"), "400"),
        ("a query beyond ASCII", get("/a?caf\u{e9}"), "400"),
        ("a backtick in a query, as browsers send it", get("/a?b=`"), "200"),
        ("a backtick in a path", get("/a`"), malformed),
        ("no slash", get("a"), malformed),
        ("no method", without(":method"), malformed),
        ("no scheme", without(":scheme"), malformed),
        ("no authority", without(":authority"), "400"),
        ("another host", with(("host", "evil")), "400"),
        ("a length that is not the body's", with(("content-length", "5")), malformed),
        ("an unreadable length", with(("content-length", "+5")), malformed),
    ];
    for (name, fields, expected) in &cases {
        let mut framed = Framed::open(&setup);
        framed.request(1, fields);
        let outcome = framed.outcome(1);
        let path = fields.iter().find(|(known, _)| *known == ":path").map_or("", |(_, path)| path);
        // Of a fragment nobody hears.
        let reached = format!("GET {}", path.split('#').next().unwrap_or_default());
        let reached = (*expected == "200").then_some(reached);
        assert_eq!(setup.origin.take(), reached.as_slice(), "{name}");
        if outcome != gone {
            framed.request(3, &get("/next"));
            assert_eq!(framed.outcome(3), "200", "{name}: the connection goes on");
            assert_eq!(setup.origin.take(), ["GET /next"], "{name}");
        }
        outcomes.push((*name, outcome));
    }
    let expected = cases.iter().map(|(name, _, expected)| (*name, (*expected).to_owned()));
    assert_eq!(outcomes, expected.collect::<Vec<_>>());
}

/// What makes work for nothing, by name; and whether it is cut for that.
fn attacks() -> Vec<(&'static str, Vec<u8>, bool)> {
    let request =
        |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get("/a")));
    let reset = |n: u32| {
        let cancel = frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes());
        [request(2 * n + 1), cancel].concat()
    };
    let open = frame(HEADERS, END_HEADERS, 1, &block(&get("/a")));
    let begun = frame(HEADERS, 0, 1, &block(&get("/a")));
    let repeat = |frame: Vec<u8>| frame.repeat(2_000);
    let resized = [0, 65_535].map(|size| frame(SETTINGS, 0, 0, &window_of(size))).concat();
    vec![
        ("requests that are cancelled at once", (0..2_000).flat_map(reset).collect(), true),
        ("pings", repeat(frame(PING, 0, 0, &[0; 8])), true),
        ("settings", repeat(frame(SETTINGS, 0, 0, &[])), true),
        ("windows", repeat(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])), true),
        (
            "windows of a stream",
            [open.clone(), repeat(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]))].concat(),
            true,
        ),
        ("sizes of windows", [open.clone(), repeat(resized)].concat(), true),
        ("priorities", repeat(frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])), true),
        ("unknown frames", repeat(frame(0x77, 0, 0, &[])), true),
        ("empty data", [open, repeat(frame(DATA, 0, 1, &[]))].concat(), true),
        (
            "empty continuations",
            [begun.clone(), repeat(frame(CONTINUATION, 0, 1, &[]))].concat(),
            true,
        ),
        (
            "fields without end",
            [begun, repeat(frame(CONTINUATION, 0, 1, &block(&[("x", "y")])))].concat(),
            false,
        ),
        (
            "requests beyond the most in flight",
            (0..2_000).flat_map(|n| request(2 * n + 1)).collect(),
            false,
        ),
    ]
}

#[tokio::test]
async fn who_makes_work_for_nothing_is_cut_and_nobody_else_notices() {
    let setup = Setup::start();
    let attacks = attacks();
    let floods = attacks.iter().filter(|(_, _, is_flood)| *is_flood).count();
    for (name, sent, is_flood) in attacks {
        let mut framed = Framed::open(&setup);
        framed.client.send(&sent);
        if is_flood {
            framed.end();
            assert!(setup.origin.take().len() <= 20, "{name}");
        }
        let mut other = Framed::open(&setup);
        other.request(1, &get("/other"));
        assert_eq!(other.outcome(1), "200", "{name}");
        drop((framed, other));
        // Until nothing of it is left.
        setup.gateway.metrics().await;
        setup.origin.take();
    }
    // The library has a word too when streams are cancelled, and may be first. Clients may know of
    // an end before it has been counted.
    let ended = |line: &str| {
        let rest = line.strip_prefix("gateway_connections_ended_total{reason=\"")?;
        rest.split_once(' ')?.1.parse::<usize>().ok()
    };
    let is_each_counted = |page: &str| page.lines().filter_map(ended).sum::<usize>() >= floods;
    setup.gateway.metrics_until("each flood is counted", is_each_counted).await;
}

#[tokio::test]
async fn a_connection_that_the_library_ends_without_a_word_is_counted() {
    let setup = Setup::start();
    let mut leaving = Framed::open(&setup);
    leaving.request(1, &get("/a"));
    assert_eq!(leaving.outcome(1), "200");
    leaving.send(GOAWAY, 0, 0, &[0; 8]);
    leaving.end();
    let connect = [(":method", "CONNECT"), (":authority", "a"), ("content-length", "5")];
    let mut framed = Framed::open(&setup);
    framed.send(HEADERS, END_HEADERS, 1, &block(&connect));
    assert_eq!(framed.outcome(1), "closed");
    // The client may know of the end before it has been counted.
    let counted = "gateway_connections_ended_total{reason=\"broken_http2\"} 1";
    setup.gateway.metrics_with(&[counted.to_owned()]).await;
    let mut plain = Framed::open(&setup);
    plain.request(1, &connect[..2]);
    assert_eq!(plain.outcome(1), "501", "without a body, it is a request like any other");
}

#[test]
fn fields_that_are_too_many_for_any_request_end_at_their_limit() {
    let setup = Setup::start();
    let mut framed = Framed::open(&setup);
    let long = "x".repeat(8_000);
    framed.request(1, &[get("/a"), vec![("x", &long)]].concat());
    assert_eq!(framed.outcome(1), "431");
    framed.request(3, &get("/a"));
    assert_eq!(framed.outcome(3), "200");
    assert_eq!(setup.origin.take(), ["GET /a"]);
}

#[test]
fn a_preface_that_is_not_whole_is_no_http() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX");
    assert_eq!(client.answer(false).expect("an answer").status, 505);
    assert!(client.is_closed());
}

#[tokio::test]
async fn a_drain_says_goodbye() {
    let setup = Setup::start();
    let mut framed = Framed::open(&setup);
    framed.request(1, &get("/a"));
    assert_eq!(framed.outcome(1), "200");
    setup.gateway.stop().await;
    assert_eq!(framed.end().first(), Some(&0), "GOAWAY, and for no error");
}
