//! HTTP/2 over pipes, under paused time.

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::*;

#[derive(Clone)]
struct Spawn;

impl<F: Future + 'static> Executor<F> for Spawn {
    fn execute(&self, task: F) {
        spawn_local(async move { drop(task.await) });
    }
}

/// A client, and the end of its connection.
struct Speaker {
    requests: SendRequest<Full<Bytes>>,
    ends: JoinHandle<hyper::Result<()>>,
}

impl Speaker {
    async fn ask(&mut self, path: &str) -> hyper::Result<Response<Incoming>> {
        let request = Request::get(format!("http://a{path}")).body(Full::default());
        self.requests.ready().await?;
        self.requests.send_request(request.expect("a request")).await
    }

    /// A stream that is handed over; but for `/large` it says back what it is told.
    async fn tunnel(&mut self, path: &str) -> TokioIo<Upgraded> {
        // The gateway has said by then that it takes one.
        self.hear("/").await.expect("an answer");
        let request = Request::connect(format!("http://a{path}"));
        let request = request.extension(Protocol::from_static("any"));
        let request = request.body(Full::default()).expect("a request");
        let answer = self.requests.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        TokioIo::new(hyper::upgrade::on(answer).await.expect("a stream"))
    }

    /// The body of an answer.
    async fn hear(&mut self, path: &str) -> hyper::Result<Bytes> {
        let answer = self.ask(path).await?;
        Ok(answer.collect().await?.to_bytes())
    }
}

/// Serves a connection while `script` plays the client; both must come to an end.
async fn play(script: impl AsyncFnOnce(Speaker, &Core<Arc<Sample>>)) {
    play_with(32 * 1024, script).await;
}

