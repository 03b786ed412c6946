//! Bodies: one type for what clients and upstreams send, so that pass-through never boxes.
//!
//! A service's body is a variant of its own ([`ServiceBody`]): each answer has one. Whoever cuts a
//! client's body off says why with a [`BodyRefused`], which every later error carries along.
//!
//! Not here: limits on bodies (`guard` for clients, `upstream` for services), and the count of
//! bytes for the record (`pipeline`).

mod count;
mod refused;
mod service;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

pub use count::ByteCount;
pub use refused::BodyRefused;
pub use service::{Carry, ReadTimedOut, ServiceBody};

/// Why a body ended early, in words for the log.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or an answer's body.
#[derive(Debug)]
pub enum Body {
    /// Bytes that are already here; empty for no body.
    Full(Full<Bytes>),
    /// Straight from a connection.
    Incoming(Incoming),
    /// A service's answer, timed, with its permit.
    Service(ServiceBody),
    /// Anything else: limited, timed, composed.
    Boxed(UnsyncBoxBody<Bytes, BodyError>),
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Full(Full::default())
    }

    /// Whether all of it is here.
    #[must_use]
    pub const fn is_at_hand(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Any body at all, at the price of a box.
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        use http_body_util::BodyExt as _;
        Self::Boxed(body.map_err(Into::into).boxed_unsync())
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Full::new(bytes))
    }
}

impl From<Full<Bytes>> for Body {
    fn from(body: Full<Bytes>) -> Self {
        Self::Full(body)
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::Incoming(incoming)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Incoming(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Service(body) => Pin::new(body).poll_frame(context),
            Self::Boxed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Incoming(body) => body.is_end_stream(),
            Self::Service(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Incoming(body) => body.size_hint(),
            Self::Service(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}
