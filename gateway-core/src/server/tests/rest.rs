//! Connections at rest: what they hold is given back, and nobody notices.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::rest::{AWAKE_MAX, QUIET};
use super::*;

/// Leaves no room for others to stay awake.
fn crowd(core: &Core<Arc<Sample>>) -> Vec<impl Drop + '_> {
    (0..AWAKE_MAX).map(|_| core.wake_up()).collect()
}

/// Gives the server time to do what it can do now.
async fn settle() {
    sleep(Duration::from_millis(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_while_nothing_is_asked_and_answers_when_something_is() {
    let script = async |client: &mut DuplexStream, core: &Core<_>| {
        settle().await;
        assert_eq!(core.awake(), 0, "nothing has been asked");
        for _ in 0..3 {
            say(client, GET).await;
            assert_eq!(hear(client, "ok").await, OK);
            sleep(QUIET / 2).await;
            assert_eq!(core.awake(), 1, "asked a moment ago");
            say(client, GET).await;
            assert_eq!(hear(client, "ok").await, OK);
            sleep(QUIET / 2).await;
            assert_eq!(core.awake(), 1, "asked a moment ago");
            sleep(QUIET).await;
            assert_eq!(core.awake(), 0, "nothing has been asked for a while");
        }
        client.shutdown().await.expect("a server");
        assert_eq!(hear_all(client).await, "");
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn where_many_are_awake_a_connection_rests_as_soon_as_it_has_answered() {
    let script = async |client: &mut DuplexStream, core: &Core<_>| {
        let crowd = crowd(core);
        for _ in 0..3 {
            say(client, GET).await;
            assert_eq!(hear(client, "ok").await, OK);
            settle().await;
            assert_eq!(core.awake(), crowd.len());
        }
        say(client, "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
        settle().await;
        assert_eq!(core.awake(), crowd.len() + 1, "a request is being served");
        core.serve.gate.add_permits(1);
        assert_eq!(hear(client, "ok").await, OK);
        drop(crowd);
        say(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(hear_all(client).await, LAST_OK);
        assert_eq!(core.awake(), 0);
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn what_arrives_when_a_connection_comes_to_rest_is_not_lost() {
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    let echo = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast";
    let large = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n";
    let (large, digits) = (format!("{large}{:0<10000}\r\n0\r\n\r\n", ""), "0".repeat(10_000));
    assert_eq!(QUIET.as_millis(), 2_000);
    for is_crowded in [false, true] {
        for pause_ms in 1_997..=2_003 {
            let pause = Duration::from_millis(pause_ms);
            let script = async |client: &mut DuplexStream, core: &Core<_>| {
                let crowd = is_crowded.then(|| crowd(core));
                say(client, GET).await;
                assert_eq!(hear(client, "ok").await, OK);
                sleep(pause).await;
                say(client, &format!("{GET}{GET}{post}la")).await;
                assert_eq!(hear(client, "ok").await, OK);
                assert_eq!(hear(client, "ok").await, OK);
                say(client, &format!("st{}", &GET[..20])).await;
                assert_eq!(hear(client, "last").await, echo);
                sleep(pause).await;
                say(client, &format!("{}{large}{post}last", &GET[20..])).await;
                assert_eq!(hear(client, "ok").await, OK);
                assert!(hear(client, &digits).await.starts_with("HTTP/1.1 200 OK\r\n"));
                assert_eq!(hear(client, "last").await, echo);
                drop(crowd);
                client.shutdown().await.expect("a server");
            };
            Piped::new(settings()).play(script).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_came_together_are_all_answered_where_many_are_awake() {
    let script = async |client: &mut DuplexStream, core: &Core<_>| {
        let _crowd = crowd(core);
        // More than the library answers at a stretch.
        say(client, &GET.repeat(60)).await;
        for number in 1..=60 {
            assert_eq!(hear(client, "ok").await, OK, "{number}");
        }
        client.shutdown().await.expect("a server");
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn each_wait_for_a_client_of_a_connection_at_rest_ends_at_its_own_time() {
    // What is said at rest, what is heard, and how long after its answer or what was said.
    let slow = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n";
    for (said, expected, expected_s) in [("", "", 75 - 30), ("GET / HT", slow, 10), ("G", slow, 10)]
    {
        let script = async |client: &mut DuplexStream, core: &Core<_>| {
            say(client, GET).await;
            assert_eq!(hear(client, "ok").await, OK);
            sleep(Duration::from_secs(30)).await;
            let started = Instant::now();
            say(client, said).await;
            sleep(Duration::from_secs(5)).await;
            assert_eq!(core.awake(), 0, "{said:?} is no head yet");
            let heard = hear_all(client).await;
            assert!(heard.starts_with(expected), "{said:?}: {heard}");
            assert_eq!(heard.is_empty(), expected.is_empty(), "{said:?}: {heard}");
            assert_eq!(started.elapsed().as_secs(), expected_s, "{said:?}");
        };
        Piped::new(settings()).play(script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_reaches_connections_at_rest() {
    // What was said at rest before the drain, what is said when it begins, what is heard, and when.
    for (before, then, expected, expected_ms) in [
        ("", "", "", 250),
        ("", GET, LAST_OK, 0),
        ("GET / HTTP/1.1\r\n", "", "HTTP/1.1 408", 10_000),
        ("GET / HTTP/1.1\r\n", "Host: a\r\n\r\n", LAST_OK, 0),
    ] {
        let script = async |client: &mut DuplexStream, core: &Core<_>| {
            say(client, GET).await;
            assert_eq!(hear(client, "ok").await, OK);
            sleep(QUIET * 2).await;
            say(client, before).await;
            settle().await;
            assert_eq!(core.awake(), 0, "{before:?}");
            let started = Instant::now();
            core.drain();
            say(client, then).await;
            let heard = hear_all(client).await;
            assert!(heard.starts_with(expected), "{before:?} then {then:?}: {heard}");
            assert_eq!(heard.is_empty(), expected.is_empty(), "{before:?} then {then:?}: {heard}");
            let late_ms = started.elapsed().as_millis().abs_diff(expected_ms);
            assert!(late_ms <= 3, "{before:?} then {then:?}: {late_ms}");
        };
        Piped::new(settings()).play(script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_outlives_its_answer_makes_no_answer_that_of_another_request() {
    let head = "POST /keep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{GET}\r\n", GET.len());
    let all = format!("{chunk}{chunk}0\r\n\r\n");
    let all_and_next = format!("{all}{GET}");
    for is_crowded in [false, true] {
        // What comes with the head, and what comes later. No request behind it is answered: it is not
        // known where it begins.
        for (at_once, later) in
            [(&*all, ""), (&*all_and_next, ""), ("", &*all), (&*chunk, "0\r\n\r\n")]
        {
            let script = async |client: &mut DuplexStream, core: &Core<_>| {
                let crowd = is_crowded.then(|| crowd(core));
                say(client, &format!("{head}{at_once}")).await;
                assert_eq!(hear(client, "ok").await, OK);
                sleep(QUIET * 2).await;
                // It may have hung up.
                let _ = client.write_all(later.as_bytes()).await;
                sleep(QUIET * 2).await;
                let _ = client.write_all(GET.as_bytes()).await;
                assert_eq!(hear_all(client).await, "", "{at_once:?} then {later:?}");
                drop(crowd);
            };
            Piped::new(settings()).play(script).await;
        }
    }
}

/// A transport that keeps to itself what it was given, for a while, as TLS may.
struct Holding {
    io: DuplexStream,
    until: Instant,
    alarm: crate::alarm::Alarm,
}

impl AsyncRead for Holding {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Holding {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.alarm.poll_at(this.until, context).map(Ok)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_something_left_to_write_does_not_rest_and_ends_as_it_said() {
    // It is idle from when its client has everything.
    for (request, ends_s) in
        [("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 30), (GET, 30 + 75)]
    {
        let Piped { mut client, place, server } = Piped::new(settings());
        let started = Instant::now();
        let until = started + Duration::from_secs(30);
        let io = Holding { io: server.expect("a pipe"), until, alarm: Default::default() };
        let script = async {
            let crowd = crowd(&place.core);
            say(&mut client, request).await;
            hear(&mut client, "ok").await;
            sleep(Duration::from_secs(29)).await;
            assert_eq!(place.core.awake(), crowd.len() + 1, "{request:?}");
            assert_eq!(hear_all(&mut client).await, "");
            assert_eq!(started.elapsed().as_secs(), ends_s, "{request:?}");
        };
        let transport = Transport::plain(([127, 0, 0, 1], 1).into());
        tokio::join!(connection::run(&place, io, transport), script);
    }
}

#[test]
fn over_tcp_connections_at_rest_are_counted() {
    let started = start(settings());
    let resting = started.metrics.resting_connections.clone();
    let wait_for = |count| {
        while resting.get() != count {
            thread::yield_now();
        }
    };
    let mut clients = [started.connect(), started.connect()];
    wait_for(2);
    ask(&mut clients[0], "/");
    assert_eq!(answered(&mut clients[0]), OK);
    wait_for(1);
    drop(clients);
    wait_for(0);
    started.stop();
}
