//! Reading an answer's body: by length, by chunks, or until the connection ends.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

use super::failed::Failed;

/// Pieces up to this are copied out of the buffer, so that it can be used again.
pub(super) const COPIED_MAX: usize = 4 * 1024;

/// Bytes of the line that begins a chunk.
const SIZE_LINE_MAX: usize = 1024;

/// Bytes, and fields, after the last chunk.
const TRAILERS_SIZE_MAX: usize = 8 * 1024;
const TRAILERS_MAX: usize = 32;

/// What is left of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Nothing.
    Done,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked(Place),
    /// Whatever comes before the connection ends.
    UntilEnd,
}

/// Where in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before a chunk's size.
    Size,
    /// So many bytes before a chunk's end.
    Data(u64),
    /// Before the line end that closes a chunk.
    AfterData,
    /// After the last chunk.
    Trailers,
}

impl Decoder {
    pub(super) const fn length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    pub(super) const fn chunked() -> Self {
        Self::Chunked(Place::Size)
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether the end of the connection is the end of the answer.
    pub(super) const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilEnd)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match *self {
            Self::Done => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(left),
            Self::Chunked(_) | Self::UntilEnd => SizeHint::default(),
        }
    }

    /// The next frame of what is `unread`; `None` when more must be read first, or at the end.
    ///
    /// # Errors
    ///
    /// [`Failed::Malformed`], again and again.
    pub(super) fn decode(&mut self, unread: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Failed> {
        match self {
            Self::Done => Ok(None),
            Self::Length(left) => {
                let piece = take(unread, *left);
                *self = Self::length(*left - length_of(piece.as_ref()));
                Ok(piece.map(Frame::data))
            }
            Self::UntilEnd => Ok(take(unread, u64::MAX).map(Frame::data)),
            Self::Chunked(_) => self.decode_chunk(unread),
        }
    }

    fn decode_chunk(&mut self, unread: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Failed> {
        self.skip_to_data(unread)?;
        match self {
            Self::Chunked(Place::Data(left)) => {
                let piece = take(unread, *left);
                *left -= length_of(piece.as_ref());
                // That the answer has ended is known with its last piece where it can be. What is
                // wrong there is found again by whoever asks for more.
                let _ = self.skip_to_data(unread);
                Ok(piece.map(Frame::data))
            }
            Self::Chunked(Place::Trailers) => {
                let trailers = trailers(unread)?;
                if trailers.is_some() {
                    *self = Self::Done;
                }
                Ok(trailers.filter(|fields| !fields.is_empty()).map(Frame::trailers))
            }
            _ => Ok(None),
        }
    }

    /// Reads what stands between data, and the end where no trailers are before it.
    fn skip_to_data(&mut self, unread: &mut BytesMut) -> Result<(), Failed> {
        while let Self::Chunked(place) = self {
            match place {
                Place::Data(0) => *place = Place::AfterData,
                Place::AfterData if unread.starts_with(b"\r\n") => {
                    unread.advance(2);
                    *place = Place::Size;
                }
                Place::AfterData if b"\r\n".starts_with(unread) => break,
                Place::AfterData => return Err(Failed::Malformed("a chunk longer than its size")),
                Place::Size => match size(unread)? {
                    Some(0) => *place = Place::Trailers,
                    Some(size) => *place = Place::Data(size),
                    None => break,
                },
                Place::Trailers if unread.starts_with(b"\r\n") => {
                    unread.advance(2);
                    *self = Self::Done;
                }
                Place::Data(_) | Place::Trailers => break,
            }
        }
        Ok(())
    }
}

fn length_of(piece: Option<&Bytes>) -> u64 {
    piece.map_or(0, |piece| u64::try_from(piece.len()).unwrap_or(u64::MAX))
}

/// What is there, up to `max` bytes.
fn take(unread: &mut BytesMut, max: u64) -> Option<Bytes> {
    let length = usize::try_from(max).unwrap_or(usize::MAX).min(unread.len());
    if length == 0 {
        return None;
    }
    if length > COPIED_MAX {
        return Some(unread.split_to(length).freeze());
    }
    let piece = unread.get(..length).map(Bytes::copy_from_slice);
    unread.advance(length);
    piece
}

/// A chunk's size; extensions mean nothing to a gateway and are dropped.
fn size(unread: &mut BytesMut) -> Result<Option<u64>, Failed> {
    const MALFORMED: Failed = Failed::Malformed("a chunk's size");
    let Some(end) = memchr::memchr(b'\n', unread) else {
        return if unread.len() > SIZE_LINE_MAX { Err(MALFORMED) } else { Ok(None) };
    };
    let line = unread.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(MALFORMED)?;
    if line.len() > SIZE_LINE_MAX || line.contains(&b'\r') {
        return Err(MALFORMED);
    }
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits.trim_ascii_end()).map_err(|_| MALFORMED)?;
    // `from_str_radix` takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(MALFORMED);
    }
    let size = u64::from_str_radix(digits, 16).map_err(|_| MALFORMED)?;
    unread.advance(end + 1);
    Ok(Some(size))
}

/// The fields after the last chunk, once all of them are there.
fn trailers(unread: &mut BytesMut) -> Result<Option<HeaderMap>, Failed> {
    const MALFORMED: Failed = Failed::Malformed("a trailer field");
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let (length, fields) = match httparse::parse_headers(unread, &mut fields) {
        Ok(httparse::Status::Complete(parsed)) if parsed.0 <= TRAILERS_SIZE_MAX => parsed,
        Ok(httparse::Status::Partial) if unread.len() <= TRAILERS_SIZE_MAX => return Ok(None),
        _ => return Err(MALFORMED),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| MALFORMED)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| MALFORMED)?;
        trailers.append(name, value);
    }
    unread.advance(length);
    Ok(Some(trailers))
}
