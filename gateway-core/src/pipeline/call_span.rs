//! Spans of calls: one for each call to a service or part of an aggregate, and within it one for
//! each attempt. A service sees its attempt as the parent.
//!
//! Names and attributes are those of OpenTelemetry's conventions for HTTP clients. An attempt ends
//! with the head of its answer; a part of an aggregate when its body is there.
//!
//! Not here: what is called and how often (`calls`).

use std::sync::Arc;

use http::{Method, Request};

use crate::aggregation::caller::{PartAnswer, PartFailure};
use crate::aggregation::part_cache::CacheUse;
use crate::body::Body;
use crate::clock::Moment;
use crate::error::Refusal as _;
use crate::pipeline::request_span::{method, version};
use crate::site::Service;
use crate::trace_context::{OpenSpan, SpanKind, TraceContext, Value};
use crate::upstream::{Answer, CallFailed, Target};

/// A call that is under way; where the trace is not recorded, nothing.
#[derive(Debug)]
pub(super) struct CallSpan {
    span: OpenSpan,
    method: &'static str,
    /// Without its query; empty where nothing is recorded.
    path: Box<str>,
}

impl CallSpan {
    /// Begins a call to a service.
    pub(super) fn of_service(
        trace: &TraceContext,
        service: &Service,
        request: &Request<Body>,
    ) -> Self {
        let span = trace.span(SpanKind::Internal, || format!("call {}", service.name));
        Self::begin(span, service, (request.method(), request.uri().path()))
    }

    /// Begins a call of an aggregate's part.
    pub(super) fn of_part(
        trace: &TraceContext,
        part: &Arc<str>,
        service: &Service,
        (method, path): (&Method, &str),
    ) -> Self {
        let mut span = trace.span(SpanKind::Internal, || format!("part {part}"));
        span.note(|attributes| attributes.push(("gateway.part", Value::Name(Arc::clone(part)))));
        Self::begin(span, service, (method, path))
    }

    fn begin(mut span: OpenSpan, service: &Service, (verb, path): (&Method, &str)) -> Self {
        let mut kept = Box::default();
        span.note(|attributes| {
            attributes.push(("gateway.service", Value::Name(Arc::clone(&service.name))));
            kept = path.into();
        });
        Self { span, method: method(verb), path: kept }
    }

    /// Begins an attempt; the first is 1.
    pub(super) fn attempt(&self, number: u32, target: &Target) -> OpenSpan {
        let mut attempt = self.span.span(SpanKind::Client, || self.method.to_owned());
        attempt.note(|attributes| {
            let (host, port) = (target.host(), target.port());
            attributes.push(("http.request.method", Value::Word(self.method)));
            attributes.push(("server.address", Value::Text(host.into())));
            attributes.push(("server.port", Value::Integer(port.into())));
            let url = format!("{}://{}{}", target.scheme(), target.authority(), self.path);
            attributes.push(("url.full", Value::Text(url.into())));
            if number > 1 {
                let again = i64::from(number) - 1;
                attributes.push(("http.request.resend_count", Value::Integer(again)));
            }
        });
        attempt
    }

    /// Ends a service's call with what came of its last attempt.
    pub(super) fn end(mut self, outcome: &Result<Answer, CallFailed>) {
        note_failure(&mut self.span, outcome);
        self.span.end();
    }

    /// Ends a part's call.
    pub(super) fn end_part(mut self, outcome: &Result<PartAnswer, PartFailure>) {
        match outcome {
            Ok(answer) if answer.status.is_server_error() => {
                self.span.fail(|| Value::Text(answer.status.as_str().into()));
            }
            Ok(_) => {}
            Err(failed) => self.span.fail(|| Value::Word(failed.reason.as_str())),
        }
        self.span.end();
    }
}

/// Ends an attempt with what came of it.
pub(super) fn end_attempt(mut attempt: OpenSpan, outcome: &Result<Answer, CallFailed>) {
    attempt.note(|attributes| {
        let Ok(answer) = outcome else { return };
        let status = answer.response.status().as_u16();
        attributes.push(("http.response.status_code", Value::Integer(status.into())));
        let version = version(answer.response.version());
        attributes.push(("network.protocol.version", Value::Word(version)));
        if answer.attempts > 1 {
            // The connection had died under it, and nobody but the gateway has noticed.
            let replays = i64::from(answer.attempts) - 1;
            attributes.push(("gateway.replays", Value::Integer(replays)));
        }
    });
    note_failure(&mut attempt, outcome);
    attempt.end();
}

/// For whoever has called, an answer of 400 or above is a failure.
fn note_failure(span: &mut OpenSpan, outcome: &Result<Answer, CallFailed>) {
    match outcome {
        Ok(answer) => {
            let status = answer.response.status();
            if status.is_client_error() || status.is_server_error() {
                span.fail(|| Value::Text(status.as_str().into()));
            }
        }
        Err(failed) => span.fail(|| Value::Word(failed.code())),
    }
}

/// A part that needed no call of its own: it was kept, or another request was fetching it.
pub(super) fn part_without_call(
    trace: &TraceContext,
    part: &Arc<str>,
    cache: CacheUse,
    begun: Moment,
) {
    let mut span = trace.span(SpanKind::Internal, || format!("part {part}"));
    span.begun(begun);
    span.note(|attributes| {
        attributes.push(("gateway.part", Value::Name(Arc::clone(part))));
        attributes.push(("gateway.cache", Value::Word(cache.as_str())));
    });
    span.end();
}
