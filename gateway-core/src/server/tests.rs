//! Bytes in, bytes out. Waits are tested over pipes under paused time, the rest over TCP.

mod http2;
mod per_address;
mod rest;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::core::{Core, Place};
use super::*;
use crate::body::Body;
use crate::error::Refusal as _;
use crate::upstream::testing::target_at;
use crate::upstream::{Client, Network, Target};

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LAST_OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
pub(super) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) fn settings() -> ServerSettings {
    ServerSettings {
        cores: 1,
        connections_max: 100,
        connections_per_address_max: None,
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        head_limits: HeadLimits {
            target_size_max: 4_096,
            head_size_max: 8_192,
            header_count_max: 100,
        },
        http2: Http2Settings { streams_max: 3, control_frames_max: 100 },
        drain_timeout: Duration::from_secs(20),
    }
}

/// Answers `ok`, in the manner that the path says.
#[derive(Debug)]
pub(super) struct Sample {
    /// `/gate` waits for one of these.
    gate: Semaphore,
    /// `/block` stops the whole core while somebody holds this.
    block: Mutex<()>,
    /// What `/keep` holds on to: the bodies of its requests.
    kept: Mutex<Vec<Incoming>>,
    /// Requests that are being served.
    serving: AtomicUsize,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            gate: Semaphore::new(0),
            block: Mutex::default(),
            kept: Mutex::default(),
            serving: AtomicUsize::new(0),
        }
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Serve for Arc<Sample> {
    type Body = Full<Bytes>;

    async fn serve(&self, request: Request<Incoming>, _: &Transport) -> Response<Full<Bytes>> {
        self.serving.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(&self.serving);
        let is_connect = request.method() == http::Method::CONNECT;
        let is_large = request.uri().path() == "/large";
        let text = match request.uri().path() {
            "/slow" => {
                sleep(Duration::from_secs(3_600)).await;
                "ok".into()
            }
            "/gate" => {
                self.gate.acquire().await.expect("open").forget();
                "ok".into()
            }
            "/block" => {
                drop(self.block.lock().expect("no panic"));
                "ok".into()
            }
            "/keep" => {
                self.kept.lock().expect("no panic").push(request.into_body());
                "ok".into()
            }
            "/panic" => panic!("as the test wants"),
            "/frame" => Bytes::from(vec![b'x'; 16 << 10]),
            "/piece" => Bytes::from(vec![b'x'; 64 << 10]),
            "/large" => Bytes::from(vec![b'x'; 1 << 20]),
            "/echo" => match request.into_body().collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return broken(&error),
            },
            _ => "ok".into(),
        };
        let mut response = Response::new(Full::new(text));
        if is_connect {
            let handover = if is_large { Handover::new(say_much) } else { Handover::new(echo) };
            response.extensions_mut().insert(handover);
        }
        response
    }

    fn refuse(&self, head: &RefusedHead, _: &Transport) -> Response<Full<Bytes>> {
        refused(head).map(Full::new)
    }
}

