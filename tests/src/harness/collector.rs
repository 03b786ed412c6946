//! A collector of spans: takes what gateways export (OTLP over HTTP, protobuf) and keeps it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::PATIENCE;

/// A span as it arrived.
#[derive(Debug, Clone, Default)]
pub struct ReceivedSpan {
    /// Hex digits.
    pub trace_id: String,
    /// Hex digits.
    pub id: String,
    /// Hex digits; empty for a trace's first span.
    pub parent: String,
    /// `tracestate`.
    pub state: String,
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client.
    pub kind: u64,
    /// Nanoseconds since the Unix epoch.
    pub started: u64,
    /// Nanoseconds since the Unix epoch.
    pub ended: u64,
    /// Everything as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub has_failed: bool,
    /// Flags, of the trace and of the parent.
    pub flags: u64,
}

impl ReceivedSpan {
    /// An attribute; empty where it is absent.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// What an export is answered that is not taken.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// `Retry-After`
    pub retry_after: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Received {
    spans: Vec<ReceivedSpan>,
    resource: BTreeMap<String, String>,
    exports: Vec<(HeaderMap, Bytes)>,
    refusals: VecDeque<Refusal>,
    rejects: u64,
}

#[derive(Debug, Clone)]
struct Shared {
    received: Arc<Mutex<Received>>,
    count: watch::Sender<usize>,
}

/// A collector on a free port, until it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    shared: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Shared { received: Arc::default(), count: watch::Sender::new(0) };
        let router = Router::new().route("/v1/traces", post(take)).with_state(shared.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("served");
        });
        Self { address, shared, task }
    }

    /// The layer that sends a gateway's spans here; `more` goes into the section.
    #[must_use]
    pub fn layer(&self, interval: &str, more: &str) -> String {
        let endpoint = format!("http://{}/v1/traces", self.address);
        format!("[traces]\nendpoint = \"{endpoint}\"\ninterval = \"{interval}\"\n{more}\n")
    }

    /// Answers the next exports so, and takes none of them.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.received().refusals.extend(refusals);
    }

    /// Says of each export from now on that so many of its spans were rejected.
    pub fn reject(&self, spans: u64) {
        self.received().rejects = spans;
    }

    /// The spans of a trace, once they are so many; in the order in which they began.
    pub async fn trace(&self, trace_id: &str, spans: usize) -> Vec<ReceivedSpan> {
        let of_trace = || {
            let received = self.received();
            let found = received.spans.iter().filter(|span| span.trace_id == trace_id);
            found.cloned().collect::<Vec<_>>()
        };
        let mut count = self.shared.count.subscribe();
        let all = count.wait_for(|_| of_trace().len() >= spans);
        let is_there = tokio::time::timeout(PATIENCE, all).await.is_ok();
        let mut found = of_trace();
        found.sort_by_key(|span| span.started);
        assert!(is_there && found.len() == spans, "{spans} spans are due: {found:#?}");
        found
    }

    /// Waits until so many exports have arrived.
    pub async fn until_asked(&self, exports: usize) {
        let mut count = self.shared.count.subscribe();
        let asked = count.wait_for(|&count| count >= exports);
        assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "no export");
    }

    /// Heads and bodies of all exports so far.
    #[must_use]
    pub fn exports(&self) -> Vec<(HeaderMap, Bytes)> {
        self.received().exports.clone()
    }

    /// What the last export says of its process.
    #[must_use]
    pub fn resource(&self) -> BTreeMap<String, String> {
        self.received().resource.clone()
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.shared.received.lock().expect("no panic")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut received = shared.received.lock().expect("no panic");
        received.exports.push((headers, body.clone()));
        match received.refusals.pop_front() {
            Some(Refusal { status, retry_after }) => {
                let status = StatusCode::from_u16(status).expect("a status");
                match retry_after {
                    Some(when) => (status, [("retry-after", when)]).into_response(),
                    None => status.into_response(),
                }
            }
            None => {
                read_request(&body, &mut received);
                // A message at field 1 with a number at field 1.
                let rejects = u8::try_from(received.rejects).expect("few");
                vec![0x0a, 2, 0x08, rejects].into_response()
            }
        }
    };
    shared.count.send_modify(|count| *count += 1);
    answer
}

/// A field of a message: its number, and a number or bytes.
type Field<'a> = (u64, u64, &'a [u8]);

/// The fields of a message, by the encoding's own rules; what is malformed fails the test.
fn fields(mut message: &[u8]) -> Vec<Field<'_>> {
    fn varint(message: &mut &[u8]) -> u64 {
        let end = message.iter().position(|byte| byte & 0x80 == 0).expect("a varint ends");
        let (digits, rest) = message.split_at(end + 1);
        *message = rest;
        digits.iter().rev().fold(0, |value, digit| (value << 7) | u64::from(digit & 0x7f))
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let (number, length) = match key & 7 {
            0 => (varint(&mut message), 0),
            1 => (0, 8),
            2 => (0, usize::try_from(varint(&mut message)).expect("short")),
            5 => (0, 4),
            other => panic!("no wire type {other}"),
        };
        let (bytes, rest) = message.split_at(length);
        message = rest;
        let fixed = bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let number = if matches!(key & 7, 1 | 5) { fixed } else { number };
        found.push((key >> 3, number, bytes));
    }
    found
}

fn inner<'a>(message: &'a [u8], wanted: u64) -> impl Iterator<Item = &'a [u8]> {
    let of_field = move |(field, _, bytes): Field<'a>| (field == wanted).then_some(bytes);
    fields(message).into_iter().filter_map(of_field)
}

fn read_request(request: &[u8], received: &mut Received) {
    for resource_spans in inner(request, 1) {
        let resource = inner(resource_spans, 1).flat_map(|resource| inner(resource, 1));
        received.resource = resource.map(attribute).collect();
        for scope_spans in inner(resource_spans, 2) {
            received.spans.extend(inner(scope_spans, 2).map(span));
        }
    }
}

fn span(message: &[u8]) -> ReceivedSpan {
    let mut span = ReceivedSpan::default();
    for (field, number, bytes) in fields(message) {
        let text = || String::from_utf8(bytes.to_vec()).expect("UTF-8");
        match field {
            1 => span.trace_id = hex(bytes),
            2 => span.id = hex(bytes),
            3 => span.state = text(),
            4 => span.parent = hex(bytes),
            5 => span.name = text(),
            6 => span.kind = number,
            7 => span.started = number,
            8 => span.ended = number,
            9 => {
                let (key, value) = attribute(bytes);
                assert!(span.attributes.insert(key, value).is_none(), "an attribute stands once");
            }
            15 => span.has_failed = fields(bytes).contains(&(3, 2, &[])),
            16 => span.flags = number,
            other => panic!("no field {other} is due in a span"),
        }
    }
    span
}

fn attribute(pair: &[u8]) -> (String, String) {
    let key = inner(pair, 1).next().expect("a key");
    let value = inner(pair, 2).next().expect("a value");
    let (kind, number, bytes) = fields(value)[0];
    let value = match kind {
        1 => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        4 => f64::from_bits(number).to_string(),
        _ => number.to_string(),
    };
    (String::from_utf8(key.to_vec()).expect("UTF-8"), value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
