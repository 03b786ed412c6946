//! The connection against scripted services: bytes in, bytes out.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;

use super::*;
use crate::body::Body;
use crate::upstream::OwnFields;

fn request(method: &str, body: Body) -> Request<Body> {
    let builder = Request::builder().method(method).uri("/links?a=1").header("host", "links");
    builder.body(body).expect("a request")
}

/// How every request goes on.
const HEAD: &str = "/links?a=1 HTTP/1.1\r\nhost: links\r\n";

/// Sends a request and waits for its answer's head.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    request: Request<Body>,
) -> Result<Response<()>, Failed> {
    let room = connection.room();
    connection.begin(Outgoing::of(request, (&[], &OwnFields::default()), room));
    poll_fn(|context| connection.poll_head(context)).await
}

fn streamed(pieces: &'static [&'static str]) -> Body {
    let frames = pieces.iter().map(|piece| Ok::<_, BodyError>(Frame::data(Bytes::from(*piece))));
    Body::boxed(StreamBody::new(stream::iter(frames)))
}

/// An answer in one line: status, body, trailers, and whether the connection is good for more.
async fn read(connection: &mut Connection<DuplexStream>, response: Response<()>) -> String {
    let mut line = format!("{}", response.status().as_u16());
    loop {
        match poll_fn(|context| connection.poll_frame(context)).await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => line += &format!(" {}", String::from_utf8_lossy(&data)),
                Err(frame) => line += &format!(" {:?}", frame.into_trailers().expect("trailers")),
            },
            Some(Err(error)) => return format!("{line} failed: {error}"),
            None => break,
        }
    }
    if connection.is_ready() { line + " again" } else { line }
}

/// What the gateway makes of `answer`, given in pieces of so many bytes; then the service hangs up.
async fn outcome_in(answer: &[u8], method: &str, piece: usize) -> String {
    let (here, mut there) = duplex(64 * 1024);
    let mut connection = Connection::new(here, 8_192);
    let service = async {
        there.read_u8().await.expect("a request");
        for piece in answer.chunks(piece) {
            there.write_all(piece).await.expect("a gateway");
            tokio::task::yield_now().await;
        }
        there.shutdown().await.expect("a gateway");
        there
    };
    let call = async {
        match send(&mut connection, request(method, Body::empty())).await {
            Ok(response) => read(&mut connection, response).await,
            Err(failed) => format!("failed: {failed}"),
        }
    };
    tokio::join!(call, service).0
}

async fn outcome(answer: &str) -> String {
    outcome_in(answer.as_bytes(), "GET", usize::MAX).await
}

