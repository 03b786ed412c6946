//! What is HTTP/2's own, against services that speak in frames. Time is paused; the connections are
//! pipes.

use super::*;

const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// A service of HTTP/2 that speaks in frames.
struct Framed(DuplexStream);

impl Framed {
    /// A new connection whose beginning is over.
    async fn accept(service: &mut Service) -> Self {
        let mut pipe = service.accept().await.0;
        let mut preface = [0; 24];
        pipe.read_exact(&mut preface).await.expect("a preface");
        let mut framed = Self(pipe);
        framed.say(4, 0, &[]).await;
        framed
    }

    async fn say(&mut self, kind: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let frame = [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).await.expect("a client");
    }

    /// The stream of the next request.
    async fn request(&mut self) -> u32 {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.expect("a frame");
            let [high, middle, low, kind, _, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            self.0.read_exact(&mut payload).await.expect("a payload");
            if kind == 1 {
                return u32::from_be_bytes(stream);
            }
        }
    }

    /// An empty answer of 204.
    async fn answer(&mut self, stream: u32) {
        let frame = [&[0, 0, 1, 1, 5][..], &stream.to_be_bytes(), &[0x89]].concat();
        self.0.write_all(&frame).await.expect("a client");
    }

    async fn reset(&mut self, stream: u32, reason: u32) {
        self.say(3, stream, &reason.to_be_bytes()).await;
    }

    /// Says that nothing after `last` was or will be done.
    async fn go_away(&mut self, last: u32, reason: u32) {
        self.say(7, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat()).await;
    }
}

fn multiplexed(change: impl FnOnce(&mut TargetSettings)) -> Arc<Target> {
    target(|settings| {
        settings.protocol = Protocol::Http2;
        change(settings);
    })
}

fn outcome(result: Result<Answer, CallFailed>) -> Result<u32, &'static str> {
    result.map(|answer| answer.attempts).map_err(|failed| failed.code())
}

#[tokio::test(start_paused = true)]
async fn what_a_service_says_it_has_not_done_is_sent_again_whatever_the_method() {
    let post = || request("POST", "/", Bytes::from_static(b"whole").into());
    let upload = || request("POST", "/", streamed(stream::iter([Ok("gone")])));
    // The request, why its stream is reset, how often, and what comes of it.
    for (what, request, reason, times, expected) in [
        ("a GET", get("/"), REFUSED_STREAM, 1, Ok(2)),
        ("a POST", post(), REFUSED_STREAM, 2, Ok(3)),
        ("a third refusal", post(), REFUSED_STREAM, 3, Err("upstream_broken")),
        ("a body that is gone", upload(), REFUSED_STREAM, 1, Err("upstream_broken")),
        ("another reason", get("/"), CANCEL, 1, Err("upstream_broken")),
    ] {
        let (client, mut service) = wired();
        let target = multiplexed(|_| {});
        let script = async {
            let mut framed = Framed::accept(&mut service).await;
            for _ in 0..times {
                let stream = framed.request().await;
                framed.reset(stream, reason).await;
            }
            if expected.is_ok() {
                let stream = framed.request().await;
                framed.answer(stream).await;
            }
            framed
        };
        let (answer, _framed) = tokio::join!(client.call(&target, request, LONG), script);
        assert_eq!(outcome(answer), expected, "{what}");
        assert_eq!((target.connections_opened(), target.requests_in_flight()), (1, 0), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_goes_away_answers_what_it_has_begun_and_the_rest_goes_elsewhere() {
    let (client, mut service) = wired();
    let target = multiplexed(|_| {});
    let post = || request("POST", "/", Bytes::from_static(b"whole").into());
    let script = async {
        let mut old = Framed::accept(&mut service).await;
        let (first, second) = (old.request().await, old.request().await);
        assert!(first < second);
        old.go_away(first, 0).await;
        let mut new = Framed::accept(&mut service).await;
        let again = new.request().await;
        new.answer(again).await;
        old.answer(first).await;
        (old, new)
    };
    let calls = async {
        tokio::join!(client.call(&target, post(), LONG), client.call(&target, post(), LONG))
    };
    let ((first, second), _connections) = tokio::join!(calls, script);
    let mut outcomes = [outcome(first), outcome(second)];
    outcomes.sort();
    assert_eq!(outcomes, [Ok(1), Ok(2)]);
    assert_eq!((target.connections_opened(), target.requests_replayed()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_as_many_calls_as_it_may_and_a_further_one_is_refused() {
    let (client, mut service) = wired();
    let target = multiplexed(|settings| settings.h2_streams_max = 2);
    let script = async {
        let mut framed = Framed::accept(&mut service).await;
        let (first, second) = (framed.request().await, framed.request().await);
        let busy = outcome(client.call(&target, get("/"), LONG).await);
        assert_eq!(busy, Err("upstream_busy"));
        framed.answer(first).await;
        framed.answer(second).await;
        framed
    };
    let call = || client.call(&target, get("/"), LONG);
    let (first, second, _framed) = tokio::join!(call(), call(), script);
    assert_eq!((outcome(first), outcome(second)), (Ok(1), Ok(1)));
    assert_eq!(target.connections_opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_that_nobody_uses_is_hung_up() {
    let (client, mut service) = wired();
    let target = multiplexed(|_| {});
    let script = async {
        let mut framed = Framed::accept(&mut service).await;
        let stream = framed.request().await;
        framed.answer(stream).await;
        framed
    };
    let (answer, mut framed) = tokio::join!(client.call(&target, get("/"), LONG), script);
    assert_eq!(outcome(answer), Ok(1));
    let used_at = Instant::now();
    let mut rest = Vec::new();
    framed.0.read_to_end(&mut rest).await.expect("an end");
    let idle = used_at.elapsed().as_secs();
    assert!((30..=61).contains(&idle), "{idle}");
    // The next call finds that out before it sends anything.
    let script = async {
        let mut framed = Framed::accept(&mut service).await;
        let stream = framed.request().await;
        framed.answer(stream).await;
        framed
    };
    let post = request("POST", "/", Body::empty());
    let (answer, _framed) = tokio::join!(client.call(&target, post, LONG), script);
    assert_eq!(outcome(answer), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn each_time_out_holds_for_http_2_too() {
    let check = async |expected_s: u64, time_left, request| {
        let (client, mut service) = wired();
        // Below the 15 s after which a service that does not answer pings is gone.
        let target = multiplexed(|settings| settings.write_timeout = Duration::from_secs(12));
        let started = Instant::now();
        let script = async {
            let mut framed = Framed::accept(&mut service).await;
            framed.request().await;
            framed
        };
        let (answer, _framed) = tokio::join!(client.call(&target, request, time_left), script);
        assert_eq!(outcome(answer), Err("upstream_timeout"));
        assert_eq!((started.elapsed().as_secs(), target.requests_in_flight()), (expected_s, 0));
    };
    check(5, LONG, get("/")).await;
    check(2, Duration::from_secs(2), get("/")).await;
    let upload = streamed(stream::once(async {
        sleep(Duration::from_secs(7)).await;
        Ok("")
    }));
    check(12, LONG, request("PUT", "/", upload)).await;
    // The service gives no further window. The second to open a connection counts in.
    check(13, LONG, request("PUT", "/", endless())).await;
}
