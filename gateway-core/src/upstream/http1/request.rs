//! A request on its way out: its head, how long its body is, and the body as it comes.
//!
//! What has been written of it stays until the answer begins, so that a request whose connection
//! had died goes out again as it is.
//!
//! Not here: when it may go out again (`client`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body::Body as _;

use super::head::{AnswerFields, Asked};
use crate::body::{Body, BodyError};
use crate::json_object::{Digits, decimal};
use crate::upstream::own_fields::OwnFields;

/// Bytes that a connection keeps room for between two requests.
const ROOM_KEPT: usize = 16 * 1024;

/// A request, written down.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Outgoing {
    /// The head, and what there is of the body; from its second piece on, only the latest.
    bytes: Vec<u8>,
    /// How much of them the stream has taken.
    sent: usize,
    /// Whether the stream has taken anything.
    has_begun: bool,
    /// Whether all of it was at hand, and so is still here.
    is_whole: bool,
    /// What is left of a body that was not at hand.
    upload: Option<Upload>,
    /// Whether part of its body was given up.
    is_cut_off: bool,
    /// How its answer is read.
    asked: Asked,
    /// Whether it asks for another protocol.
    may_switch: bool,
}

/// A request's body on its way out.
#[derive(Debug)]
struct Upload {
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

impl Outgoing {
    /// A request, written into `room`, which is whatever there is of it. `common` are lines of
    /// fields that it has beside its own; those in `own` stand in place of what it says itself.
    pub(in crate::upstream) fn of(
        request: Request<Body>,
        (common, own): (&[u8], &OwnFields),
        mut room: Vec<u8>,
    ) -> Self {
        room.clear();
        let (parts, body) = request.into_parts();
        let upload = write(&parts, (common, own), body, &mut room);
        let asked = Asked { is_head: parts.method == Method::HEAD, ..Asked::default() };
        let is_whole = upload.is_none();
        Self { bytes: room, is_whole, upload, asked, ..Self::default() }
    }

    /// The same for whoever looks at these fields of the answer only.
    pub(in crate::upstream) const fn wanting(mut self, wants: AnswerFields) -> Self {
        self.asked.wants = wants;
        self
    }

    /// The same for a request that asks for another protocol.
    pub(in crate::upstream) fn of_upgrade(request: Request<Body>) -> Self {
        Self { may_switch: true, ..Self::of(request, (&[], &OwnFields::default()), Vec::new()) }
    }

    /// Whether nothing of it was sent.
    pub(in crate::upstream) const fn is_untouched(&self) -> bool {
        !self.has_begun
    }

    /// The same from its first byte, where all of it was at hand.
    pub(in crate::upstream) fn again(mut self) -> Option<Self> {
        (self.sent, self.has_begun) = (0, false);
        self.is_whole.then_some(self)
    }

    pub(super) const fn asked(&self) -> Asked {
        self.asked
    }

    pub(super) const fn may_switch(&self) -> bool {
        self.may_switch
    }

    /// What is to be sent next.
    pub(super) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// So much of it was.
    pub(super) const fn has_sent(&mut self, size: usize) {
        self.sent += size;
        self.has_begun = true;
    }

    /// Whether nothing more of it will be written down.
    pub(super) const fn has_no_more(&self) -> bool {
        self.upload.is_none()
    }

    /// Whether all of it has been sent.
    pub(super) fn is_sent(&self) -> bool {
        self.unsent().is_empty() && self.upload.is_none() && !self.is_cut_off
    }

    /// The memory that was written into.
    pub(super) fn into_room(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes down the body's next piece in place of what has been sent; `false` when all of it has
    /// been.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(false)) };
        self.bytes.clear();
        self.sent = 0;
        let more = ready!(upload.poll_next(&mut self.bytes, context));
        match &more {
            Ok(true) => {}
            Ok(false) => self.upload = None,
            Err(_) => self.drop_body(),
        }
        Poll::Ready(more)
    }

    /// Keeps no more memory than most requests need.
    pub(super) fn shrink(&mut self) {
        if self.is_sent() && self.bytes.capacity() > ROOM_KEPT {
            (self.bytes, self.sent) = (Vec::new(), 0);
        }
    }

    /// Lets go of the part of the body that has not been written down: it will not be sent.
    pub(super) fn drop_body(&mut self) {
        self.is_cut_off |= self.upload.take().is_some();
    }

    /// Gives up on what is left.
    pub(super) fn stop(&mut self) {
        self.drop_body();
        self.sent = self.bytes.len();
    }
}

/// Writes the head, and the body where it is at hand; returns the rest of it.
fn write(
    parts: &Parts,
    (common, own): (&[u8], &OwnFields),
    body: Body,
    out: &mut Vec<u8>,
) -> Option<Upload> {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(own.iter(), out);
    write_fields(parts.headers.iter().filter(|(name, _)| !own.settles(name)), out);
    out.extend_from_slice(common);
    let framing = framing(&parts.method, &parts.headers, &body);
    match framing {
        Framing::Written => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(decimal(length, &mut Digits::default()));
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    Upload { body, framing }.without_what_is_at_hand(out)
}

/// Writes fields, but for those that tell how long a body is: that the connection itself decides.
pub(in crate::upstream) fn write_fields<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    out: &mut Vec<u8>,
) {
    for (name, value) in fields {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            write_field(name.as_str(), value.as_bytes(), out);
        }
    }
}

fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
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
    /// Writes what is at hand; `None` where that was all of it.
    fn without_what_is_at_hand(mut self, out: &mut Vec<u8>) -> Option<Self> {
        if matches!(self.framing, Framing::Written | Framing::Length(0)) {
            return None;
        }
        let (Body::Full(full), Framing::Length(_)) = (&mut self.body, self.framing) else {
            return Some(self);
        };
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *full).poll_frame(&mut context) {
            out.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        }
        None
    }

    /// Writes the body's next piece; `false` when all of it has been written.
    fn poll_next(
        &mut self,
        out: &mut Vec<u8>,
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

    fn piece(&mut self, data: &Bytes, out: &mut Vec<u8>) -> Result<(), WrongLength> {
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

    fn end(&mut self, trailers: Option<&HeaderMap>, out: &mut Vec<u8>) -> Result<(), BodyError> {
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
