//! The client against scripted services. Time is paused; the connections are pipes.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

mod in_line;
mod multiplexed;
mod transports;

use super::testing::{Service, get, request, target, target_at, wired};
use super::*;
use crate::body::{Body, BodyError, BodyRefused, ReadTimedOut};
use crate::error::Refusal;

const LONG: Duration = Duration::from_secs(3_600);
const SHORT_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn streamed(
    frames: impl futures::Stream<Item = Result<&'static str, BodyError>> + Send + 'static,
) -> Body {
    Body::boxed(StreamBody::new(frames.map(|data| data.map(|data| Frame::data(Bytes::from(data))))))
}

async fn text(answer: Answer) -> String {
    let bytes = collect(answer.response.into_body(), 1_024).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Calls once over the first connection and leaves it open for reuse.
async fn warm_up<C: Connect>(
    client: &Client<C>,
    target: &Arc<Target>,
    service: &mut Service,
) -> testing::Connection {
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer(SHORT_ANSWER).await;
        connection
    };
    let (answer, connection) = tokio::join!(client.call(target, get("/first"), LONG), script);
    assert_eq!(text(answer.expect("an answer")).await, "ok");
    tokio::task::yield_now().await;
    connection
}

#[tokio::test(start_paused = true)]
async fn a_request_reaches_the_service_under_the_services_own_host() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let mut sent = get("http://client.example/links/x7Kp2?a=1&b=%2F");
    sent.headers_mut().insert("host", "client.example".parse().expect("a host"));
    let script = async {
        let mut connection = service.accept().await;
        let head = connection.request().await;
        connection.answer(SHORT_ANSWER).await;
        head
    };
    let (answer, head) = tokio::join!(client.call(&target, sent, LONG), script);
    assert_eq!(head, "GET /links/x7Kp2?a=1&b=%2F HTTP/1.1\r\nhost: link-service:8080\r\n\r\n");
    let answer = answer.expect("an answer");
    assert_eq!((answer.attempts, answer.response.status()), (1, StatusCode::OK));
    assert_eq!(text(answer).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn an_answer_read_to_its_end_leaves_its_connection_to_the_next_request() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let mut connection = warm_up(&client, &target, &mut service).await;
    let script = async {
        assert!(connection.request().await.starts_with("GET /second "));
        connection.answer(SHORT_ANSWER).await;
    };
    let (answer, ()) = tokio::join!(client.call(&target, get("/second"), LONG), script);
    assert!(answer.is_ok());
    assert_eq!((target.connections_opened(), service.backlog()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_passed_on_and_never_followed() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection
            .answer(
                "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
            )
            .await;
    };
    let (answer, ()) = tokio::join!(client.call(&target, get("/"), LONG), script);
    let response = answer.expect("an answer").response;
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "http://evil.example/");
    assert_eq!((target.connections_opened(), service.backlog()), (1, 0));
}

