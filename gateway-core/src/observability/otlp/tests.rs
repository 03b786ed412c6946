//! The exporter under paused time, and its messages byte for byte.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::protobuf::{Field, Reader, Writer};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::trace_context::{Ratio, TraceContext, Tracer};

/// A collector that answers as it is told, and says when it was asked.
struct Script {
    answers: Mutex<VecDeque<Posted>>,
    asked: mpsc::UnboundedSender<Duration>,
    begun: Instant,
}

impl Post for Script {
    async fn post(&self, _: Bytes) -> Posted {
        let _ = self.asked.send(self.begun.elapsed());
        let next = self.answers.lock().expect("no panic").pop_front();
        next.unwrap_or(Posted::Taken { rejected: 0 })
    }
}

struct Setup {
    tracer: Tracer,
    clock: Clock,
    closes: watch::Sender<bool>,
    asked: mpsc::UnboundedReceiver<Duration>,
    counts: Counts,
    task: JoinHandle<()>,
}

impl Setup {
    fn new(answers: impl IntoIterator<Item = Posted>) -> Self {
        let spans = SpanQueue::new(8, 4, Counter::default());
        let (closes, is_closing) = watch::channel(false);
        let (sender, asked) = mpsc::unbounded_channel();
        let counts = Counts::of(&Metrics::new());
        let exporting = Exporting {
            post: Script {
                answers: Mutex::new(answers.into_iter().collect()),
                asked: sender,
                begun: Instant::now(),
            },
            spans: spans.clone(),
            resource: Vec::new(),
            interval: Duration::from_secs(5),
            counts: counts.clone(),
            is_closing,
            is_failing: false,
        };
        let task = tokio::spawn(exporting.run());
        let tracer = Tracer { ratio: Ratio::new(1.0), respects_parent: true, spans };
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
        Self { tracer, clock, closes, asked, counts, task }
    }

    fn record(&self, spans: usize) {
        for _ in 0..spans {
            let mut trace = TraceContext::from_headers(&HeaderMap::new(), false);
            trace.record(&self.tracer, &self.clock, (self.clock.wall(), self.clock.now())).end();
        }
    }

    /// Ends the exporter, and says how many spans were exported, rejected and lost.
    async fn close(mut self) -> ((u64, u64, u64), Vec<Duration>) {
        self.closes.send_replace(true);
        self.task.await.expect("no panic");
        let mut asked = Vec::new();
        while let Some(at) = self.asked.recv().await {
            asked.push(at);
        }
        let Counts { exported, rejected, failed } = self.counts;
        ((exported.get(), rejected.get(), failed.get()), asked)
    }
}

fn unavailable(retry_after: Option<u64>) -> Posted {
    let retry_after = retry_after.map(Duration::from_secs);
    Posted::Unavailable { reason: "503".to_owned(), retry_after }
}