/// The same where the client takes so much of an answer before it says that there is room for more.
async fn play_with(window: u32, script: impl AsyncFnOnce(Speaker, &Core<Arc<Sample>>)) {
    let play = async {
        let Piped { client, place, server } = Piped::new(settings());
        let transport = Transport::plain(([127, 0, 0, 1], 1).into());
        let serving = connection::run(&place, server.expect("a pipe"), transport);
        let script = async {
            let mut builder = Builder::new(Spawn);
            builder.timer(TokioTimer::new()).initial_stream_window_size(window);
            let opened = builder.handshake(TokioIo::new(client)).await;
            let (requests, connection) = opened.expect("HTTP/2");
            script(Speaker { requests, ends: spawn_local(connection) }, &place.core).await;
        };
        tokio::join!(serving, script);
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test(start_paused = true)]
async fn each_wait_for_a_client_of_http_2_ends_at_its_own_time() {
    for (asks, expected_s) in [(false, 10), (true, 75)] {
        play(async |mut speaker, _| {
            if asks {
                assert_eq!(speaker.hear("/").await.expect("an answer"), "ok");
            }
            let started = Instant::now();
            assert!(speaker.ends.await.expect("no panic").is_ok(), "told to go");
            assert_eq!(started.elapsed().as_secs(), expected_s);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_go_when_told_to_is_cut() {
    // The preface and settings, and from then on nothing: not even an answer to a ping.
    for (opening, expected_s) in [(OPENING, 11), (&OPENING[..20], 10)] {
        let script = async |client: &mut DuplexStream, _: &_| {
            let started = Instant::now();
            say(client, opening).await;
            hear_all(client).await;
            assert_eq!(started.elapsed().as_secs(), expected_s);
        };
        LocalSet::new().run_until(Piped::new(settings()).play(script)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_takes_nothing_is_cancelled_alone() {
    play(async |mut speaker, _| {
        let started = Instant::now();
        let stalled = speaker.ask("/large").await.expect("an answer");
        let mut other =
            Speaker { requests: speaker.requests.clone(), ends: spawn_local(async { Ok(()) }) };
        let slow = spawn_local(async move { other.hear("/slow").await });
        sleep(Duration::from_secs(74)).await;
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok");
        sleep(Duration::from_secs(2)).await;
        let mut body = stalled.into_body();
        let mut taken = 0;
        // To the library, a stream that is cancelled is one that ends.
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
        }
        assert!(taken < 1 << 20, "{taken}");
        assert_eq!(started.elapsed().as_secs(), 76);
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok", "the connection goes on");
        assert_eq!(
            slow.await.expect("no panic").expect("an answer"),
            "ok",
            "a service may be slow"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answer_slowly_gets_all_of_it() {
    play(async |mut speaker, _| {
        let mut body = speaker.ask("/large").await.expect("an answer").into_body();
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.expect("not cancelled");
            taken += frame.data_ref().map_or(0, Bytes::len);
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(taken, 1 << 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_short_of_room_goes_out_to_its_end_also_when_the_core_drains() {
    for (path, size) in [("/frame", 16 << 10), ("/piece", 64 << 10)] {
        for drains in [false, true] {
            play_with(1_000, async |mut speaker, core| {
                let mut body = speaker.ask(path).await.expect("an answer").into_body();
                if drains {
                    core.drain();
                }
                let started = Instant::now();
                let mut taken = 0;
                while let Some(frame) = body.frame().await {
                    let frame = frame.expect("not cut");
                    taken += frame.data_ref().map_or(0, Bytes::len);
                    sleep(Duration::from_secs(1)).await;
                }
                assert_eq!(taken, size, "{path}, draining: {drains}");
                assert!(started.elapsed() > Duration::from_secs(10), "it has waited");
                assert!(speaker.ends.await.expect("no panic").is_ok());
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_one_piece_whose_client_takes_nothing_is_cancelled_alone() {
    play_with(1, async |mut speaker, _| {
        let stalled = speaker.ask("/piece").await.expect("an answer");
        sleep(Duration::from_secs(76)).await;
        // To the library, a stream that is cancelled is one that ends.
        let taken = stalled.collect().await.map_or(0, |body| body.to_bytes().len());
        assert!(taken <= 1, "{taken}");
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok", "the connection goes on");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_small_answer_that_nobody_takes_ends_its_connection() {
    play_with(1, async |mut speaker, _| {
        let mut other =
            Speaker { requests: speaker.requests.clone(), ends: spawn_local(async { Ok(()) }) };
        let slow = spawn_local(async move { other.hear("/slow").await });
        let started = Instant::now();
        let left = speaker.ask("/frame").await.expect("an answer");
        sleep(Duration::from_secs(70)).await;
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok", "which is no help");
        assert!(slow.await.expect("no panic").is_err());
        assert_eq!(started.elapsed().as_secs(), 75);
        drop(left);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_http_2_answers_what_is_in_flight_and_takes_nothing_new() {
    play(async |mut speaker, core| {
        let sample = Arc::clone(&core.serve);
        let mut other =
            Speaker { requests: speaker.requests.clone(), ends: spawn_local(async { Ok(()) }) };
        let in_flight = spawn_local(async move { other.hear("/slow").await });
        while sample.serving.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        core.drain();
        sleep(Duration::from_secs(1)).await;
        assert!(speaker.ask("/").await.is_err(), "after GOAWAY");
        assert_eq!(in_flight.await.expect("no panic").expect("an answer"), "ok");
        assert!(speaker.ends.await.expect("no panic").is_ok());
        assert_eq!(sample.serving.load(Ordering::SeqCst), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_ends_what_was_done_for_it() {
    play(async |mut speaker, core| {
        let sample = Arc::clone(&core.serve);
        let serving = || sample.serving.load(Ordering::SeqCst);
        let in_flight = speaker.ask("/gate");
        let cancels = async {
            while serving() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = in_flight => panic!("nobody opens the gate"),
            () = cancels => {}
        }
        while serving() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_stream_leaves_the_others() {
    play(async |mut speaker, _| {
        assert!(speaker.ask("/panic").await.is_err());
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok");
    })
    .await;
}

async fn say_back(tunnel: &mut TokioIo<Upgraded>, said: &[u8; 4]) {
    tunnel.write_all(said).await.expect("an open stream");
    let mut heard = [0; 4];
    tunnel.read_exact(&mut heard).await.expect("an open stream");
    assert_eq!(&heard, said);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_handed_over_may_be_silent_and_keeps_its_connection() {
    play(async |mut speaker, _| {
        let mut tunnel = speaker.tunnel("/").await;
        let mut other = speaker.tunnel("/").await;
        for _ in 0..3 {
            say_back(&mut tunnel, b"ping").await;
            sleep(Duration::from_secs(1_000)).await;
        }
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok", "beside it");
        drop(other.shutdown().await);
        assert_eq!(other.read(&mut [0; 4]).await.expect("an end"), 0);
        say_back(&mut tunnel, b"pong").await;
        sleep(Duration::from_secs(1_000)).await;
        let started = Instant::now();
        drop((tunnel, other));
        assert!(speaker.ends.await.expect("no panic").is_ok(), "told to go");
        assert_eq!(started.elapsed().as_secs(), 75, "idle since the last stream has ended");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_handed_over_is_reset_when_its_client_does_not_take_its_end() {
    play(async |mut speaker, _| {
        let mut tunnel = speaker.tunnel("/large").await;
        sleep(Duration::from_secs(10)).await;
        let mut taken = Vec::new();
        // To the library, a stream that is cancelled is one that ends.
        tunnel.read_to_end(&mut taken).await.expect("an end");
        assert_eq!(taken.len(), 32 * 1024, "the window, and nothing of what waited behind it");
        assert_eq!(speaker.hear("/").await.expect("an answer"), "ok", "the connection goes on");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_streams_that_were_handed_over() {
    play(async |mut speaker, core| {
        let mut tunnel = speaker.tunnel("/").await;
        core.drain();
        sleep(Duration::from_secs(10)).await;
        assert!(speaker.ask("/").await.is_err(), "after GOAWAY");
        say_back(&mut tunnel, b"ping").await;
        let started = Instant::now();
        drop(tunnel);
        assert!(speaker.ends.await.expect("no panic").is_ok());
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_over_once_its_streams_have_heard_of_it() {
    play(async |mut speaker, _| {
        let mut tunnel = speaker.tunnel("/").await;
        say_back(&mut tunnel, b"ping").await;
        // `play` waits for the connection's end.
        speaker.ends.abort();
    })
    .await;
}

const OPENING: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, size @ ..] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&size[..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The next frame of one of these kinds: which one, and how its payload ends.
async fn next(client: &mut DuplexStream, kinds: &[u8]) -> (u8, Option<u8>) {
    loop {
        let mut header = [0; 9];
        client.read_exact(&mut header).await.expect("a frame");
        let [a, b, c, kind, ..] = header;
        let size = usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("short");
        let mut payload = vec![0; size];
        client.read_exact(&mut payload).await.expect("a frame");
        if kinds.contains(&kind) {
            return (kind, payload.last().copied());
        }
    }
}

const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

#[tokio::test(start_paused = true)]
async fn unread_bodies_have_so_much_room_and_no_more() {
    const FLOW_CONTROL_ERROR: u8 = 3;
    // POST, http, /keep, host a.
    let post = b"\x83\x86\x04\x05/keep\x01\x01a";
    let piece = [0; 16 * 1024];
    // Streams that send 256 KiB each; and what the next byte ends.
    for (streams, ends) in [(1, RST_STREAM), (4, GOAWAY)] {
        let http2 = Http2Settings { streams_max: 10, ..settings().http2 };
        let script = async |client: &mut DuplexStream, core: &Core<Arc<Sample>>| {
            say(client, OPENING).await;
            // The windows are those of the settings once they are acknowledged.
            next(client, &[SETTINGS]).await;
            client.write_all(&frame(SETTINGS, 1, 0, &[])).await.expect("a server");
            for stream in (1..).step_by(2).take(streams) {
                client.write_all(&frame(1, 4, stream, post)).await.expect("a server");
                for _ in 0..16 {
                    client.write_all(&frame(0, 0, stream, &piece)).await.expect("a server");
                }
            }
            client.write_all(&frame(PING, 0, 0, &[7; 8])).await.expect("a server");
            assert_eq!(
                next(client, &[RST_STREAM, PING, GOAWAY]).await,
                (PING, Some(7)),
                "all of it has room"
            );
            assert_eq!(core.serve.kept.lock().expect("no panic").len(), streams);
            // Of a stream that has room of its own, where the connection has none.
            let last = if streams == 1 { 1 } else { 9 };
            if last > 1 {
                client.write_all(&frame(1, 4, last, post)).await.expect("a server");
            }
            client.write_all(&frame(0, 0, last, b"x")).await.expect("a server");
            assert_eq!(
                next(client, &[RST_STREAM, PING, GOAWAY]).await,
                (ends, Some(FLOW_CONTROL_ERROR))
            );
            client.shutdown().await.expect("a server");
        };
        let piped = Piped::new(ServerSettings { http2, ..settings() });
        LocalSet::new().run_until(piped.play(script)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_given_up() {
    let script = async |client: &mut DuplexStream, core: &Core<Arc<Sample>>| {
        let started = Instant::now();
        say(client, OPENING).await;
        // GET, http, /gate, host a.
        let get = b"\x82\x86\x04\x05/gate\x01\x01a";
        client.write_all(&frame(1, 5, 1, get)).await.expect("a server");
        hear_all(client).await;
        assert_eq!(started.elapsed().as_secs(), 30 + 15);
        while core.serve.serving.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    LocalSet::new().run_until(Piped::new(settings()).play(script)).await;
}
