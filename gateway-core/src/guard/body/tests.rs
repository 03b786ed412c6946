//! Bodies up to their ceilings and beyond, under paused time.

use std::collections::VecDeque;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};

use super::*;

/// As an HTTP client reports what happened to the body that it was sending.
#[derive(Debug, thiserror::Error)]
#[error("the request could not be sent")]
struct Wrapped(#[source] BodyError);

/// Frames, each after a pause in seconds.
struct Paced {
    frames: VecDeque<(u64, Frame<Bytes>)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some((seconds, _)) = self.frames.front() else { return Poll::Ready(None) };
        let pause = Duration::from_secs(*seconds);
        if !pause.is_zero() {
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(pause)));
            ready!(pause.as_mut().poll(context));
        }
        self.pause = None;
        Poll::Ready(self.frames.pop_front().map(|(_, frame)| Ok(frame)))
    }
}

fn paced(frames: &[(u64, &'static str)]) -> Body {
    let frame = |(pause, text): &(u64, &'static str)| (*pause, Frame::data(Bytes::from(*text)));
    Body::boxed(Paced { frames: frames.iter().map(frame).collect(), pause: None })
}

/// Reads a body of at most 10 bytes and 30 seconds; what came before the end, and why it ended.
async fn read(body: Body) -> (String, Result<(), &'static str>) {
    let mut body = LimitedBody::new(body, 10, Duration::from_secs(30));
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let bytes = frame.into_data().expect("only data is passed on");
                text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
            }
            Err(error) => {
                let refused = BodyRefused::find(&Wrapped(error)).expect("our own refusal");
                assert!(body.is_end_stream(), "a refused body is over");
                assert!(body.frame().await.is_none(), "and stays so");
                return (text, Err(refused.code()));
            }
        }
    }
    (text, Ok(()))
}

#[tokio::test(start_paused = true)]
async fn a_body_up_to_the_cap_passes_and_not_a_byte_more() {
    assert_eq!(read(Bytes::from("0123456789").into()).await, ("0123456789".into(), Ok(())));
    let too_large = Err("body_too_large");
    assert_eq!(read(Bytes::from("0123456789a").into()).await, (String::new(), too_large));
    let chunks = paced(&[(0, "01234"), (0, "56789"), (0, "a")]);
    assert_eq!(read(chunks).await, ("0123456789".into(), too_large));
}

#[tokio::test(start_paused = true)]
async fn the_time_is_for_the_whole_body_however_steadily_it_drips() {
    let start = Instant::now();
    let drips = paced(&[(9, "a"), (9, "b"), (9, "c"), (9, "d")]);
    assert_eq!(read(drips).await, ("abc".into(), Err("body_too_slow")));
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(read(paced(&[(9, "a"), (20, "b")])).await, ("ab".into(), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn trailers_never_pass() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-user-id", http::HeaderValue::from_static("1"));
    let frames = [(0, Frame::data(Bytes::from("a"))), (0, Frame::trailers(trailers))];
    let body = Body::boxed(Paced { frames: frames.into(), pause: None });
    assert_eq!(read(body).await, ("a".into(), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_steady_body_takes_any_time_and_no_long_pause() {
    let start = Instant::now();
    let check = async |frames: &[(u64, &'static str)]| {
        let pace = Pace::Steady(Duration::from_secs(10));
        let (mut body, _) = LimitedBody::limit(paced(frames), 10, pace, false);
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    text += std::str::from_utf8(&frame.into_data().expect("data")).expect("text")
                }
                Err(error) => return text + BodyRefused::find(&*error).expect("our own").code(),
            }
            // Whoever reads slowly is not the client.
            sleep(Duration::from_secs(60)).await;
        }
        text
    };
    assert_eq!(check(&[(9, "a"), (9, "b"), (9, "c")]).await, "abc");
    assert_eq!(start.elapsed().as_secs(), 3 * 69);
    assert_eq!(check(&[(9, "a"), (11, "b")]).await, "abody_too_slow");
    assert_eq!(start.elapsed().as_secs(), 3 * 69 + 69 + 10);
}

#[test]
fn the_length_that_a_client_announced_is_kept() {
    let body = LimitedBody::new(Bytes::from("abc").into(), 10, Duration::from_secs(1));
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    let empty = LimitedBody::new(Body::empty(), 10, Duration::from_secs(1));
    assert!(empty.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_would_outlast_its_request_ends_a_little_before_it() {
    let start = Instant::now();
    let drips = paced(&[(4, "a"), (4, "b"), (4, "c")]);
    let time_left = Duration::from_secs(10);
    let (mut body, count) = LimitedBody::limit(
        drips,
        10,
        Pace::Whole { timeout: Duration::from_secs(30), time_left },
        false,
    );
    // The service is connected to first; the request's time goes on.
    sleep(Duration::from_secs(3)).await;
    let mut last = None;
    while let Some(frame) = body.frame().await {
        last = Some(frame);
    }
    let error = last.and_then(Result::err).expect("it is cut off");
    assert_eq!(BodyRefused::find(&*error).expect("our own refusal").code(), "body_too_slow");
    assert_eq!((start.elapsed().as_millis(), count.get()), (9_900, 1));
}
