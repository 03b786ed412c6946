//! Clients of WebSockets, byte for byte, over either protocol: HTTP/1.1 takes the connection for it,
//! HTTP/2 a stream of one.

use std::future::poll_fn;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use tests::harness::{GatewayUnderTest, Origin, Wire};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a test waits for at the most.
pub const PATIENCE: Duration = Duration::from_secs(10);

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Http1,
    Http2,
}

pub const BOTH: [Over; 2] = [Over::Http1, Over::Http2];

impl Over {
    /// The status that opens a WebSocket.
    pub const fn opened(self) -> u16 {
        match self {
            Self::Http1 => 101,
            Self::Http2 => 200,
        }
    }
}

/// The client's end, from the byte behind the head of the answer.
#[derive(Debug)]
pub enum Client {
    Http1(Wire),
    Http2(Stream),
}

impl Client {
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        match self {
            Self::Http1(wire) => wire.say(bytes).await,
            Self::Http2(stream) => stream.say(bytes).await,
        }
    }

    /// So many bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        match self {
            Self::Http1(wire) => wire.bytes(count).await,
            Self::Http2(stream) => stream.bytes(count).await,
        }
    }

    /// What is said until the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        match self {
            Self::Http1(wire) => wire.rest().await,
            Self::Http2(stream) => stream.rest().await.0,
        }
    }
}

/// What a handshake was answered: status, fields and the connection or stream.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub client: Client,
}

impl Answer {
    /// What stands in a field; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// Sends a handshake with these lines in its head, and waits for the head of the answer.
pub async fn ask(over: Over, url: String, path: String, more: String) -> Answer {
    match over {
        Over::Http1 => {
            let mut wire = Wire::connect(&url).await;
            wire.say(handshake(&path, &more)).await;
            let head = wire.head().await;
            let mut headers = HeaderMap::new();
            for (name, value) in fields(&head) {
                headers.append(name, value);
            }
            let status = head[9..12].parse().expect("a status");
            Answer { status, headers, client: Client::Http1(wire) }
        }
        Over::Http2 => Connection::open(&url).await.ask(&path, &more).await,
    }
}

fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

fn fields(lines: &str) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    lines.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| {
        (name.parse().expect("a name"), HeaderValue::from_str(value).expect("a value"))
    })
}

/// What a service answers to a handshake: the accept that goes with its key.
pub fn accept_of(asked: &str) -> String {
    let lines = asked.lines().filter_map(|line| line.split_once(": "));
    let mut keys = lines.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = keys.next().expect("a key");
    let whole = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes());
    BASE64_STANDARD.encode(sha1)
}

/// A 101 of a service.
pub fn accepted(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\nServer: secret\r\n\r\n"
    )
}

/// A WebSocket, and what the service was asked.
pub async fn open(
    over: Over,
    gateway: &GatewayUnderTest,
    origin: &Origin,
    path: &str,
    more: &str,
) -> (Client, Wire, String) {
    let asking = ask(over, gateway.url.clone(), path.to_owned(), more.to_owned());
    let (answer, (service, asked)) = tokio::join!(asking, accept(origin));
    assert_eq!(answer.status, over.opened());
    let accept = accept_of(&asked);
    let (expected, upgrade) = match over {
        Over::Http1 => (accept.as_str(), "websocket"),
        Over::Http2 => ("", ""),
    };
    assert_eq!(answer.field("sec-websocket-accept"), expected);
    assert_eq!(answer.field("upgrade"), upgrade);
    assert_eq!((answer.field("sec-websocket-protocol"), answer.field("server")), ("chat", ""));
    (answer.client, service, asked)
}

/// The service's side of it.
pub async fn accept(origin: &Origin) -> (Wire, String) {
    let mut service = origin.accept().await;
    let asked = service.head().await;
    service.say(accepted(&accept_of(&asked))).await;
    (service, asked)
}

/// A handshake that opens nothing: the answer, and its body.
pub async fn refused(
    over: Over,
    gateway: &GatewayUnderTest,
    path: &str,
    more: &str,
) -> (Answer, String) {
    let close = if over == Over::Http1 { "Connection: close\r\n" } else { "" };
    let mut answer =
        ask(over, gateway.url.clone(), path.to_owned(), format!("{more}{close}")).await;
    let body = answer.client.rest().await;
    (answer, String::from_utf8(body).expect("text"))
}