/// Says back what is said.
async fn echo(io: Box<dyn ClientIo>) {
    let (mut from, mut to) = tokio::io::split(io);
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

/// Says more than anybody wants to hear, and leaves.
async fn say_much(mut io: Box<dyn ClientIo>) {
    let said = io.write_all(&[b'x'; 1 << 20]);
    let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
    let _ = tokio::time::timeout(Duration::from_secs(1), io.shutdown()).await;
}

/// What the reason for a broken body says of it.
fn broken(error: &hyper::Error) -> Response<Full<Bytes>> {
    let refused = crate::body::BodyRefused::find(error).expect("a reason");
    let mut response = Response::new(Full::from(refused.code()));
    *response.status_mut() = refused.status();
    response
}

/// The refusal's code, and what was understood of the request.
fn refused(head: &RefusedHead) -> Response<Bytes> {
    let line = String::from_utf8_lossy(&head.request_line);
    let mut response = Response::new(format!("{}: {line}", head.refused.code()).into());
    *response.status_mut() = head.refused.status();
    response
}

/// One connection at the client's end, and what the server does on it.
pub(super) struct Piped {
    pub(super) client: DuplexStream,
    pub(super) place: Place<Arc<Sample>>,
    pub(super) server: Option<DuplexStream>,
}

impl Piped {
    pub(super) fn new(settings: ServerSettings) -> Self {
        let (client, server) = duplex(16 * 1024);
        let (settings, resting) = (Arc::new(settings), Gauge::default());
        let counts = (resting, Arc::default());
        let core = Core::new(Arc::default(), settings, Family::default(), counts);
        let permit = Permits::new(1).take().expect("a permit");
        let place = core.enter(permit, Default::default());
        Self { client, place, server: Some(server) }
    }

    /// Serves the connection while `script` plays the client; both must come to an end.
    async fn play(mut self, script: impl AsyncFnOnce(&mut DuplexStream, &Core<Arc<Sample>>)) {
        let server = self.server.take().expect("not played yet");
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let serving = connection::run(&self.place, server, Transport::plain(peer));
        let ((), ()) = tokio::join!(serving, script(&mut self.client, &self.place.core));
    }
}

pub(super) async fn say(client: &mut (impl AsyncWrite + Unpin), bytes: &str) {
    client.write_all(bytes.as_bytes()).await.expect("a server");
}

/// What the server says until it has said `end`, without the date.
pub(super) async fn hear(client: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        heard.push(client.read_u8().await.expect("more"));
    }
    undated(&heard)
}

/// What the server says until it hangs up, without the date.
pub(super) async fn hear_all(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.expect("an end");
    undated(&heard)
}

