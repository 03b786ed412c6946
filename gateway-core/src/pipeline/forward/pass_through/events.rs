//! A stream of events on its way through: when the gateway itself ends it.
//!
//! Events are not buffered, and not changed. The stream ends before its service does when whoever
//! opened it is not who they were any more (at once), when the gateway drains (between two events),
//! and when nothing has come for too long. Each time it ends as if the service had ended it, so that
//! an `EventSource` connects again, and learns then whether it may.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::{Body as HttpBody, Frame};

use crate::body::{Body, BodyError, ReadTimedOut, ServiceBody};
use crate::exchange::Exchange;
use crate::pipeline::{EndedBy, OpenStream, Streams};
use crate::record::LateFacts;

/// The code in the record of a stream that was silent for too long.
pub(in crate::pipeline) const IDLE_CODE: &str = "stream_idle";

/// Marks an answer whose body takes a service's time, not the gateway's.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct Streaming;

/// Whether the answer's body is still to come from a service.
pub(in crate::pipeline) fn streams(response: &Response<Body>) -> bool {
    matches!(response.body(), Body::Service(_))
        || response.extensions().get::<Streaming>().is_some()
}

/// Whether an answer is a stream of events.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let essence = value.unwrap_or_default().split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Enters an answer among the open streams if it is one.
pub(super) fn enter(
    response: Response<Body>,
    streams: &Arc<Streams>,
    exchange: &mut Exchange,
    idle_timeout: Duration,
) -> Response<Body> {
    if !is_stream(response.headers()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Body::Service(mut body) = body else { return Response::from_parts(head, body) };
    body.set_read_timeout(idle_timeout);
    let late = Arc::default();
    exchange.record.late = Some(Arc::clone(&late));
    let facts = LateFacts {
        upstream_service: exchange.record.upstream_service.clone(),
        upstream: exchange.record.upstream,
        ..LateFacts::default()
    };
    head.extensions.insert(Streaming);
    let events = Events {
        body: Some(body),
        open: streams.enter(exchange),
        place: Place::Between,
        ends_between: false,
        facts,
        late,
    };
    Response::from_parts(head, Body::boxed(events))
}

/// The body of a stream of events.
#[derive(Debug)]
struct Events {
    /// `None` once it is over.
    body: Option<ServiceBody>,
    open: OpenStream,
    place: Place,
    /// The gateway drains: the next end of an event is the end of the stream.
    ends_between: bool,
    facts: LateFacts,
    late: Arc<OnceLock<LateFacts>>,
}

/// Where in the stream its last byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind an empty line, or at the start.
    Between,
    /// Behind a line's end, by CR when that may be half of a CRLF.
    LineEnd { by_cr: bool },
    /// Anywhere else.
    Inside,
}

impl Place {
    /// The place behind more bytes. Lines end with LF, CR or CRLF.
    fn after(mut self, bytes: &[u8]) -> Self {
        // An end and an empty line need four bytes at most.
        let from = bytes.len().saturating_sub(4);
        if from > 0 {
            self = Self::Inside;
        }
        for &byte in bytes.get(from..).unwrap_or_default() {
            self = match (self, byte) {
                (Self::Between, b'\n' | b'\r') => Self::Between,
                (Self::LineEnd { by_cr: true }, b'\n') => Self::LineEnd { by_cr: false },
                (Self::LineEnd { .. }, b'\n' | b'\r') => Self::Between,
                (_, b'\n') => Self::LineEnd { by_cr: false },
                (_, b'\r') => Self::LineEnd { by_cr: true },
                _ => Self::Inside,
            };
        }
        self
    }
}

impl Events {
    /// Hangs up on the service and notes why.
    fn end(&mut self, code: &'static str) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.body = None;
        let _ = self.late.set(LateFacts { code: Some(code), ..self.facts.clone() });
        Poll::Ready(None)
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this.open.poll_ended(context) {
            Poll::Ready(EndedBy::Identity) => return this.end(EndedBy::Identity.code()),
            Poll::Ready(EndedBy::Drain) => this.ends_between = true,
            Poll::Pending => {}
        }
        if this.ends_between && this.place == Place::Between {
            return this.end(EndedBy::Drain.code());
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    this.place = this.place.after(bytes);
                }
            }
            Poll::Ready(Some(Err(error))) if error.is::<ReadTimedOut>() => {
                return this.end(IDLE_CODE);
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line_however_it_arrives() {
        let place = |pieces: &[&str]| {
            pieces.iter().fold(Place::Between, |place, piece| place.after(piece.as_bytes()))
        };
        for between in [
            &["data: 1\n\n"][..],
            &["data: 1\r\n\r\n"],
            &["data: 1\r\r"],
            &["data: 1\n", "\n"],
            &["data: 1\r", "\n", "\r", "\n"],
            &[": ping\n\n", "\n"],
            &[],
        ] {
            assert_eq!(place(between), Place::Between, "{between:?}");
        }
        for inside in
            [&["data: 1\n"][..], &["data: 1\r\n"], &["data: 1\r", "\n"], &["x"], &["\n", "data"]]
        {
            assert_ne!(place(inside), Place::Between, "{inside:?}");
        }
    }
}
