//! Spans: pieces of a request's work, timed and named.

use std::num::NonZeroU64;
use std::sync::Arc;

use http::HeaderValue;
use rand::RngExt as _;

use super::parent::number;
use super::{Flags, Origin, SpanQueue, TraceContext};
use crate::clock::{Clock, Moment, Timestamp};

/// A span's id within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// The id of that number; zero is none.
    pub(super) fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    pub(super) fn random() -> Self {
        let number = rand::rng().random_range(1..=u64::MAX);
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// Whose work a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// The gateway's own.
    Internal,
    /// A request's, from outside.
    Server,
    /// A call's, to outside.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text of our own.
    Word(&'static str),
    /// A name from the configuration.
    Name(Arc<str>),
    /// Any other text.
    Text(Box<str>),
    /// A number.
    Integer(i64),
    /// A share.
    Float(f64),
}

/// What is known of a span beside its times. Never a query, a header value, a body or an identity.
pub type Attributes = Vec<(&'static str, Value)>;

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace's id.
    pub trace_id: [u8; 16],
    /// Its own id.
    pub id: SpanId,
    /// The span it is a part of.
    pub parent: Option<SpanId>,
    /// Whether that one is another process's.
    pub is_parent_remote: bool,
    /// The trace's flags, as in `traceparent`.
    pub flags: u8,
    /// The trace's `tracestate`.
    pub state: Option<HeaderValue>,
    /// Whose work it is.
    pub kind: SpanKind,
    /// One of few names.
    pub name: String,
    /// When the work began.
    pub started: Timestamp,
    /// When it had ended.
    pub ended: Timestamp,
    /// What is known of it.
    pub attributes: Attributes,
    /// Whether the work has failed.
    pub has_failed: bool,
}

/// What all spans of one request share.
#[derive(Debug)]
pub(super) struct Recorder {
    trace_id: [u8; 16],
    flags: Flags,
    state: Option<HeaderValue>,
    caller: Option<SpanId>,
    root: SpanId,
    queue: SpanQueue,
    clock: Clock,
    started: (Timestamp, Moment),
}

impl Recorder {
    pub(super) fn new(
        trace: &TraceContext,
        queue: SpanQueue,
        clock: &Clock,
        started: (Timestamp, Moment),
    ) -> Self {
        let (high, low) = trace.trace_id.split_at(16);
        let bytes = |digits| u128::from(number(digits).unwrap_or(0));
        Self {
            trace_id: ((bytes(high) << 64) | bytes(low)).to_be_bytes(),
            flags: trace.flags,
            state: trace.state.clone(),
            caller: match trace.origin {
                Origin::Here => None,
                Origin::Proxy(span) | Origin::Client(span) => Some(span),
            },
            root: SpanId::random(),
            queue,
            clock: clock.clone(),
            started,
        }
    }

    /// The request's own span, from its start.
    pub(super) fn root(self: &Arc<Self>) -> OpenSpan {
        let begun = self.started.1;
        self.open((self.root, self.caller), (SpanKind::Server, String::new()), begun)
    }

    /// A span within the request's own, from now on.
    pub(super) fn child(self: &Arc<Self>, kind: SpanKind, name: String) -> OpenSpan {
        self.open((SpanId::random(), Some(self.root)), (kind, name), self.clock.now())
    }

    fn open(
        self: &Arc<Self>,
        (id, parent): (SpanId, Option<SpanId>),
        (kind, name): (SpanKind, String),
        begun: Moment,
    ) -> OpenSpan {
        let started = self.at(begun);
        let span = Span {
            trace_id: self.trace_id,
            id,
            parent,
            is_parent_remote: id == self.root && parent.is_some(),
            flags: self.flags.bits(),
            state: self.state.clone(),
            kind,
            name,
            started,
            ended: started,
            attributes: Vec::new(),
            has_failed: false,
        };
        OpenSpan(Some(Box::new(Open { recorder: Arc::clone(self), span, has_ended: false })))
    }

    /// Wall time by the monotonic clock: no length within a trace is wrong because a clock was set.
    fn at(&self, moment: Moment) -> Timestamp {
        let (wall, monotonic) = self.started;
        wall.after(moment.since(monotonic))
    }
}

/// Work that is being timed, until [`OpenSpan::end`]; by default of a trace that is not recorded,
/// and then everything here does nothing.
///
/// Dropped before its end, it was given up: it is recorded as failed, with the error type
/// `cancelled`.
#[derive(Debug, Default)]
pub struct OpenSpan(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    recorder: Arc<Recorder>,
    span: Span,
    has_ended: bool,
}

impl OpenSpan {
    /// A span that is not recorded.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether anything of what is noted is kept.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a piece of this span's work.
    #[must_use]
    pub fn span(&self, kind: SpanKind, name: impl FnOnce() -> String) -> Self {
        let Some(open) = &self.0 else { return Self::none() };
        let (id, recorder) = (SpanId::random(), &open.recorder);
        recorder.open((id, Some(open.span.id)), (kind, name()), recorder.clock.now())
    }

    /// The `traceparent` of the call that this span is; one of a span that nobody records, where it
    /// is not recorded.
    #[must_use]
    pub fn traceparent(&self, trace: &TraceContext) -> HeaderValue {
        self.0.as_ref().map_or_else(|| trace.child(), |open| trace.parent_of(open.span.id))
    }

    /// Notes what is known, if it is recorded.
    pub fn note(&mut self, write: impl FnOnce(&mut Attributes)) {
        if let Some(open) = &mut self.0 {
            write(&mut open.span.attributes);
        }
    }

    /// Names it, if it is recorded.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(open) = &mut self.0 {
            open.span.name = name();
        }
    }

    /// Notes that the work had begun earlier.
    pub fn begun(&mut self, moment: Moment) {
        if let Some(open) = &mut self.0 {
            open.span.started = open.recorder.at(moment);
        }
    }

    /// Notes that the work has failed, and how: one of few words.
    pub fn fail(&mut self, error: impl FnOnce() -> Value) {
        if let Some(open) = &mut self.0 {
            open.span.has_failed = true;
            open.span.attributes.push(("error.type", error()));
        }
    }

    /// The work is done.
    pub fn end(mut self) {
        if let Some(open) = &mut self.0 {
            open.has_ended = true;
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { recorder, mut span, has_ended } = *open;
        span.ended = recorder.at(recorder.clock.now());
        if !has_ended {
            span.has_failed = true;
            span.attributes.push(("error.type", Value::Word("cancelled")));
        }
        recorder.queue.push(span);
    }
}