/// Sends a request and has it answered so.
async fn exchanged(
    connection: &mut Connection<DuplexStream>,
    there: &mut DuplexStream,
    (asks_to_switch, answer): (bool, &str),
) -> Result<Response<()>, Failed> {
    let service = async {
        while !there.read_u8().await.expect("a request").eq(&b'\n') {}
        there.write_all(answer.as_bytes()).await.expect("a gateway");
    };
    let request = request("GET", Body::empty());
    connection.begin(match asks_to_switch {
        true => Outgoing::of_upgrade(request),
        false => Outgoing::of(request, (&[], &OwnFields::default()), Vec::new()),
    });
    tokio::join!(poll_fn(|context| connection.poll_head(context)), service).0
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_another_protocol_gets_the_connection_from_the_byte_behind_the_101() {
    const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    for (answer, behind) in [
        (SWITCHES.to_owned(), ""),
        (format!("{SWITCHES}frames"), "frames"),
        (format!("HTTP/1.1 100 Continue\r\n\r\n{SWITCHES}frames"), "frames"),
    ] {
        let (here, mut there) = duplex(64 * 1024);
        let mut connection = Connection::new(here, 8_192);
        let asked = exchanged(&mut connection, &mut there, (true, &answer)).await;
        assert_eq!(asked.expect("an answer").status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(connection.into_parts().1, behind, "{answer}");
    }
    // Whoever is refused stays in HTTP, and from then on has not asked.
    let (here, mut there) = duplex(64 * 1024);
    let mut connection = Connection::new(here, 8_192);
    let no = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno";
    let refused = exchanged(&mut connection, &mut there, (true, no)).await.expect("an answer");
    assert_eq!(read(&mut connection, refused).await, "426 no again");
    let unasked = exchanged(&mut connection, &mut there, (false, SWITCHES)).await;
    let failed = unasked.expect_err("nobody asked");
    assert!(matches!(failed, Failed::Malformed(_)), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_where_its_head_says_or_is_refused() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok again"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "200 ok again"),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 again"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204 again"),
        ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304 again"),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "200 until the end"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok"),
        ("HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 2\r\n\r\nok", "200 ok"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", "200 ok"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 again"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "200 ok failed: the connection ended too early",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "failed: the answer is not HTTP/1.1: several lengths",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            "failed: the answer is not HTTP/1.1: its length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "failed: the answer is not HTTP/1.1: a length beside a transfer coding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "failed: the answer is not HTTP/1.1: a transfer coding that was not asked for",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            "failed: the answer is not HTTP/1.1: several transfer codings",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "failed: the answer is not HTTP/1.1: another protocol, which nobody asked for",
        ),
        ("HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n", "failed: the answer is not HTTP/1.1: its head"),
        ("HTTP/2 200\r\n\r\n", "failed: the answer is not HTTP/1.1: its first bytes"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "failed: the answer is not HTTP/1.1: its first bytes"),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n", "failed: the connection ended too early"),
        ("", "failed: the connection ended too early"),
    ] {
        assert_eq!(outcome(answer).await, expected, "{answer:?}");
    }
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
    let expected = "failed: the answer is not HTTP/1.1: too many interim answers";
    assert_eq!(outcome(&interim).await, expected);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {:x<8192}\r\n\r\n", "");
    for piece in [usize::MAX, 100] {
        let expected = "failed: the head of the answer is longer than 8192 bytes";
        assert_eq!(outcome_in(long.as_bytes(), "GET", piece).await, expected, "in {piece}");
    }
    let head = outcome_in(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 1).await;
    assert_eq!(head, "200 again");
}

#[tokio::test(start_paused = true)]
async fn chunks_are_read_as_they_are_written_or_not_at_all() {
    for (body, expected) in [
        ("0\r\n\r\n", "200 again"),
        ("2\r\nok\r\n0\r\n\r\n", "200 ok again"),
        ("2\r\nok\r\n003;a=\"b\"\r\nyes\r\n0;last\r\n\r\n", "200 ok yes again"),
        ("A \r\n0123456789\r\n0\r\n\r\n", "200 0123456789 again"),
        ("2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", r#"200 ok {"x-sum": "1"} again"#),
        ("2\r\nok\r\n0\r\n\r\nmore", "200 ok"),
        ("2\r\nok\r\n", "200 ok failed: the connection ended too early"),
        ("2\r\nok\r\n0\r\n", "200 ok failed: the connection ended too early"),
        ("2\r\nok!\r\n", "200 ok failed: the answer is not HTTP/1.1: a chunk longer than its size"),
        ("2\nok\r\n", "200 failed: the answer is not HTTP/1.1: a chunk's size"),
        ("+2\r\nok\r\n", "200 failed: the answer is not HTTP/1.1: a chunk's size"),
        ("0x2\r\nok\r\n", "200 failed: the answer is not HTTP/1.1: a chunk's size"),
        ("\r\nok\r\n", "200 failed: the answer is not HTTP/1.1: a chunk's size"),
        ("10000000000000000\r\n", "200 failed: the answer is not HTTP/1.1: a chunk's size"),
        (
            "2\r\nok\r\n0\r\nBad Name: 1\r\n\r\n",
            "200 ok failed: the answer is not HTTP/1.1: a trailer field",
        ),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n{body}");
        assert_eq!(outcome(&answer).await, expected, "{body:?}");
    }
    let endless = [
        format!("2;{:x<1024}", ""),
        format!("0\r\n{}", "X-Sum: 1\r\n".repeat(33)),
        format!("0\r\nX-Sum: {:x<9000}", ""),
    ];
    for body in endless {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert!(outcome(&answer).await.starts_with("200 failed: the answer is not"), "{body:.20}");
    }
}

proptest! {
    /// However an answer is cut into packets, and whatever it is, it is the same answer.
    #[test]
    fn packets_mean_nothing(chunks in proptest::collection::vec("[a-z]{1,9}", 0..5), cut in 1_usize..40) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let body: String =
            chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n");
        let found = runtime.block_on(outcome_in(answer.as_bytes(), "GET", cut));
        prop_assert_eq!(found.replace(' ', ""), format!("200{}again", chunks.concat()));
    }

    #[test]
    fn whatever_a_service_sends_is_an_answer_or_a_failure(bytes: Vec<u8>, cut in 1_usize..9) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        runtime.block_on(outcome_in(&bytes, "GET", cut));
        answer.extend(bytes);
        runtime.block_on(outcome_in(&answer, "GET", cut));
    }
}

