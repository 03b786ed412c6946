//! HTTP/1.1: bytes in, answers out, and what reached the origin.

use serde_json::json;

use super::Setup;
use super::client::field;

/// What is sent; the statuses that come back, and `close` when the connection ends with the last;
/// what the origin gets. `~` stands for a line's end.
type Case = (&'static str, String, &'static str, &'static [&'static str]);

/// Sends each case on a connection of its own, and then one more request to see who still listens.
fn check(cases: Vec<Case>) {
    let setup = Setup::start();
    for (name, sent, expected, origin) in cases {
        let mut client = setup.connect();
        let sent = sent.replace('~', "\r\n");
        client.send(&sent);
        let statuses: Vec<&str> = expected.split(' ').filter(|word| *word != "close").collect();
        for status in &statuses {
            let answer =
                client.answer(sent.starts_with("HEAD ")).map(|answer| answer.status.to_string());
            assert_eq!(answer.as_deref(), Some(*status), "{name}: {sent:?}");
        }
        client.send("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let next = client.answer(false).map(|answer| answer.status);
        assert_eq!(next, (!expected.ends_with("close")).then_some(200), "{name}: {sent:?}");
        assert!(client.is_closed(), "{name}");
        let mut seen = setup.origin.take();
        if next.is_some() {
            assert_eq!(seen.pop().as_deref(), Some("GET /next"), "{name}");
        }
        assert_eq!(seen, origin, "{name}: {sent:?}");
    }
}

fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1~Host: a~{fields}~")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1~Host: a~{fields}~{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked~", body)
}

const SMUGGLED: &str = "GET /evil HTTP/1.1~Host: a~~";

#[tokio::test]
async fn a_connection_holds_no_buffers_until_something_is_asked() {
    let setup = Setup::start();
    let mut client = setup.connect();
    let is_shown = async |line: &str| setup.gateway.metrics().await.contains(line);
    while !is_shown("gateway_resting_connections 1\n").await {}
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    assert!(is_shown("gateway_resting_connections 0\n").await);
    assert!(is_shown("gateway_open_connections 1\n").await);
}

#[test]
fn what_is_sound_reaches_the_origin_in_one_form() {
    check(vec![
        ("a request", get(""), "200", &["GET /a"]),
        ("a head", "HEAD /a HTTP/1.1~Host: a~~".into(), "200", &["HEAD /a"]),
        ("two at once", get("") + &get(""), "200 200", &["GET /a", "GET /a"]),
        ("a body", post("Content-Length: 5~", "hello"), "200", &["POST /a hello"]),
        ("no body", post("Content-Length: 0~", ""), "200", &["POST /a"]),
        (
            "a body of a GET",
            get("Content-Length: 2~") + "hi" + &get(""),
            "200 200",
            &["GET /a hi", "GET /a"],
        ),
        (
            "chunks",
            chunked("2~hi~3~ you~0~~").replace("3~ you", "4~ you"),
            "200",
            &["POST /a hi you"],
        ),
        ("no chunk", chunked("0~~"), "200", &["POST /a"]),
        ("a chunk extension", chunked("2;evil=\"a;b\"~hi~0;evil~~"), "200", &["POST /a hi"]),
        ("trailers", chunked("2~hi~0~X-User-ID: evil~Content-Length: 5~~"), "200", &["POST /a hi"]),
        ("a line before", format!("~{}", get("")), "200", &["GET /a"]),
        ("1.0", "GET /a HTTP/1.0~~".into(), "200 close", &["GET /a"]),
        ("1.0 kept", "GET /a HTTP/1.0~Connection: keep-alive~~".into(), "200", &["GET /a"]),
        ("closing", get("Connection: close~"), "200 close", &["GET /a"]),
        ("the absolute form", "GET http://a/a?b HTTP/1.1~Host: a~~".into(), "200", &["GET /a?b"]),
        ("an escape", "GET /%61%c3%a9 HTTP/1.1~Host: a~~".into(), "200", &["GET /a%C3%A9"]),
        (
            "a request in a body",
            post("Content-Length: 13~", "GET /b HTTP/1"),
            "200",
            &["POST /a GET /b HTTP/1"],
        ),
        ("an unknown method", "FOO /a HTTP/1.1~Host: a~~".into(), "405", &[]),
    ]);
}