/// Warms a connection up, lets it die as `dying` says once it has been given `request`, and calls
/// what the gateway then makes of it, on a second connection that answers or dies too.
async fn after_a_death(request: http::Request<Body>, dying: &str, second_answers: bool) -> String {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let mut first = warm_up(&client, &target, &mut service).await;
    let script = async {
        first.request().await;
        first.answer(dying).await;
        drop(first);
        let mut second = service.accept().await;
        let head = second.request().await;
        if second_answers {
            second.answer(SHORT_ANSWER).await;
        }
        drop(second);
        head.lines().next().unwrap_or_default().to_owned()
            + " after "
            + &service.backlog().to_string()
    };
    let call = client.call(&target, request, LONG);
    let outcome = |result: Result<Answer, CallFailed>| match result {
        Ok(answer) => format!("{} attempts", answer.attempts),
        Err(failed) => failed.code().to_owned(),
    };
    tokio::select! {
        biased;
        (result, seen) = async { tokio::join!(call, script) } => format!("{seen}: {}", outcome(result)),
        // Nobody comes for the second connection: paused time runs out at once.
        () = sleep(LONG) => "no second connection".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_repeated_once_when_a_reused_connection_dies_before_the_first_byte() {
    let put = || request("PUT", "/second", Bytes::from_static(b"whole").into());
    let post = || request("POST", "/second", Bytes::from_static(b"whole").into());
    let upload = || request("PUT", "/second", streamed(stream::iter([Ok("still arriving")])));
    let check = async |what: &str, request, dying, second_answers, expected: &str| {
        assert_eq!(after_a_death(request, dying, second_answers).await, expected, "{what}");
    };
    let repeated = "GET /second HTTP/1.1 after 0: 2 attempts";
    check("a GET", get("/second"), "", true, repeated).await;
    let repeated = "PUT /second HTTP/1.1 after 0: 2 attempts";
    check("a PUT at hand", put(), "", true, repeated).await;
    let twice = "GET /second HTTP/1.1 after 0: upstream_broken";
    check("a second death", get("/second"), "", false, twice).await;
    let never = "no second connection";
    check("a POST may have been carried out", post(), "", true, never).await;
    check("a body that is gone", upload(), "", true, never).await;
    check("half a head is an answer", get("/second"), "HTTP/1.1 2", true, never).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_be_repeated_is_sent_once() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let mut first = warm_up(&client, &target, &mut service).await;
    let script = async {
        first.request().await;
        drop(first);
    };
    let (answer, ()) = tokio::join!(
        async {
            let call =
                client.call_as(&target, (get("/second"), &|_| Beside::default()), false, LONG);
            call.ok().expect("a connection").await
        },
        script
    );
    assert_eq!(answer.expect_err("no second connection").code(), "upstream_broken");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_that_dies_is_the_services_failure() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let script = async {
        service.accept().await.request().await;
    };
    let (answer, ()) = tokio::join!(client.call(&target, get("/"), LONG), script);
    assert_eq!(answer.expect_err("a failure").code(), "upstream_broken");
    assert_eq!((service.backlog(), target.requests_replayed()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_while_unused_is_replaced_whatever_the_method() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    drop(warm_up(&client, &target, &mut service).await);
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer(SHORT_ANSWER).await;
    };
    let post = request("POST", "/second", Bytes::from_static(b"whole").into());
    let (answer, ()) = tokio::join!(client.call(&target, post, LONG), script);
    assert_eq!(answer.expect("an answer").attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn each_time_out_ends_a_call_at_its_own_time() {
    let check = async |what: &str, expected_s: u64, time_left: Duration, request| {
        let (client, mut service) = wired();
        let target = target(|_| {});
        let started = Instant::now();
        let script = async {
            let mut connection = service.accept().await;
            connection.request().await;
            connection.closed().await;
        };
        let (answer, ()) = tokio::join!(client.call(&target, request, time_left), script);
        assert_eq!(answer.expect_err(what).code(), "upstream_timeout", "{what}");
        assert_eq!(started.elapsed().as_secs(), expected_s, "{what}");
        assert_eq!(target.requests_in_flight(), 0, "{what}");
    };
    check("the response time-out", 5, LONG, get("/")).await;
    check("what is left of the deadline", 2, Duration::from_secs(2), get("/")).await;
    let upload = |seconds| {
        streamed(stream::once(async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok("")
        }))
    };
    check("seven seconds of upload come first", 12, LONG, request("PUT", "/", upload(7))).await;
    check("a client may take its time", 45, LONG, request("PUT", "/", upload(40))).await;
    check(
        "the deadline holds for uploads",
        9,
        Duration::from_secs(9),
        request("PUT", "/", upload(20)),
    )
    .await;
}

/// A body without an end, as fast as it is taken.
fn endless() -> Body {
    const PIECE: &str = "and so on, and so on, and so on, and so on, and so on, and so on, ";
    streamed(stream::repeat(()).map(|()| Ok(PIECE)))
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_nothing_more_of_an_upload_is_not_waited_for() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let started = Instant::now();
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        // It goes on for a while: then the time-out begins anew.
        for _ in 0..4 {
            sleep(Duration::from_secs(10)).await;
            connection.0.read_exact(&mut [0; 128 * 1024]).await.expect("a piece");
        }
        sleep(Duration::from_secs(20)).await;
        connection
    };
    let call = async {
        let failed = client.call(&target, request("PUT", "/", endless()), LONG).await;
        (failed.expect_err("no answer").to_string(), started.elapsed().as_secs())
    };
    let ((failed, after), mut connection) = tokio::join!(call, script);
    assert_eq!(failed, "the service took nothing of the request's body for 15s");
    assert_eq!((after, target.requests_in_flight()), (55, 0));
    connection.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_left_sends_nothing() {
    let (client, service) = wired();
    let answer = client.call(&target(|_| {}), get("/"), Duration::ZERO).await;
    assert_eq!(answer.expect_err("too late").code(), "upstream_timeout");
    assert_eq!(service.backlog(), 0);
}

/// A network that never answers, or always refuses.
struct Network(Option<io::ErrorKind>);

impl Connect for Network {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Target) -> io::Result<DuplexStream> {
        match self.0 {
            Some(kind) => Err(kind.into()),
            None => pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_connected_to_is_unreachable_or_too_slow() {
    for (network, expected, expected_s) in [
        (Network(None), "upstream_timeout", 1),
        (Network(Some(io::ErrorKind::ConnectionRefused)), "upstream_unreachable", 0),
        (Network(Some(io::ErrorKind::HostUnreachable)), "upstream_unreachable", 0),
    ] {
        let client = Client::new(network);
        let started = Instant::now();
        let answer = client.call(&target(|_| {}), get("/"), LONG).await;
        assert_eq!(answer.expect_err("no connection").code(), expected);
        assert_eq!(started.elapsed().as_secs(), expected_s);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answers_body_may_take_long_but_not_pause_long() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
        for _ in 0..5 {
            sleep(Duration::from_secs(9)).await;
            connection.answer("0123456789").await;
        }
        connection.closed().await;
    };
    let read = async {
        let mut body =
            client.call(&target, get("/"), LONG).await.expect("an answer").response.into_body();
        let started = Instant::now();
        let mut bytes = 0;
        loop {
            match body.frame().await.expect("more") {
                Ok(frame) => bytes += frame.into_data().expect("data").len(),
                Err(error) => {
                    assert_eq!(target.requests_in_flight(), 0);
                    break (
                        bytes,
                        error.downcast::<ReadTimedOut>().is_ok(),
                        started.elapsed().as_secs(),
                    );
                }
            }
        }
    };
    let (read, ()) = tokio::join!(read, script);
    assert_eq!(read, (50, true, 5 * 9 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_until_the_answers_body_has_ended_or_is_dropped() {
    let (client, mut service) = wired();
    let target = target(|settings| settings.requests_in_flight_max = 1);
    let mut connection = warm_up(&client, &target, &mut service).await;
    assert_eq!(target.requests_in_flight(), 0, "given back at the end of a body");

    let script = async {
        connection.request().await;
        connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(client.call(&target, get("/"), LONG), script);
    let refused = client.call(&target, get("/"), LONG).await.expect_err("a refusal");
    assert_eq!(
        (refused.status(), refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "upstream_busy")
    );
    let mut headers = HeaderMap::new();
    refused.add_headers(&mut headers);
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(target.requests_in_flight(), 1);
    drop(answer);
    assert_eq!(target.requests_in_flight(), 0, "given back when a body is dropped");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_gives_its_permit_back_at_once() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(client.call(&target, get("/"), LONG), script);
    assert_eq!(target.requests_in_flight(), 0);
    assert_eq!(answer.expect("an answer").response.status(), 304);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_hangs_up_on_the_service() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let mut connection = tokio::select! {
        _ = client.call(&target, get("/"), LONG) => panic!("nobody answered"),
        connection = async {
            let mut connection = service.accept().await;
            connection.request().await;
            connection
        } => connection,
    };
    connection.closed().await;
    assert_eq!(target.requests_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_held_whole_only_up_to_its_bound() {
    let check = async |answer: String, size_max, expected: Result<usize, &str>| {
        let (client, mut service) = wired();
        let target = target(|_| {});
        let script = async {
            let mut connection = service.accept().await;
            connection.request().await;
            connection.answer(&answer).await;
            connection
        };
        let (called, mut connection) = tokio::join!(client.call(&target, get("/"), LONG), script);
        let body = match called {
            Ok(answer) => collect(answer.response.into_body(), size_max).await,
            Err(failed) => Err(failed),
        };
        let found = body.as_ref().map(Bytes::len).map_err(Refusal::code);
        assert_eq!(found, expected, "{answer:.60} within {size_max}");
        if expected == Err("upstream_too_large") {
            connection.closed().await;
        }
    };
    let announced =
        |sent: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{:x<sent$}", "");
    let chunks = |end| {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{:x<32}\r\n20\r\n{:x<32}\r\n{end}",
            "", ""
        )
    };
    check(announced(64), 64, Ok(64)).await;
    check(announced(0), 63, Err("upstream_too_large")).await;
    check(chunks("0\r\n\r\n"), 64, Ok(64)).await;
    check(chunks(""), 63, Err("upstream_too_large")).await;
    check(chunks(""), 64, Err("upstream_timeout")).await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), 0, Ok(0)).await;
    check(format!("HTTP/1.1 200 OK\r\nX-Long: {:x<8192}", ""), 64, Err("upstream_too_large")).await;
    check("SSH-2.0-OpenSSH_9.6\r\n".to_owned(), 64, Err("upstream_broken")).await;
}

#[derive(Debug, thiserror::Error)]
#[error("more than 7 bytes")]
struct TooMuch;

impl Refusal for TooMuch {
    fn status(&self) -> StatusCode {
        StatusCode::PAYLOAD_TOO_LARGE
    }
    fn code(&self) -> &'static str {
        "body_too_large"
    }
    fn detail(&self) -> std::borrow::Cow<'static, str> {
        "Send at most 7 bytes.".into()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_body_that_is_cut_off_is_answered_as_the_cut_says() {
    let check = async |error: BodyError, expected: (u16, &str)| {
        let (client, mut service) = wired();
        let body = streamed(stream::iter([Ok("0123456"), Err(error)]));
        let target = target(|_| {});
        let call = client.call(&target, request("POST", "/", body), LONG);
        // The service never takes half a body for a whole one: the connection is cut.
        let script = async { service.accept().await.closed().await };
        let (answer, ()) = tokio::join!(call, script);
        let failed = answer.expect_err("a failure");
        assert_eq!((failed.status().as_u16(), failed.code()), expected);
    };
    check(BodyRefused::new(TooMuch).into(), (413, "body_too_large")).await;
    check("the client is gone".into(), (400, "body_incomplete")).await;
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed_after_the_idle_time_out() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let mut connection = warm_up(&client, &target, &mut service).await;
    let started = Instant::now();
    connection.closed().await;
    let closed_s = started.elapsed().as_secs();
    // The pool sweeps twice in an idle time-out, so a connection may stay half of one longer.
    assert!((30..=45).contains(&closed_s), "{closed_s}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_in_use_at_a_sweep_is_swept_later() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
        for _ in 0..10 {
            sleep(Duration::from_secs(9)).await;
            connection.answer("x").await;
        }
        let ended = Instant::now();
        connection.closed().await;
        ended.elapsed().as_secs()
    };
    let call = async { text(client.call(&target, get("/"), LONG).await.expect("an answer")).await };
    let (body, unused_s) = tokio::join!(call, script);
    assert_eq!(body, "xxxxxxxxxx");
    assert!((30..=45).contains(&unused_s), "{unused_s}");
}

#[tokio::test(start_paused = true)]
async fn a_request_queued_on_a_connection_that_has_ended_goes_out_on_another() {
    let (client, mut service) = wired();
    let target = target(|_| {});
    drop(warm_up(&client, &target, &mut service).await);
    // A task that has done much is told by its budget that nothing is ready: the connection's end
    // is not seen before the request is handed to it.
    let spent = std::future::poll_fn(|context| {
        while let std::task::Poll::Ready(step) = tokio::task::coop::poll_proceed(context) {
            step.made_progress();
        }
        std::task::Poll::Ready(())
    });
    let call = async {
        spent.await;
        let post = request("POST", "/second", Bytes::from_static(b"whole").into());
        client.call(&target, post, LONG).await
    };
    let script = async {
        let mut connection = service.accept().await;
        connection.request().await;
        connection.answer(SHORT_ANSWER).await;
    };
    let (answer, ()) = tokio::join!(call, script);
    assert_eq!(answer.expect("an answer").attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_unused_connections_are_kept_than_the_bound() {
    let (client, mut service) = wired();
    let target = target(|settings| settings.idle_connections_max = 2);
    let script = async {
        let mut connections = Vec::new();
        for _ in 0..4 {
            let mut connection = service.accept().await;
            connection.request().await;
            connections.push(connection);
        }
        for connection in &mut connections {
            connection.answer(SHORT_ANSWER).await;
        }
        connections
    };
    let call = async || text(client.call(&target, get("/"), LONG).await.expect("an answer")).await;
    let (.., connections) = tokio::join!(call(), call(), call(), call(), script);
    let started = Instant::now();
    let closed = connections.into_iter().map(async |mut connection| {
        connection.closed().await;
        started.elapsed() < target.settings().idle_timeout
    });
    let closed_at_once = join_all(closed).await.into_iter().filter(|&at_once| at_once).count();
    assert_eq!(closed_at_once, 2);
}

#[test]
fn no_failure_tells_a_client_what_the_service_or_its_address_is() {
    let secret = || BodyError::from("10.0.0.7:8080 said: stack trace");
    let failures = [
        (CallFailed::Unreachable(secret()), 502, "upstream_unreachable"),
        (CallFailed::ConnectTimedOut(LONG), 504, "upstream_timeout"),
        (CallFailed::ResponseTimedOut(LONG), 504, "upstream_timeout"),
        (CallFailed::from_body(ReadTimedOut(LONG).into()), 504, "upstream_timeout"),
        (CallFailed::from_body(secret()), 502, "upstream_broken"),
        (CallFailed::TooLarge(1), 502, "upstream_too_large"),
        (CallFailed::Busy(1), 503, "upstream_busy"),
        (CallFailed::Unavailable(LONG), 503, "upstream_unavailable"),
        (CallFailed::Overloaded, 503, "upstream_overloaded"),
        (CallFailed::BodyBroken(secret()), 400, "body_incomplete"),
    ];
    for (failed, status, code) in failures {
        assert_eq!((failed.status().as_u16(), failed.code()), (status, code));
        assert!(!failed.detail().contains("10.0.0.7"), "{failed}");
        assert!(!failed.detail().contains("stack trace"), "{failed}");
    }
}

/// A service on a real port: it answers each request, and says how many connections it saw.
async fn real_service() -> (String, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (seen, connections) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.send_modify(|count| *count += 1);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4_096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    stream.write_all(SHORT_ANSWER.as_bytes()).await.expect("a client");
                }
            });
        }
    });
    (url, connections)
}

#[tokio::test]
async fn over_tcp_one_connection_serves_all_requests_that_come_one_after_the_other() {
    let (url, connections) = real_service().await;
    let target = target_at(&url, |_| {});
    let client = Client::new(Tcp);
    for _ in 0..100 {
        let answer = client.call(&target, get("/"), LONG).await.expect("an answer");
        assert_eq!(text(answer).await, "ok");
        // The pool takes the connection back in a task of its own.
        tokio::task::yield_now().await;
    }
    assert_eq!((*connections.borrow(), target.connections_opened()), (1, 1));
}

#[tokio::test]
async fn over_tcp_targets_and_clients_never_share_connections() {
    let (url, mut connections) = real_service().await;
    let (one, other) = (target_at(&url, |_| {}), target_at(&url, |_| {}));
    for client in [Client::new(Tcp), Client::new(Tcp)] {
        for target in [&one, &other, &one, &other] {
            let answer = client.call(target, get("/"), LONG).await.expect("an answer");
            assert_eq!(text(answer).await, "ok");
            tokio::task::yield_now().await;
        }
    }
    connections.wait_for(|&count| count >= 4).await.expect("a service");
    assert_eq!(*connections.borrow(), 4, "two targets, two clients");
}

#[tokio::test]
async fn over_tcp_a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = Client::new(Tcp);
    let answer = client.call(&target_at(&url, |_| {}), get("/"), LONG).await;
    assert_eq!(answer.expect_err("nobody there").code(), "upstream_unreachable");
}