/// What carries a connection.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for I {}

/// A connection of HTTP/2.
#[derive(Clone)]
pub struct Connection(pub SendRequest<Bytes>);

impl Connection {
    /// One whose gateway takes WebSockets over it.
    pub async fn open(url: &str) -> Self {
        Self::with(url, Builder::new().initial_connection_window_size(1 << 24)).await
    }

    pub async fn with(url: &str, builder: &Builder) -> Self {
        let host = url.strip_prefix("http://").expect("http");
        Self::over(TcpStream::connect(host).await.expect("connected"), builder).await
    }

    /// One over whatever carries it.
    pub async fn over(io: impl Io, builder: &Builder) -> Self {
        let (requests, connection) = builder.handshake(io).await.expect("HTTP/2");
        tokio::spawn(connection);
        let told = async {
            while !requests.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, told).await.expect("the gateway says that it takes WebSockets");
        Self(requests)
    }

    /// Asks for a WebSocket.
    pub async fn ask(&self, path: &str, more: &str) -> Answer {
        let mut request = Request::connect(format!("http://gateway{path}"))
            .version(Version::HTTP_2)
            .extension(Protocol::from("websocket"))
            .header("sec-websocket-version", "13");
        for (name, value) in fields(more) {
            request = request.header(name, value);
        }
        self.send(request.body(()).expect("a request")).await
    }

    /// Sends a request that has no end yet.
    pub async fn send(&self, request: Request<()>) -> Answer {
        let mut ready = self.0.clone().ready().await.expect("the gateway is there");
        let (answer, sender) = ready.send_request(request, false).expect("sent");
        let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
        let (head, body) = answer.into_parts();
        let client = Client::Http2(Stream { sender, body, here: BytesMut::new() });
        Answer { status: head.status.as_u16(), headers: head.headers, client }
    }

    /// Opens a WebSocket.
    pub async fn open_websocket(&self, origin: &Origin, path: &str) -> (Stream, Wire) {
        let (answer, (service, _)) = tokio::join!(self.ask(path, ""), accept(origin));
        assert_eq!(answer.status, 200);
        let Client::Http2(stream) = answer.client else { panic!("HTTP/2") };
        (stream, service)
    }
}

/// A stream of HTTP/2.
#[derive(Debug)]
pub struct Stream {
    pub sender: SendStream<Bytes>,
    pub body: RecvStream,
    here: BytesMut,
}

impl Stream {
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let said = timeout(PATIENCE, self.try_say(bytes.as_ref())).await;
        said.expect("in time");
    }

    /// Waits for room as long as it takes.
    pub async fn try_say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.sender.reserve_capacity(bytes.len());
            let room = poll_fn(|context| self.sender.poll_capacity(context)).await;
            let room = room.expect("the stream is open").expect("the gateway hears");
            let piece = &bytes[..room.min(bytes.len())];
            self.sender.send_data(Bytes::copy_from_slice(piece), false).expect("sent");
            bytes = &bytes[piece.len()..];
        }
    }

    /// Says that nothing more comes.
    pub fn end(&mut self) {
        self.sender.send_data(Bytes::new(), true).expect("sent");
    }

    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.here.len() < count {
            let more = timeout(PATIENCE, self.body.data()).await.expect("in time");
            self.take(&more.expect("more").expect("no reset"));
        }
        self.here.split_to(count).to_vec()
    }

    /// What is said until the end, and the reset that it ended with.
    pub async fn rest(&mut self) -> (Vec<u8>, Option<Reason>) {
        loop {
            match timeout(PATIENCE, self.body.data()).await.expect("an end in time") {
                Some(Ok(bytes)) => self.take(&bytes),
                Some(Err(error)) => return (self.here.split().to_vec(), error.reason()),
                None => return (self.here.split().to_vec(), None),
            }
        }
    }

    fn take(&mut self, bytes: &Bytes) {
        self.body.flow_control().release_capacity(bytes.len()).expect("what was received");
        self.here.extend_from_slice(bytes);
    }
}