#[test]
fn what_holds_for_one_connection_alone_goes_no_further() {
    let h2c = "Connection: Upgrade, HTTP2-Settings~Upgrade: h2c~HTTP2-Settings: AAMAAABk~";
    check(vec![
        ("an upgrade to HTTP/2", get(h2c) + &get(""), "200 200", &["GET /a", "GET /a"]),
        ("an upgrade to anything", get("Connection: Upgrade~Upgrade: evil/1~"), "200", &["GET /a"]),
        (
            "a WebSocket where none is offered",
            get("Connection: Upgrade~Upgrade: websocket~"),
            "400",
            &[],
        ),
        ("te", get("TE: trailers, evil~Connection: TE~"), "200", &["GET /a"]),
        (
            "the length, named away",
            post("Connection: content-length~Content-Length: 2~", "hi"),
            "200",
            &["POST /a hi"],
        ),
        ("the host, named away", get("Connection: host~"), "200", &["GET /a"]),
        (
            "an underscore",
            post("Transfer_Encoding: evil~Content_Length: evil~Content-Length: 2~", "hi"),
            "200",
            &["POST /a hi"],
        ),
    ]);
}

#[test]
fn a_body_that_could_end_in_two_places_is_refused() {
    let refused = |fields: &str| post(fields, &format!("0~~{SMUGGLED}"));
    let mut cases: Vec<Case> = Vec::new();
    for (name, fields) in [
        ("a length and a coding", "Content-Length: 5~Transfer-Encoding: chunked~"),
        ("a coding and a length", "Transfer-Encoding: chunked~Content-Length: 5~"),
        ("a length twice", "Content-Length: 5~Content-Length: 5~"),
        ("two lengths", "Content-Length: 5~Content-Length: 48~"),
        ("two lengths, one in another case", "content-length: 5~CONTENT-LENGTH: 48~"),
        ("a list of lengths", "Content-Length: 5, 5~"),
        ("a sign", "Content-Length: +5~"),
        ("a negative length", "Content-Length: -5~"),
        ("a hexadecimal length", "Content-Length: 0x5~"),
        ("a length with a space", "Content-Length: 4 8~"),
        ("an empty length", "Content-Length: ~"),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551621~"),
        ("the greatest length of 64 bits", "Content-Length: 18446744073709551615~"),
        ("the one before", "Content-Length: 18446744073709551614~"),
        ("the coding twice", "Transfer-Encoding: chunked~Transfer-Encoding: chunked~"),
        ("another coding after it", "Transfer-Encoding: chunked~Transfer-Encoding: cow~"),
        ("a name with a space", "Content-Length: 5~Transfer-Encoding : chunked~"),
        ("a name with a tab", "Content-Length: 5~Transfer-Encoding\t: chunked~"),
        ("a vertical tab", "Content-Length: 5~Transfer-Encoding:\u{b}chunked~"),
        ("a zero", "Content-Length: 5~Transfer-Encoding\0: chunked~"),
        ("a bare line feed", "Content-Length: 5~X: y\nTransfer-Encoding: chunked~"),
        ("a bare carriage return", "Content-Length: 5~X: y\rTransfer-Encoding: chunked~"),
        ("a folded line", "Content-Length: 5~Transfer-Encoding:~ chunked~"),
        ("a folded line with a tab", "Transfer-Encoding: chunked~\t, cow~"),
        ("a line that begins with a space", " Transfer-Encoding: chunked~"),
        ("quotes", "Content-Length: \"5\"~"),
    ] {
        cases.push((name, refused(fields), "400 close", &[]));
    }
    for (name, coding) in [
        ("an unknown coding", "xchunked"),
        ("chunked, not last", "chunked, identity"),
        ("a coding below", "gzip, chunked"),
        ("chunked twice", "chunked, chunked"),
        ("identity", "identity"),
        ("a parameter", "chunked;q=1"),
        ("no coding", ""),
        ("a comma", ",chunked"),
    ] {
        cases.push((name, refused(&format!("Transfer-Encoding: {coding}~")), "501 close", &[]));
    }
    let old = format!("POST /a HTTP/1.0~Transfer-Encoding: chunked~~0~~{SMUGGLED}");
    cases.push(("a coding in 1.0", old, "400 close", &[]));
    check(cases);
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_refused() {
    let mut cases: Vec<Case> = Vec::new();
    for (name, body) in [
        ("a sign", "+2~hi~0~~"),
        ("a prefix", "0x2~hi~0~~"),
        ("a space behind", "2 ~hi~0~~"),
        ("a space before", " 2~hi~0~~"),
        ("no size", "~hi~0~~"),
        ("a size beyond 64 bits", "10000000000000002~hi~0~~"),
        ("a bare line feed", "2\nhi~0~~"),
        ("a bare line feed in an extension", "2;a\nhi~0~~"),
        ("a carriage return alone", "2\rhi~0~~"),
    ] {
        cases.push((name, chunked(&format!("{body}{SMUGGLED}")), "400 close", &[]));
    }
    for (name, body) in [
        ("data that is too long", "2~hi!~0~~"),
        ("data that ends with a line feed", "2~hi\n0~~"),
        ("a folded trailer", "2~hi~0~X: y~ z~~"),
        ("a trailer without a colon", "2~hi~0~X~~"),
        ("a bare line feed at the end", "2~hi~0~\n"),
    ] {
        cases.push((name, chunked(&format!("{body}{SMUGGLED}")), "400 close", &[]));
    }
    check(cases);
}

#[test]
fn a_head_that_could_be_read_in_two_ways_is_refused() {
    let line = |line: &str| format!("{line}~Host: a~~{SMUGGLED}");
    let field = |field: &str| format!("{}{SMUGGLED}", get(&format!("{field}~")));
    check(vec![
        ("no version", line("GET /a"), "400 close", &[]),
        ("two spaces", line("GET  /a HTTP/1.1"), "400 close", &[]),
        ("a tab", line("GET\t/a HTTP/1.1"), "400 close", &[]),
        ("a space at the end", line("GET /a HTTP/1.1 "), "400 close", &[]),
        ("a space in the target", line("GET /a b HTTP/1.1"), "400 close", &[]),
        ("a space before", line(" GET /a HTTP/1.1"), "400 close", &[]),
        ("another protocol", line("GET /a ICY/1.1"), "400 close", &[]),
        ("a small protocol", line("GET /a http/1.1"), "400 close", &[]),
        ("a long version", line("GET /a HTTP/1.1.1"), "400 close", &[]),
        ("version 0.9", line("GET /a HTTP/0.9"), "505 close", &[]),
        ("version 1.2", line("GET /a HTTP/1.2"), "505 close", &[]),
        ("version 2.0", line("GET /a HTTP/2.0"), "505 close", &[]),
        ("a method that is no token", line("G(T /a HTTP/1.1"), "400 close", &[]),
        ("a fragment", line("GET /a#evil HTTP/1.1"), "400 close", &[]),
        ("a control character", line("GET /a\u{1} HTTP/1.1"), "400 close", &[]),
        ("a letter beyond ASCII", line("GET /\u{e9} HTTP/1.1"), "400 close", &[]),
        ("a target without a slash", line("GET a HTTP/1.1"), "400 close", &[]),
        ("another scheme", line("GET ftp://a/a HTTP/1.1"), "400 close", &[]),
        ("an asterisk", line("GET * HTTP/1.1"), "400 close", &[]),
        ("a tunnel", line("CONNECT a:443 HTTP/1.1"), "501 close", &[]),
        ("a trace", line("TRACE /a HTTP/1.1"), "501 close", &[]),
        ("two empty lines before", format!("~~{}", get("")), "400 close", &[]),
        ("a line feed before", format!("\n{}", get("")), "400 close", &[]),
        (
            "a line feed behind the request line",
            "GET /a HTTP/1.1\nHost: a~~".into(),
            "400 close",
            &[],
        ),
        ("a line feed at the end", "GET /a HTTP/1.1~Host: a~\n".into(), "400 close", &[]),
        ("no colon", field("X"), "400 close", &[]),
        ("no name", field(": a"), "400 close", &[]),
        ("a space in a name", field("X Y: a"), "400 close", &[]),
        ("a bracket in a name", field("X[]: a"), "400 close", &[]),
        ("a zero in a value", field("X: a\0b"), "400 close", &[]),
        ("a carriage return in a value", field("X: a\rb"), "400 close", &[]),
        ("another control character", field("X: a\u{1b}b"), "400 close", &[]),
        ("rubbish behind a request", format!("{}\0\0~~", get("")), "200 400 close", &["GET /a"]),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}".into(), "400 close", &[]),
    ]);
}

