//! Writing a request: its head, how long its body is, and the body as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use http_body::Body as _;

use crate::body::{Body, BodyError};
use crate::json_object::{Digits, decimal};

/// A request's body on its way out.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    framing: Framing,
}

/// How the service knows where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none, or it has been written with the head.
    Written,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// The body does not have the length that was announced for it.
#[derive(Debug, thiserror::Error)]
#[error("the request's body is not as long as its head says")]
struct WrongLength;

/// Writes the head, and the body where it is at hand.
pub(super) fn write(parts: &Parts, body: Body, out: &mut BytesMut) -> Upload {
    out.put_slice(parts.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(parts.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        // How long the body is, the connection itself decides.
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            write_field(name.as_str(), value.as_bytes(), out);
        }
    }
    let framing = framing(&parts.method, &parts.headers, &body);
    match framing {
        Framing::Written => {}
        Framing::Length(length) => {
            out.put_slice(b"content-length: ");
            out.put_slice(decimal(length, &mut Digits::default()));
            out.put_slice(b"\r\n");
        }
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.put_slice(b"\r\n");
    Upload { body, framing }.with_what_is_at_hand(out)
}

fn write_field(name: &str, value: &[u8], out: &mut BytesMut) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn framing(method: &Method, headers: &HeaderMap, body: &Body) -> Framing {
    if body.is_end_stream() {
        // RFC 9110 §8.6: where a body is meant, that there is none is said.
        let means_one = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        return if means_one { Framing::Length(0) } else { Framing::Written };
    }
    let announced = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    match body.size_hint().exact().or_else(announced) {
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

impl Upload {
    fn with_what_is_at_hand(mut self, out: &mut BytesMut) -> Self {
        if let (Body::Full(full), Framing::Length(_)) = (&self.body, self.framing) {
            // Cloned, so that a request of which nothing was sent can be given back.
            let mut copy = full.clone();
            let mut context = Context::from_waker(std::task::Waker::noop());
            while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut copy).poll_frame(&mut context) {
                out.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
            }
            self.framing = Framing::Written;
        }
        self
    }

    /// The body, of which nothing has been taken.
    pub(super) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// `None` where all of it has been written.
    pub(super) fn unfinished(self) -> Option<Self> {
        (self.framing != Framing::Written && self.framing != Framing::Length(0)).then_some(self)
    }

    /// Writes the body's next piece; `false` when all of it has been written.
    pub(super) fn poll_next(
        &mut self,
        out: &mut BytesMut,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, BodyError>> {
        if self.framing == Framing::Written {
            return Poll::Ready(Ok(false));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(frame) => frame?,
            None => return Poll::Ready(self.end(None, out).map(|()| true)),
        };
        match frame.into_data() {
            Ok(data) => self.piece(&data, out)?,
            Err(frame) => self.end(frame.trailers_ref(), out)?,
        }
        Poll::Ready(Ok(true))
    }

    fn piece(&mut self, data: &Bytes, out: &mut BytesMut) -> Result<(), WrongLength> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(length).ok_or(WrongLength)?;
                out.extend_from_slice(data);
            }
            // An empty chunk would be the last.
            Framing::Chunked if length > 0 => {
                out.extend_from_slice(format!("{length:x}\r\n").as_bytes());
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Framing::Chunked | Framing::Written => {}
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>, out: &mut BytesMut) -> Result<(), BodyError> {
        match std::mem::replace(&mut self.framing, Framing::Written) {
            Framing::Chunked => {
                out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    write_field(name.as_str(), value.as_bytes(), out);
                }
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
            Framing::Length(0) | Framing::Written => Ok(()),
            Framing::Length(_) => Err(WrongLength.into()),
        }
    }
}
