//! A request's own span: opened with its record, closed with it, and telling the same.
//!
//! Names and attributes are those of OpenTelemetry's conventions for HTTP servers; what is the
//! gateway's alone is called `gateway.…`. Like the record, it never holds a query, a header value or
//! a body; and it does not say who asked, because spans often leave the house.

use http::request::Parts;
use http::{Method, Version};

use crate::clock::{Moment, Timestamp};
use crate::pipeline::Core;
use crate::record::{CacheOutcome, Record};
use crate::site::Route;
use crate::trace_context::{OpenSpan, TraceContext, Value};

/// Lets the tracer decide, and opens the span of a request that is recorded.
pub(super) fn open(
    core: &Core,
    trace: &mut TraceContext,
    head: &Parts,
    started: (Timestamp, Moment),
) -> OpenSpan {
    let Some(tracer) = &core.tracer else { return OpenSpan::none() };
    let mut span = trace.record(tracer, &core.clock, started);
    span.note(|attributes| {
        attributes.push(("http.request.method", Value::Word(method(&head.method))));
        attributes.push(("network.protocol.version", Value::Word(version(head.version))));
    });
    span
}

/// Names it by its route, of which there are few; without one by the method alone.
pub(super) fn name(span: &mut OpenSpan, route: Option<&Route>, record: &Record) {
    if !span.is_recorded() {
        return;
    }
    let method = method(&record.method);
    // What the conventions call a span of a method that is none of theirs.
    let verb = if method == OTHER { "HTTP" } else { method };
    let Some(route) = route else { return span.rename(|| verb.to_owned()) };
    span.rename(|| format!("{verb} {}", route.template));
    span.note(|attributes| {
        attributes.push(("http.route", Value::Name(route.template.clone())));
        attributes.push(("gateway.route", Value::Name(route.name.clone())));
    });
}

/// Ends it with what the record says.
pub(super) fn close(mut span: OpenSpan, record: &Record) {
    if !span.is_recorded() {
        return;
    }
    span.note(|attributes| {
        attributes.push(("url.path", Value::Text(record.path.clone())));
        attributes.push(("http.response.status_code", Value::Integer(record.status.into())));
        attributes.push(("gateway.request_id", Value::Text(record.request_id.as_str().into())));
        attributes.push(("gateway.attempts", Value::Integer(record.attempts().into())));
        let millis = |length: std::time::Duration| Value::Float(length.as_secs_f64() * 1_000.0);
        attributes.push(("gateway.upstream_ms", millis(record.upstream)));
        attributes.push(("gateway.overhead_ms", millis(record.overhead())));
        if record.cache != CacheOutcome::None {
            attributes.push(("gateway.cache", Value::Word(record.cache.as_str())));
        }
        if let Some(completeness) = record.completeness {
            attributes.push(("gateway.completeness", Value::Float(completeness)));
        }
        if let Some(code) = record.code {
            attributes.push(("gateway.code", Value::Word(code)));
        }
    });
    // A client's mistake is no failure of the server's.
    if record.status >= 500 {
        span.fail(|| match record.code {
            Some(code) => Value::Word(code),
            None => Value::Text(record.status.to_string().into()),
        });
    } else if let Some(code) =
        record.code.filter(|&code| record.status < 400 && code != CLIENT_LEFT)
    {
        // The answer broke off, and its head had promised otherwise.
        span.fail(|| Value::Word(code));
    }
    span.end();
}

/// A client that leaves is no failure either.
const CLIENT_LEFT: &str = "client_disconnected";

/// What a method is called that is none of those that the conventions know.
const OTHER: &str = "_OTHER";

/// The method, which is one of few: a client could make up any number of others.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => OTHER,
    }
}

pub(super) const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