#[test]
fn a_request_is_for_one_host() {
    let with = |hosts: &str| format!("GET /a HTTP/1.1~{hosts}~");
    let target = |target: &str| format!("GET {target} HTTP/1.1~Host: a~~");
    check(vec![
        ("no host", with(""), "400", &[]),
        ("an empty host", with("Host:~"), "400", &[]),
        ("two hosts", with("Host: a~Host: evil~"), "400", &[]),
        ("the same twice", with("Host: a~hOST: a~"), "400", &[]),
        ("a list", with("Host: a, evil~"), "400", &[]),
        ("a path", with("Host: a/evil~"), "400", &[]),
        ("a user", with("Host: evil@a~"), "400", &[]),
        ("a space", with("Host: a evil~"), "400", &[]),
        ("a name with a space", with("Host : a~"), "400 close", &[]),
        ("a folded line", with("Host: a~ evil~"), "400 close", &[]),
        ("a port alone", with("Host: :80~"), "400", &[]),
        ("another in the target", target("http://evil/a"), "400", &[]),
        ("another port in the target", target("http://a:81/a"), "400", &[]),
        ("a user in the target", target("http://evil@a/a"), "400", &[]),
        ("none in the target", target("http:///a"), "400 close", &[]),
        ("one in the target alone", "GET http://a/a HTTP/1.1~~".into(), "400", &[]),
        ("the server as a whole", "OPTIONS * HTTP/1.1~Host: a~~".into(), "400", &[]),
    ]);
}