fn undated(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date:")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_request_after_the_other() {
    let script = async |client: &mut DuplexStream, _: &_| {
        for _ in 0..3 {
            say(client, GET).await;
            assert_eq!(hear(client, "ok").await, OK);
        }
        say(client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast").await;
        assert!(hear(client, "last").await.starts_with("HTTP/1.1 200 OK\r\n"));
        say(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(hear_all(client).await, LAST_OK);
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_their_order() {
    let script = async |client: &mut DuplexStream, _: &_| {
        say(client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst").await;
        say(client, GET).await;
        say(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let first = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
        assert_eq!(hear_all(client).await, format!("{first}{OK}{LAST_OK}"));
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn each_wait_for_a_client_ends_at_its_own_time() {
    let slow = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n";
    // Before the wait, what is sent each second during it, how it ends, and when.
    for (before, each_second, expected, expected_s) in [
        ("", "", "", 10),
        ("GET / HT", "", slow, 10),
        ("", "G", slow, 11),
        ("GET / HTTP/1.1\r\n", "X-Slow: byte\r\n", slow, 10),
        (GET, "", OK, 75),
    ] {
        let script = async |client: &mut DuplexStream, _: &_| {
            let started = Instant::now();
            say(client, before).await;
            let (mut hears, mut says) = tokio::io::split(client);
            let mut heard = Vec::new();
            let trickle = async {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    // The last one may find nobody.
                    let _ = says.write_all(each_second.as_bytes()).await;
                }
            };
            tokio::select! {
                biased;
                read = hears.read_to_end(&mut heard) => { read.expect("an end"); }
                () = trickle => {}
            }
            let case = format!("{before:?} then {each_second:?}");
            let heard = undated(&heard);
            assert!(heard.starts_with(expected), "{case}: {heard}");
            assert_eq!(heard.is_empty(), expected.is_empty(), "{case}: {heard}");
            assert_eq!(started.elapsed().as_secs(), expected_s, "{case}");
        };
        Piped::new(settings()).play(script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_head_has_as_much_time_as_the_first() {
    let script = async |client: &mut DuplexStream, _: &_| {
        say(client, GET).await;
        assert_eq!(hear(client, "ok").await, OK);
        sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        say(client, "GET / HT").await;
        assert!(hear_all(client).await.starts_with("HTTP/1.1 408 "));
        assert_eq!(started.elapsed().as_secs(), 10);
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_long_to_serve_is_no_idle_connection() {
    let script = async |client: &mut DuplexStream, _: &_| {
        say(client, "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(hear_all(client).await, LAST_OK);
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_and_a_slow_one_is_not() {
    let large = "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let stalled = async |client: &mut DuplexStream, core: &Core<_>| {
        say(client, large).await;
        let started = Instant::now();
        core.emptied().await;
        assert_eq!(started.elapsed().as_secs(), 75);
    };
    let Piped { mut client, place, server } = Piped::new(settings());
    let core = std::rc::Rc::clone(&place.core);
    let serving = async move {
        let transport = Transport::plain(([127, 0, 0, 1], 1).into());
        connection::run(&place, server.expect("a pipe"), transport).await;
        drop(place);
    };
    tokio::join!(serving, stalled(&mut client, &core));

    let slow = async |client: &mut DuplexStream, _: &_| {
        say(client, large).await;
        let mut taken = 0;
        let mut some = vec![0; 16 * 1024];
        loop {
            sleep(Duration::from_secs(70)).await;
            match client.read(&mut some).await.expect("more") {
                0 => break,
                count => taken += count,
            }
        }
        assert!(taken > 1 << 20, "{taken}");
    };
    Piped::new(settings()).play(slow).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_acceptable_head_is_answered_and_the_connection_closed() {
    let fields = |count| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    let get = |fields: String| format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for (head, expected) in [
        (get(format!("X-Long: {:x<9000}\r\n", "")), "431 head_too_large: GET /a HTTP/1.1"),
        (
            format!("GET /a HTTP/1.1\r\nX-Long: {:x<9000}", ""),
            "431 head_too_large: GET /a HTTP/1.1",
        ),
        (get(fields(101)), "431 head_too_large: GET /a HTTP/1.1"),
        (format!("GET /{:x<9000} HTTP/1.1\r\n\r\n", ""), "414 target_too_long: GET /xxx"),
        ("\u{16}\u{3}\u{1}".to_owned(), "400 request_malformed: \u{16}\u{3}\u{1}"),
        ("GET /b HTTP/1.1\r\nno colon\r\n".to_owned(), "400 request_malformed: GET /b HTTP/1.1"),
        (
            "GET / HTTP/9.9\r\nHost: a\r\n".to_owned(),
            "505 http_version_not_supported: GET / HTTP/9.9",
        ),
        (
            get("Content-Length: 1\r\nContent-Length: 1\r\n".to_owned()),
            "400 body_length_ambiguous: GET",
        ),
        ("TRACE / HTTP/1.1\r\n".to_owned(), "501 method_not_implemented: TRACE / HTTP/1.1"),
        (
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(),
            "505 http_version_not_supported: PRI * HTTP/2.0",
        ),
    ] {
        for is_second in [false, true] {
            let script = async |client: &mut DuplexStream, _: &_| {
                // The answer to what came before is not lost.
                say(client, if is_second { GET } else { "" }).await;
                say(client, &head).await;
                let heard = hear_all(client).await;
                let heard = if is_second { heard.strip_prefix(OK) } else { Some(&*heard) };
                let heard = heard.unwrap_or_else(|| panic!("{head:.40}"));
                let (status, code) = expected.split_once(' ').expect("two words");
                assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{head:.40}: {heard}");
                assert!(heard.contains("connection: close\r\n"), "{head:.40}: {heard}");
                let (_, body) = heard.split_once("\r\n\r\n").expect("a body");
                assert!(body.starts_with(code), "{head:.40}: {heard}");
            };
            Piped::new(settings()).play(script).await;
        }
    }
    let script = async |client: &mut DuplexStream, _: &_| {
        say(client, &get(fields(98) + "Connection: close\r\n")).await;
        assert_eq!(hear_all(client).await, LAST_OK);
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_arrives_byte_by_byte_is_served_like_any_other() {
    let script = async |client: &mut DuplexStream, _: &_| {
        let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        for byte in format!("{GET}{post}\r\n{GET}{post}").bytes() {
            client.write_u8(byte).await.expect("a server");
            tokio::task::yield_now().await;
        }
        let echo = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(hear(client, "hi").await, format!("{OK}{echo}"));
        assert_eq!(hear(client, "hi").await, format!("{OK}{echo}"));
        client.shutdown().await.expect("a server");
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_begins_behind_a_body_has_as_much_time_as_any_other() {
    let script = async |client: &mut DuplexStream, _: &_| {
        let started = Instant::now();
        say(client, &format!("{GET}GET / HT")).await;
        let heard = hear_all(client).await;
        assert!(heard.starts_with(OK) && heard.contains("HTTP/1.1 408 "), "{heard}");
        assert_eq!(started.elapsed().as_secs(), 10);
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn chunks_that_are_not_sound_break_the_body_off_and_end_the_connection() {
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = async |client: &mut DuplexStream, _: &_| {
        say(client, &format!("{post}2;a=b\r\nhi\r\n0\r\nX-User-ID: 1\r\n\r\n{post}")).await;
        let echo = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(hear(client, "hi").await, echo);
        say(client, &format!("2\r\nhi\n0\r\n\r\n{GET}")).await;
        let heard = hear_all(client).await;
        assert!(
            heard.starts_with("HTTP/1.1 400 ") && heard.ends_with("chunks_malformed"),
            "{heard}"
        );
    };
    Piped::new(settings()).play(script).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_ends_what_was_done_for_it() {
    let piped = Piped::new(settings());
    let sample = Arc::clone(&piped.place.core.serve);
    let script = async |client: &mut DuplexStream, _: &_| {
        say(client, "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
        while sample.serving.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        client.shutdown().await.expect("a server");
    };
    piped.play(script).await;
    assert_eq!(sample.serving.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_is_in_flight_and_closes_what_is_not() {
    // What was said before the drain, what is said when it begins, what is heard, and when.
    for (before, then, expected, expected_ms) in [
        ("", "", "", 250),
        ("", GET, LAST_OK, 0),
        ("GET / HTTP/1.1\r\n", "", "HTTP/1.1 408", 10_000),
        ("GET / HTTP/1.1\r\n", "Host: a\r\n\r\n", LAST_OK, 0),
        ("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", "", LAST_OK, 3_600_000),
    ] {
        for is_reused in [false, true] {
            let script = async |client: &mut DuplexStream, core: &Core<_>| {
                if is_reused {
                    say(client, GET).await;
                    assert_eq!(hear(client, "ok").await, OK);
                }
                say(client, before).await;
                sleep(Duration::from_millis(1)).await;
                let started = Instant::now();
                core.drain();
                say(client, then).await;
                let heard = hear_all(client).await;
                let case = format!("{before:?} then {then:?}, reused: {is_reused}");
                assert!(heard.starts_with(expected), "{case}: {heard}");
                assert_eq!(heard.is_empty(), expected.is_empty(), "{case}: {heard}");
                let late_ms = started.elapsed().as_millis().abs_diff(expected_ms);
                assert!(late_ms <= 2, "{case}: {late_ms}");
            };
            Piped::new(settings()).play(script).await;
        }
    }
}

/// A server on a real port.
struct Started {
    sample: Arc<Sample>,
    metrics: Metrics,
    address: SocketAddr,
    drain: watch::Sender<bool>,
    running: Running,
}

fn start(settings: ServerSettings) -> Started {
    start_behind(settings, Entrance::default())
}

fn start_behind(settings: ServerSettings, entrance: Entrance) -> Started {
    let metrics = Metrics::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, settings, &metrics).expect("a free port");
    let address = server.local_addr();
    let sample = Arc::new(Sample::default());
    let (drain, drains) = watch::channel(false);
    let made = Arc::clone(&sample);
    let server = server.behind(entrance);
    let running = server.start(move |_| Arc::clone(&made), &drains).expect("a server");
    Started { sample, metrics, address, drain, running }
}

impl Started {
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("a server");
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        client
    }

    fn stop(self) -> Drained {
        self.drain.send_replace(true);
        self.running.join().expect("no panic")
    }
}

fn ask(client: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all(request.as_bytes()).expect("a server");
}

/// An answer whose body is `ok`; empty when the server hangs up instead.
fn answered(client: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"ok") {
        match client.read(&mut byte) {
            Ok(1) => heard.extend_from_slice(&byte),
            _ => break,
        }
    }
    undated(&heard)
}

#[test]
fn over_tcp_all_cores_serve_one_port_and_count_their_connections_together() {
    let seen: Arc<[AtomicUsize; 2]> = Arc::default();
    let metrics = Metrics::new();
    let settings = ServerSettings { cores: 2, ..settings() };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, settings, &metrics).expect("a free port");
    let (address, cores) = (server.local_addr(), server.cores());
    assert!(address.port() != 0 && cores == 2);
    let (drain, drains) = watch::channel(false);
    struct OnCore(usize, Arc<[AtomicUsize; 2]>);
    impl Serve for OnCore {
        type Body = Full<Bytes>;
        async fn serve(&self, _: Request<Incoming>, _: &Transport) -> Response<Full<Bytes>> {
            self.1[self.0].fetch_add(1, Ordering::SeqCst);
            Response::new("ok".into())
        }
        fn refuse(&self, head: &RefusedHead, _: &Transport) -> Response<Full<Bytes>> {
            refused(head).map(Full::new)
        }
    }
    let counts = Arc::clone(&seen);
    let running = server.start(move |core| OnCore(core, Arc::clone(&counts)), &drains);
    let running = running.expect("a server");
    let mut clients: Vec<_> =
        (0..64).map(|_| TcpStream::connect(address).expect("a server")).collect();
    for client in &mut clients {
        ask(client, "/");
        assert_eq!(answered(client), OK);
    }
    assert_eq!(metrics.connections.get(), 64);
    let [first, second] = [0, 1].map(|core: usize| seen[core].load(Ordering::SeqCst));
    assert_eq!(first + second, 64);
    // The kernel spreads connections at random: all on one core is one chance in 2^63.
    assert!(cfg!(not(target_os = "linux")) || (first > 0 && second > 0), "{first} {second}");
    drop(clients);
    drain.send_replace(true);
    assert_eq!(running.join().expect("no panic"), Drained { cut: 0 });
    assert_eq!(metrics.connections.get(), 0);
}

#[test]
fn above_the_bound_a_new_connection_is_closed_until_one_ends() {
    let started = start(ServerSettings { connections_max: 1, ..settings() });
    let mut first = started.connect();
    ask(&mut first, "/");
    assert_eq!(answered(&mut first), OK);
    let mut second = started.connect();
    let _ = second.write_all(GET.as_bytes());
    assert_eq!(answered(&mut second), "");
    ask(&mut first, "/");
    assert_eq!(answered(&mut first), OK, "the first one is not disturbed");
    drop(first);
    // Until the server has noticed.
    let third = std::iter::repeat_with(|| {
        let mut third = started.connect();
        let _ = third.write_all(GET.as_bytes());
        answered(&mut third)
    });
    assert_eq!(third.take(100_000).find(|heard| !heard.is_empty()).as_deref(), Some(OK));
    started.stop();
}

#[test]
fn a_drain_finishes_requests_in_flight_and_refuses_new_connections() {
    let started = start(ServerSettings { cores: 2, ..settings() });
    let mut in_flight = started.connect();
    ask(&mut in_flight, "/gate");
    while started.sample.serving.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    started.drain.send_replace(true);
    while TcpStream::connect(started.address).is_ok() {
        thread::yield_now();
    }
    started.sample.gate.add_permits(1);
    assert_eq!(answered(&mut in_flight), LAST_OK);
    assert_eq!(started.stop(), Drained { cut: 0 });
}

#[test]
fn connections_that_wait_to_be_accepted_when_a_drain_begins_are_served() {
    let started = start(settings());
    let sample = Arc::clone(&started.sample);
    let block = sample.block.lock().expect("no panic");
    let mut blocking = started.connect();
    ask(&mut blocking, "/block");
    while sample.serving.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    let mut queued: Vec<_> = (0..10).map(|_| started.connect()).collect();
    queued.iter_mut().for_each(|client| ask(client, "/"));
    started.drain.send_replace(true);
    drop(block);
    for client in &mut queued {
        assert_eq!(answered(client), LAST_OK);
    }
    assert_eq!(started.stop(), Drained { cut: 0 });
}

#[test]
fn who_is_not_done_by_the_drain_time_out_is_cut_and_counted() {
    let started = start(ServerSettings { drain_timeout: Duration::from_millis(10), ..settings() });
    let mut in_flight = started.connect();
    ask(&mut in_flight, "/gate");
    while started.sample.serving.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    let sample = Arc::clone(&started.sample);
    assert_eq!(started.stop(), Drained { cut: 1 });
    assert_eq!(answered(&mut in_flight), "");
    assert_eq!(sample.serving.load(Ordering::SeqCst), 0);
}

#[test]
fn a_panic_ends_its_own_connection_and_nothing_else() {
    let started = start(settings());
    let mut other = started.connect();
    ask(&mut other, "/");
    assert_eq!(answered(&mut other), OK);
    let mut panicking = started.connect();
    ask(&mut panicking, "/panic");
    assert_eq!(answered(&mut panicking), "");
    ask(&mut other, "/");
    assert_eq!(answered(&mut other), OK);
    let mut new = started.connect();
    ask(&mut new, "/");
    assert_eq!(answered(&mut new), OK);
    while started.metrics.connections.get() > 2 {
        thread::yield_now();
    }
    started.stop();
}

#[test]
fn a_server_whose_core_cannot_start_does_not_start() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = ServerSettings { cores: 2, ..settings() };
    let server = Server::bind(any, settings, &Metrics::new()).expect("a free port");
    let (_drain, drains) = watch::channel(false);
    let make = |core| match core {
        0 => Arc::new(Sample::default()),
        _ => panic!("as the test wants"),
    };
    assert!(matches!(server.start(make, &drains), Err(ServerFailed::Panicked)));
}

/// Passes every request on to one service.
struct PassThrough(Client, Arc<Target>);

impl Serve for PassThrough {
    type Body = Body;

    async fn serve(&self, request: Request<Incoming>, _: &Transport) -> Response<Body> {
        let minute = Duration::from_secs(60);
        match self.0.call(&self.1, request.map(Body::from), minute).await {
            Ok(answer) => answer.response,
            Err(failed) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = failed.status();
                response
            }
        }
    }

    fn refuse(&self, head: &RefusedHead, _: &Transport) -> Response<Body> {
        refused(head).map(Body::from)
    }
}

/// A gateway in small: `start` serves the service, this server stands in front of it.
fn in_front_of(service: &Started) -> (Running, watch::Sender<bool>, TcpStream, Arc<Target>) {
    let target = target_at(&format!("http://{}", service.address), |_| {});
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, settings(), &Metrics::new()).expect("a free port");
    let client = TcpStream::connect(server.local_addr()).expect("a server");
    client.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let (drain, drains) = watch::channel(false);
    let shared = Arc::clone(&target);
    let make = move |_| PassThrough(Client::new(Network), Arc::clone(&shared));
    let running = server.start(make, &drains).expect("a server");
    (running, drain, client, target)
}

#[test]
fn a_core_passes_requests_through_over_a_connection_of_its_own() {
    let service = start(settings());
    let (running, drain, mut client, target) = in_front_of(&service);
    for n in 0..20 {
        let body = format!("{n:02}ok");
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
        client.write_all(format!("{head}{body}").as_bytes()).expect("a server");
        let expected = format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{body}");
        assert_eq!(answered(&mut client), expected);
    }
    assert_eq!((target.connections_opened(), target.requests_in_flight()), (1, 0));
    drain.send_replace(true);
    assert_eq!(running.join().expect("no panic"), Drained { cut: 0 });
    service.stop();
}

#[test]
fn a_client_that_hangs_up_takes_its_call_to_the_service_with_it() {
    let service = start(settings());
    let (running, drain, mut client, target) = in_front_of(&service);
    ask(&mut client, "/gate");
    while service.sample.serving.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    drop(client);
    while service.sample.serving.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
    }
    drain.send_replace(true);
    running.join().expect("no panic");
    assert_eq!(target.requests_in_flight(), 0);
    service.stop();
}
