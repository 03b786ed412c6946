//! Spans as OTLP's messages.
//!
//! Source: opentelemetry-proto, `trace/v1/trace.proto` and what it includes, all of it stable. The
//! numbers below are its field numbers.

use super::protobuf::{Field, Reader, Writer};
use crate::trace_context::{Span, SpanKind, Value};

/// Flags of a span: it is known whether the parent is another process's.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

const STATUS_ERROR: u64 = 2;

/// `Resource`: what is known of this process.
pub(super) fn resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut resource = Writer::default();
    for (key, value) in attributes {
        attribute(&mut resource, 1, key, |any| any.bytes(1, value.as_bytes()));
    }
    resource.finish()
}

/// `ExportTraceServiceRequest` with one resource and one scope.
pub(super) fn export_request(resource: &[u8], spans: &[Span]) -> Vec<u8> {
    let mut request = Writer::default();
    request.message(1, |resource_spans| {
        resource_spans.bytes(1, resource);
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, env!("CARGO_PKG_NAME").as_bytes());
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |message| write_span(message, span));
            }
        });
    });
    request.finish()
}

fn write_span(message: &mut Writer, span: &Span) {
    message.bytes(1, &span.trace_id);
    message.bytes(2, &span.id.get().to_be_bytes());
    if let Some(state) = &span.state {
        message.bytes(3, state.as_bytes());
    }
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.get().to_be_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    message.number(6, kind);
    message.fixed64(7, span.started.unix_nanos());
    message.fixed64(8, span.ended.unix_nanos());
    for (key, value) in &span.attributes {
        attribute(message, 9, key, |any| write_value(any, value));
    }
    if span.has_failed {
        message.message(15, |status| status.number(3, STATUS_ERROR));
    }
    let remote = if span.is_parent_remote { IS_REMOTE } else { 0 };
    message.fixed32(16, u32::from(span.flags) | HAS_IS_REMOTE | remote);
}

/// A `KeyValue` at a field.
fn attribute(message: &mut Writer, field: u64, key: &str, write: impl FnOnce(&mut Writer)) {
    message.message(field, |pair| {
        pair.bytes(1, key.as_bytes());
        pair.message(2, write);
    });
}

fn write_value(any: &mut Writer, value: &Value) {
    match value {
        Value::Word(text) => any.bytes(1, text.as_bytes()),
        Value::Name(text) => any.bytes(1, text.as_bytes()),
        Value::Text(text) => any.bytes(1, text.as_bytes()),
        Value::Integer(number) => any.int64(3, *number),
        Value::Float(number) => any.double(4, *number),
    }
}

/// `ExportTraceServiceResponse`: how many spans were rejected. What cannot be read rejects none.
pub(super) fn rejected_spans(response: &[u8]) -> u64 {
    let mut partial = Reader(response).filter_map(|field| match field {
        (1, Field::Bytes(partial)) => Some(partial),
        _ => None,
    });
    let rejected = partial.next().and_then(|partial| {
        Reader(partial).find_map(|field| match field {
            (1, Field::Number(rejected)) => Some(rejected),
            _ => None,
        })
    });
    rejected.unwrap_or(0)
}