#[test]
fn each_limit_has_its_status() {
    let long = |size: usize| "x".repeat(size);
    let one = |request: String| &*vec![&*request.leak()].leak();
    let target = |size: usize| format!("GET /{}", long(size - 1));
    let get_target = |size: usize| target(size) + " HTTP/1.1~Host: a~~";
    check(vec![
        ("a target", get_target(512), "200", one(target(512))),
        ("a longer target", get_target(513), "414", &[]),
        ("one beyond all", get_target(1_025), "414 close", &[]),
        ("one without an end", target(5_000), "414 close", &[]),
        ("a head", get(&format!("X: {}~", long(1_900))), "200", &["GET /a"]),
        ("a larger head", get(&format!("X: {}~", long(2_100))), "431", &[]),
        ("one that is not read", get(&format!("X: {}~", long(4_200))), "431 close", &[]),
        ("one without an end", format!("GET /a HTTP/1.1~X: {}", long(5_000)), "431 close", &[]),
        ("fields", get(&"X: 1~".repeat(19)), "200", &["GET /a"]),
        ("more fields", get(&"X: 1~".repeat(20)), "431 close", &[]),
        (
            "a body",
            post("Content-Length: 1024~", &long(1_024)),
            "200",
            one(format!("POST /a {}", long(1_024))),
        ),
        ("a larger body", post("Content-Length: 1025~", &long(1_025)), "413 close", &[]),
        ("one that is announced", post("Content-Length: 99999999999~", ""), "413 close", &[]),
        ("one in chunks", chunked(&format!("401~{}~0~~", long(1_025))), "413 close", &[]),
    ]);
}

#[tokio::test]
async fn a_refused_head_has_a_problem_a_record_and_a_count() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client
        .send("POST /links/1?secret=1 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    let answer = client.answer(false).expect("an answer");
    assert_eq!(field(&answer.head, "content-type"), Some("application/problem+json"));
    assert_eq!(field(&answer.head, "connection"), Some("close"));
    assert_eq!(field(&answer.head, "cache-control"), Some("no-store"));
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["code"], "body_length_ambiguous");
    let id = problem["request_id"].as_str().expect("an id");
    assert_eq!(field(&answer.head, "x-request-id"), Some(id));
    let line = setup.gateway.line_with(id).await;
    assert_eq!(
        (&line["method"], &line["path"], &line["status"], &line["code"]),
        (&json!("POST"), &json!("/links/1"), &json!(400), &json!("body_length_ambiguous"))
    );
    let metrics = setup.gateway.metrics().await;
    assert!(
        metrics.contains(r#"gateway_refusals_total{code="body_length_ambiguous"} 1"#),
        "{metrics}"
    );
}

#[test]
fn who_expects_to_be_asked_is_asked_once_and_only_for_a_body_that_is_wanted() {
    let setup = Setup::start();
    let mut client = setup.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer(false).expect("an answer").status, 100);
    client.send("hi");
    assert_eq!(client.answer(false).expect("an answer").status, 200);
    assert_eq!(setup.origin.take(), ["POST /a hi"]);
    for (fields, status) in [("2000\r\nExpect: 100-continue", 413), ("2\r\nExpect: 200-maybe", 417)]
    {
        let mut client = setup.connect();
        client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {fields}\r\n\r\n"));
        let answer = client.answer(false).expect("an answer");
        assert_eq!(answer.status, status);
        assert!(client.is_closed());
    }
    assert!(setup.origin.take().is_empty());
}