/// What the service is sent, up to the end of its input.
async fn sent(request: Request<Body>) -> String {
    let (here, mut there) = duplex(64 * 1024);
    let mut connection = Connection::new(here, 8_192);
    let call = async {
        let failed = send(&mut connection, request).await.expect_err("no answer");
        drop(connection);
        failed
    };
    let service = async {
        let mut bytes = vec![0; 64 * 1024];
        let mut length = 0;
        loop {
            let piece = there.read(&mut bytes[length..]);
            match tokio::time::timeout(Duration::from_secs(1), piece).await {
                Ok(Ok(0) | Err(_)) | Err(_) => break,
                Ok(Ok(read)) => length += read,
            }
        }
        drop(there);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let (failed, sent) = tokio::join!(call, service);
    match failed {
        Failed::Body(error) => format!("{sent} failed: {error}"),
        _ => sent,
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_told_where_a_request_ends() {
    let full = || Body::from(Bytes::from_static(b"whole"));
    for (request, expected) in [
        (request("GET", Body::empty()), format!("GET {HEAD}\r\n")),
        (request("DELETE", Body::empty()), format!("DELETE {HEAD}\r\n")),
        (request("POST", Body::empty()), format!("POST {HEAD}content-length: 0\r\n\r\n")),
        (request("PUT", full()), format!("PUT {HEAD}content-length: 5\r\n\r\nwhole")),
        (
            request("POST", streamed(&["half", "", " and half"])),
            format!(
                "POST {HEAD}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n and half\r\n0\r\n\r\n"
            ),
        ),
    ] {
        assert_eq!(sent(request).await, expected);
    }
    let announced = |length: &str, body: Body| {
        let mut request = request("POST", body);
        request.headers_mut().insert("content-length", length.parse().expect("a value"));
        request.headers_mut().insert("transfer-encoding", HeaderValue::from_static("gzip"));
        request
    };
    let with_length = |length: u64| format!("POST {HEAD}content-length: {length}\r\n\r\n");
    for (length, body, expected) in [
        ("99", full(), with_length(5) + "whole"),
        ("4", streamed(&["ha", "lf"]), with_length(4) + "half"),
        (
            "5",
            streamed(&["half"]),
            with_length(5) + "half failed: the request's body is not as long as its head says",
        ),
        (
            "3",
            streamed(&["ha", "lf"]),
            with_length(3) + "ha failed: the request's body is not as long as its head says",
        ),
    ] {
        assert_eq!(sent(announced(length, body)).await, expected, "{length}");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    let frames = [Ok::<_, BodyError>(Frame::data("ok".into())), Ok(Frame::trailers(trailers))];
    let body = Body::boxed(StreamBody::new(stream::iter(frames)));
    let expected = "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
    assert_eq!(sent(request("POST", body)).await, format!("POST {HEAD}{expected}"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_before_the_request_has_been_sent() {
    let (here, mut there) = duplex(64);
    let mut connection = Connection::new(here, 8_192);
    let endless =
        stream::repeat("and so on ").map(|piece| Ok::<_, BodyError>(Frame::data(piece.into())));
    let call = async {
        let upload = request("POST", Body::boxed(StreamBody::new(endless)));
        let response = send(&mut connection, upload).await.expect("an answer");
        read(&mut connection, response).await
    };
    let service = async {
        let mut head = [0; 40];
        there.read_exact(&mut head).await.expect("a request");
        there
            .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await
            .expect("a gateway");
        there
    };
    assert_eq!(tokio::join!(call, service).0, "413 no", "and the connection is not used again");
}

#[tokio::test(start_paused = true)]
async fn a_reused_connection_that_dies_after_an_interim_answer_has_begun_to_answer() {
    let (here, mut there) = duplex(1_024);
    let mut connection = Connection::new(here, 8_192);
    let service = async {
        there.read_u8().await.expect("a request");
        there.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("sent");
        // The rest of that one, and the first byte of the next.
        there.read_exact(&mut [0; 40]).await.expect("another request");
        there.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.expect("sent");
        there.shutdown().await.expect("sent");
        there
    };
    let calls = async {
        send(&mut connection, request("GET", Body::empty())).await.expect("an answer");
        send(&mut connection, request("GET", Body::empty())).await.expect_err("no answer")
    };
    let failed = tokio::join!(calls, service).0;
    assert!(matches!(failed, Failed::Ended), "{failed}: nobody may send it again");
}

/// A stream that holds back what is written until it is flushed, as an encrypted one may.
#[derive(Debug)]
struct Holding {
    io: DuplexStream,
    held: BytesMut,
}

impl AsyncRead for Holding {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Holding {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.held.is_empty() {
            let written = ready!(Pin::new(&mut this.io).poll_write(context, &this.held))?;
            this.held.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_holds_back_is_flushed_before_anything_is_waited_for() {
    let (io, mut there) = duplex(64);
    let mut connection = Connection::new(Holding { io, held: BytesMut::new() }, 8_192);
    let (feed, pieces) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, BodyError>>();
    let call = async {
        let upload = request("POST", Body::boxed(StreamBody::new(pieces)));
        send(&mut connection, upload).await.expect("an answer");
        connection.is_ready()
    };
    let service = async {
        let mut sent = [0; 69];
        there.read_exact(&mut sent).await.expect("the head, before there is a body");
        assert!(sent.ends_with(b"chunked\r\n\r\n"), "{}", String::from_utf8_lossy(&sent));
        feed.unbounded_send(Ok(Frame::data("half".into()))).expect("a reader");
        there.read_exact(&mut [0; 9]).await.expect("a chunk, before there is another");
        drop(feed);
        there.read_exact(&mut [0; 5]).await.expect("the end");
        there.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a gateway");
    };
    let both = tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(call, service) });
    assert!(both.await.expect("nothing is held back").0, "and it may be used again");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stops_reading_holds_the_body_back() {
    let (here, there) = duplex(64);
    let mut connection = Connection::new(here, 8_192);
    let endless = stream::repeat(())
        .map(|()| Ok::<_, BodyError>(Frame::data(Bytes::from_static(&[b'x'; 100]))));
    let body = Body::boxed(StreamBody::new(endless));
    tokio::select! {
        _ = send(&mut connection, request("POST", body)) => panic!("nobody answered"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    // One piece at a time is waiting to be written, whatever there is.
    let unsent = connection.outgoing.unsent().len();
    assert!(unsent <= 110, "{unsent}");
    drop(there);
}

#[tokio::test(start_paused = true)]
async fn memory_of_which_an_answer_holds_a_piece_is_for_nobody_else() {
    for (size, is_for_others) in [(decode::COPIED_MAX, true), (decode::COPIED_MAX + 1, false)] {
        drop(spare::take());
        let (here, mut there) = duplex(64 * 1024);
        let mut connection = Connection::new(here, 8_192);
        let service = async {
            there.read_u8().await.expect("a request");
            let body = "x".repeat(size);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}");
            there.write_all(answer.as_bytes()).await.expect("room");
        };
        let (answer, ()) =
            tokio::join!(send(&mut connection, request("GET", Body::empty())), service);
        answer.expect("an answer");
        let piece = poll_fn(|context| connection.poll_frame(context)).await;
        assert_eq!(piece.expect("one").expect("a piece").data_ref().map(Bytes::len), Some(size));
        assert!(connection.rest());
        assert_eq!(spare::take().capacity() > 0, is_for_others, "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_its_connection_over_comes_back_whole() {
    let check = async |farewell: &[u8], expected: &str| {
        let (here, mut there) = duplex(1_024);
        let mut connection = Connection::new(here, 8_192);
        there.write_all(farewell).await.expect("a gateway");
        there.shutdown().await.expect("a gateway");
        let upload = request("POST", streamed(&["whole"]));
        let failed = send(&mut connection, upload).await.expect_err("nobody there");
        assert_eq!(failed.to_string(), expected);
        let back = connection.take_outgoing();
        assert!(back.is_untouched());
        let (here, mut there) = duplex(1_024);
        let mut another = Connection::new(here, 8_192);
        another.begin(back);
        let whole = format!("POST {HEAD}transfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n");
        let service = async {
            let mut sent = vec![0; whole.len()];
            there.read_exact(&mut sent).await.expect("all of the request");
            there.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a gateway");
            sent
        };
        let answer = poll_fn(|context| another.poll_head(context));
        let (answer, sent) = tokio::join!(answer, service);
        assert_eq!((answer.expect("an answer").status().as_u16(), &*sent), (204, whole.as_bytes()));
    };
    check(b"", "the connection ended too early").await;
    check(b"HTTP/1.1 408 Request Timeout\r\n\r\n", "the service spoke unasked").await;
}

#[tokio::test]
async fn where_few_fields_are_looked_at_no_others_are_kept_and_all_are_read() {
    let answered = async |answer: &'static str| {
        let (here, mut there) = duplex(64 * 1024);
        let mut connection = Connection::new(here, 8 * 1024);
        let asked = request("GET", Body::empty());
        let outgoing = Outgoing::of(asked, (&[], &OwnFields::default()), Vec::new());
        connection.begin(outgoing.wanting(AnswerFields::RetryAfter));
        let head = poll_fn(|context| connection.poll_head(context));
        let (response, written) = tokio::join!(head, there.write_all(answer.as_bytes()));
        written.expect("a gateway");
        match response {
            Ok(response) => {
                let mut names: Vec<String> =
                    response.headers().keys().map(ToString::to_string).collect();
                names.sort();
                format!("[{}] {}", names.join(","), read(&mut connection, response).await)
            }
            Err(failed) => failed.to_string(),
        }
    };
    let more = "Content-Type: application/json\r\nSet-Cookie: a=b\r\nX-Abcdefgh: 1\r\n";
    for (fields, body, expected) in [
        ("CONTENT-LENGTH: 2\r\n", "ok", "[] 200 ok again"),
        ("Retry-After: 3\r\nConnection: close\r\nContent-Length: 0\r\n", "", "[retry-after] 200"),
        ("transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n", "[] 200 ok again"),
        (
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "ok",
            "the answer is not HTTP/1.1: several lengths",
        ),
        ("Con tent: 2\r\nContent-Length: 2\r\n", "ok", "the answer is not HTTP/1.1: its head"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{more}{fields}\r\n{body}").leak();
        let outcome = answered(answer).await;
        assert_eq!(outcome, expected, "{fields:?}");
    }
}

#[test]
fn a_body_that_was_given_up_was_not_sent() {
    let mut outgoing = Outgoing::of(
        request("POST", streamed(&["rest"])),
        (&[], &OwnFields::default()),
        Vec::new(),
    );
    outgoing.has_sent(outgoing.unsent().len());
    outgoing.drop_body();
    assert!(outgoing.has_no_more() && outgoing.unsent().is_empty());
    assert!(!outgoing.is_sent(), "or the next request would be read as the rest of it");
    assert!(outgoing.again().is_none());
}
