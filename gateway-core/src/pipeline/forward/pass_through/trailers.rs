//! Trailers on their way through, in both directions, without what they may not say.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError};
use crate::guard::spoofed_headers::SpoofedHeaders;
use crate::guard::trailers;
use crate::site::Site;

/// What a request's head says about trailers.
#[derive(Debug)]
pub(super) struct Rules {
    /// Whether it has some of its own, and the names that go on.
    has_own: bool,
    announced: Option<HeaderValue>,
    /// Whether it takes the answer's.
    wants: bool,
}

impl Rules {
    /// Reads them, before what holds for one connection only is dropped.
    pub(super) fn of(headers: &HeaderMap, spoofed: &SpoofedHeaders) -> Self {
        let has_own = headers.contains_key(header::TRAILER);
        let strip = |names: &mut HeaderMap| trailers::strip_request(names, spoofed);
        let announced = if has_own { trailers::announced(headers, strip) } else { None };
        Self { has_own, announced, wants: trailers::are_wanted(headers) }
    }

    pub(super) fn announce(&self, headers: &mut HeaderMap) {
        headers.extend(self.announced.clone().map(|names| (header::TRAILER, names)));
    }

    /// The service is told that trailers are welcome if they are.
    pub(super) fn ask_for(&self, headers: &mut HeaderMap) {
        if self.wants {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            // It holds for this connection, and must say so (RFC 9110 §10.1.4).
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
    }
}

/// The announcement of an answer's trailers, as far as they go on.
pub(super) fn announced(headers: &HeaderMap, site: &Site) -> Option<HeaderValue> {
    if !headers.contains_key(header::TRAILER) {
        return None;
    }
    trailers::announced(headers, |names| site.strip_trailers(names))
}

/// A client's body, whose trailers say nothing that they may not.
#[derive(Debug)]
pub(super) struct Filtered {
    body: Body,
    site: Arc<Site>,
    announced: Option<HeaderValue>,
}

impl Filtered {
    /// Wraps a body that may have trailers.
    pub(super) fn of_client(body: Body, site: &Arc<Site>, rules: &Rules) -> Body {
        // Those that were not announced have been dropped already.
        if !rules.has_own || body.is_end_stream() {
            return body;
        }
        Body::boxed(Self { body, site: Arc::clone(site), announced: rules.announced.clone() })
    }
}

impl HttpBody for Filtered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(fields) = frame.trailers_mut()
        {
            trailers::strip_request(fields, &this.site.spoofed_headers);
            trailers::keep_announced(fields, this.announced.as_ref());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
