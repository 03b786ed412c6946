//! Trace context: which trace a request belongs to, in and out, and the spans of those traces that
//! are recorded.
//!
//! Source: W3C Trace Context, levels 1 and 2, and W3C Baggage. A valid `traceparent` is continued,
//! with a span of its own for each call; anything else starts a new trace.
//!
//! Read in this order: [`TraceContext`] is the trace of one request, `parent` reads and writes
//! `traceparent`, `state` and `baggage` what travels beside it; [`Tracer`] decides which traces are
//! recorded, [`OpenSpan`] is a piece of work that is being timed, [`SpanQueue`] where it goes.
//!
//! Invariants
//! - No client can decide what is recorded: the sampled flag, and the trace id as a lot, count from
//!   listed proxies only.
//! - Of a trace that is not recorded, nothing is allocated, locked or timed.
//! - Whoever records never waits: a span that finds no room is dropped and counted.
//!
//! Not here: how spans leave the process (`observability::otlp`).

mod baggage;
mod parent;
mod queue;
mod sampler;
mod span;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use self::parent::Parent;
pub use self::queue::SpanQueue;
pub use self::sampler::{Ratio, Tracer};
use self::span::Recorder;
pub use self::span::{Attributes, OpenSpan, Span, SpanId, SpanKind, Value};
use crate::clock::{Clock, Moment, Timestamp};
use crate::header::TRACEPARENT;

/// The trace of one request.
#[derive(Debug, Clone)]
pub struct TraceContext {
    trace_id: TraceId,
    flags: Flags,
    origin: Origin,
    state: Option<HeaderValue>,
    baggage: Option<HeaderValue>,
    /// Where spans of this request go, if it is recorded.
    recorder: Option<Arc<Recorder>>,
}

/// 32 hex digits in small letters, not all zero.
type TraceId = [u8; 32];

/// What a `traceparent` says beside its ids. Unknown flags are not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flags {
    /// The caller may have recorded its span.
    is_sampled: bool,
    /// The last seven bytes of the trace id are random (level 2). It never changes within a trace.
    is_random: bool,
}

/// Who began the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This gateway.
    Here,
    /// A listed proxy, or somebody before it, and this was its span.
    Proxy(SpanId),
    /// Anybody.
    Client(SpanId),
}

impl TraceContext {
    /// The trace that a request's head continues, or a new one. Baggage and the sampled flag count
    /// only from a listed proxy.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, is_from_proxy: bool) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let only = parents.next().filter(|_| parents.next().is_none());
        let baggage = if is_from_proxy { baggage::read(headers) } else { None };
        let recorder = None;
        let Some(parent) = only.and_then(|parent| Parent::parse(parent.as_bytes())) else {
            let flags = Flags { is_sampled: false, is_random: true };
            let (trace_id, origin) = (parent::new_trace_id(), Origin::Here);
            return Self { trace_id, flags, origin, state: None, baggage, recorder };
        };
        let Parent { trace_id, span, flags } = parent;
        let (is_sampled, origin) = match is_from_proxy {
            true => (flags.is_sampled, Origin::Proxy(span)),
            false => (false, Origin::Client(span)),
        };
        let flags = Flags { is_sampled, ..flags };
        Self { trace_id, flags, origin, state: state::read(headers), baggage, recorder }
    }

    /// The trace's id: 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.trace_id).unwrap_or_default()
    }

    /// Lets `tracer` decide whether this trace is recorded, and opens the request's span if so.
    /// `started` is when the request's head had arrived, by both kinds of time.
    pub fn record(
        &mut self,
        tracer: &Tracer,
        clock: &Clock,
        started: (Timestamp, Moment),
    ) -> OpenSpan {
        self.flags.is_sampled = tracer.samples(self);
        if !self.flags.is_sampled {
            return OpenSpan::none();
        }
        let recorder = Arc::new(Recorder::new(self, tracer.spans.clone(), clock, started));
        let root = recorder.root();
        self.recorder = Some(recorder);
        root
    }

    /// Begins a piece of the request's work; where the trace is not recorded, that is nothing.
    /// `name` must be one of few.
    #[must_use]
    pub fn span(&self, kind: SpanKind, name: impl FnOnce() -> String) -> OpenSpan {
        self.recorder.as_ref().map_or_else(OpenSpan::none, |recorder| recorder.child(kind, name()))
    }

    /// A `traceparent` for one call: this trace, a span of its own.
    #[must_use]
    pub fn child(&self) -> HeaderValue {
        self.parent_of(SpanId::random())
    }

    /// The `traceparent` of a call that is made in that span.
    fn parent_of(&self, span: SpanId) -> HeaderValue {
        Parent { trace_id: self.trace_id, span, flags: self.flags }.write()
    }

    /// The same trace without what vendors, or a client, have added.
    #[must_use]
    pub fn without_state(&self) -> Self {
        Self { state: None, baggage: None, ..self.clone() }
    }

    /// What vendors have added, to be passed on.
    #[must_use]
    pub const fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// What the applications before this one pass on to those after it.
    #[must_use]
    pub const fn baggage(&self) -> Option<&HeaderValue> {
        self.baggage.as_ref()
    }
}