#[tokio::test(start_paused = true)]
async fn spans_leave_when_the_interval_is_over_or_a_batch_is_full() {
    let mut setup = Setup::new([]);
    setup.record(3);
    assert_eq!(setup.asked.recv().await, Some(Duration::from_secs(5)));
    setup.record(4);
    assert_eq!(setup.asked.recv().await, Some(Duration::from_secs(5)), "at once");
    let (counts, asked) = setup.close().await;
    assert_eq!((counts, asked.len()), ((7, 0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_collector_says_when_it_will_take_a_batch_and_how_much_of_it() {
    let mut setup =
        Setup::new([unavailable(Some(7)), unavailable(Some(9_999)), Posted::Taken { rejected: 1 }]);
    setup.record(2);
    for expected in [5, 12, 42] {
        assert_eq!(setup.asked.recv().await, Some(Duration::from_secs(expected)));
    }
    let (counts, _) = setup.close().await;
    assert_eq!(counts, (1, 1, 0), "a wait of hours is cut to thirty seconds");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_tried_five_times_ever_later_and_then_counted() {
    let mut setup = Setup::new((0..5).map(|_| unavailable(None)));
    setup.record(2);
    let mut last = Duration::from_secs(5);
    for most in [0, 1, 2, 4, 8] {
        let at = setup.asked.recv().await.expect("another attempt");
        assert!(at - last <= Duration::from_secs(most), "{at:?} after {last:?}");
        last = at;
    }
    setup.record(1);
    assert!(setup.asked.recv().await.is_some(), "the next batch goes out");
    assert_eq!(setup.close().await.0, (1, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_refused_is_not_sent_again() {
    let mut setup = Setup::new([Posted::Refused("400".to_owned())]);
    setup.record(2);
    assert!(setup.asked.recv().await.is_some());
    let (counts, asked) = setup.close().await;
    assert_eq!((counts, asked.len()), ((0, 0, 2), 0));
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_is_left_and_does_not_wait_for_a_dead_collector() {
    let setup = Setup::new([]);
    setup.record(6);
    let (counts, asked) = setup.close().await;
    assert_eq!((counts, asked), ((6, 0, 0), vec![Duration::ZERO; 2]), "two batches, at once");
    let mut setup = Setup::new((0..9).map(|_| unavailable(Some(20))));
    setup.record(1);
    assert_eq!(setup.asked.recv().await, Some(Duration::from_secs(5)));
    let (counts, asked) = setup.close().await;
    assert_eq!((counts, asked), ((0, 0, 1), vec![Duration::from_secs(5)]), "one more try");
}

#[test]
fn a_message_is_written_as_the_format_says() {
    let mut message = Writer::default();
    message.number(1, 150);
    message.number(2, 0);
    message.bytes(2, b"testing");
    message.fixed64(7, 1);
    message.fixed32(16, 0x301);
    message.int64(3, -1);
    message.message(9, |inner| inner.double(4, 0.5));
    let expected = [
        &[0x08, 0x96, 0x01][..],
        &[0x12, 0x07],
        b"testing",
        &[0x39, 1, 0, 0, 0, 0, 0, 0, 0],
        &[0x85, 0x01, 0x01, 0x03, 0, 0],
        &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x4a, 0x09, 0x21, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
    ];
    assert_eq!(message.finish(), expected.concat());
}

#[test]
fn reading_ends_where_a_message_is_malformed() {
    let fields = |bytes: &[u8]| Reader(bytes).map(|(field, _)| field).collect::<Vec<_>>();
    assert_eq!(fields(&[0x08, 0x01, 0x12, 0x01, b'x']), [1, 2]);
    for bad in [&[0x08][..], &[0x12, 0x02, b'x'], &[0x0b], &[0x80; 11], &[0x09, 1, 2], &[0x0d]] {
        assert_eq!(fields(&[&[0x08, 0x01], bad].concat()), [1], "{bad:?}");
    }
    assert_eq!(Reader(&[0x15, 2, 0, 0, 0]).next(), Some((2, Field::Number(2))));
}

#[test]
fn an_answer_says_how_many_spans_were_rejected() {
    let mut partial = Writer::default();
    partial.message(1, |partial| {
        partial.bytes(2, b"too old");
        partial.number(1, 300);
    });
    assert_eq!(encode::rejected_spans(&partial.finish()), 300);
    for answer in [&[][..], &[0x0a, 0x00], b"<html>", &[0x0a, 0x7f]] {
        assert_eq!(encode::rejected_spans(answer), 0, "{answer:?}");
    }
}

/// A span as `protoc --decode` would show it, by our own reader.
#[test]
fn a_span_carries_ids_times_and_attributes_in_their_fields() {
    let spans = SpanQueue::new(1, 1, Counter::default());
    let tracer = Tracer { ratio: Ratio::new(1.0), respects_parent: true, spans };
    let clock = Clock::manual(Timestamp::from_unix_seconds(1));
    let mut headers = HeaderMap::new();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
    headers.insert("traceparent", parent.parse().expect("a value"));
    let mut trace = TraceContext::from_headers(&headers, true);
    let mut span = trace.record(&tracer, &clock, (clock.wall(), clock.now()));
    span.rename(|| "GET".to_owned());
    span.note(|attributes| attributes.push(("n", crate::trace_context::Value::Integer(0))));
    span.fail(|| crate::trace_context::Value::Word("500"));
    span.end();
    let batch = tracer.spans.take_batch();
    let request = encode::export_request(&encode::resource(&[]), &batch);
    let inner = |bytes, wanted| {
        let found = Reader(bytes).find(|(field, _)| *field == wanted);
        match found {
            Some((_, Field::Bytes(bytes))) => bytes,
            other => panic!("no message at {wanted}: {other:?}"),
        }
    };
    let span = inner(inner(inner(&request, 1), 2), 2);
    let fields: Vec<_> = Reader(span).collect();
    let number =
        |wanted| fields.iter().find(|(field, _)| *field == wanted).map(|(_, value)| *value);
    assert_eq!(inner(span, 1)[..3], [0x4b, 0xf9, 0x2f]);
    assert_eq!(inner(span, 2).len(), 8);
    assert_eq!(inner(span, 4), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!(inner(span, 5), b"GET");
    assert_eq!(number(6), Some(Field::Number(2)), "a server's");
    assert_eq!(number(7), Some(Field::Number(1_000_000_000)));
    assert_eq!(number(16), Some(Field::Number(0x303)), "sampled, random, a remote parent");
    assert_eq!(inner(span, 9), [0x0a, 1, b'n', 0x12, 2, 0x18, 0]);
    assert_eq!(inner(span, 15), [0x18, 2], "an error");
}
