//! Reading an answer's head, and how its body ends (RFC 9112 §6.3).

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};

use super::decode::Decoder;
use super::failed::Failed;

/// Header fields of an answer.
const FIELDS_MAX: usize = 128;

/// How each answer begins; what does not is not waited for.
const PREFIX: &[u8] = b"HTTP/1.";

/// Which of an answer's fields somebody looks at. All are read, and what is wrong in them is found;
/// only those that are wanted are kept, since that is most of what a head costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AnswerFields {
    /// Whatever there is.
    #[default]
    All,
    /// `Retry-After`.
    RetryAfter,
}

/// What was asked, as far as it decides how the answer is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// Whether the answer has no body, whatever it says.
    pub(super) is_head: bool,
    pub(super) wants: AnswerFields,
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) decoder: Decoder,
    /// Whether the connection may be used again.
    pub(super) is_persistent: bool,
}

/// The head, once all of it is there. `searched` is how far its end has been looked for. Whatever
/// pieces it comes in, it may have `size_max` bytes.
pub(super) fn read(
    unread: &mut BytesMut,
    searched: &mut usize,
    size_max: usize,
    asked: Asked,
) -> Result<Option<Head>, Failed> {
    let begins = unread.get(..PREFIX.len()).unwrap_or(unread);
    if !PREFIX.starts_with(begins) {
        return Err(Failed::Malformed("its first bytes"));
    }
    let length = end(unread, searched);
    if length.unwrap_or(unread.len()) > size_max {
        return Err(Failed::HeadTooLarge(size_max));
    }
    let Some(length) = length else { return Ok(None) };
    let bytes = unread.get(..length).unwrap_or_default();
    let head = match asked.wants {
        AnswerFields::All => {
            // Copied: the buffer is used again, and the values share one allocation.
            let bytes = Bytes::copy_from_slice(bytes);
            parse(&bytes, asked, &|value| HeaderValue::from_maybe_shared(bytes.slice_ref(value)))?
        }
        AnswerFields::RetryAfter => parse(bytes, asked, &HeaderValue::from_bytes)?,
    };
    unread.advance(length);
    Ok(Some(head))
}

/// Where the head ends.
fn end(unread: &[u8], searched: &mut usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let rest = unread.get(from..).unwrap_or_default();
    // Services of old end lines with a bare line feed, which does no harm on this side.
    let mut found = None;
    for at in memchr::memchr_iter(b'\n', rest) {
        let after = rest.get(at + 1..).unwrap_or_default();
        if after.starts_with(b"\n") {
            found = Some(at + 2);
        } else if after.starts_with(b"\r\n") {
            found = Some(at + 3);
        }
        if found.is_some() {
            break;
        }
    }
    *searched = unread.len();
    found.map(|length| from + length)
}

/// How a field's value is kept.
type Keep<'a> = &'a dyn Fn(&[u8]) -> Result<HeaderValue, InvalidHeaderValue>;

fn parse(bytes: &[u8], asked: Asked, keep: Keep<'_>) -> Result<Head, Failed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields);
    match outcome {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Failed::Malformed("the head ends early")),
        Err(httparse::Error::TooManyHeaders) => return Err(Failed::HeadTooLarge(bytes.len())),
        Err(_) => return Err(Failed::Malformed("its head")),
    }
    let mut response = Response::new(());
    *response.status_mut() = parsed
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Failed::Malformed("its status"))?;
    let is_1_1 = parsed.version == Some(1);
    *response.version_mut() = if is_1_1 { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut framing = Framing::default();
    for field in &*parsed.headers {
        framing.note(field);
    }
    *response.headers_mut() = headers(parsed.headers, asked.wants, keep)?;
    let decoder = if asked.is_head { Decoder::Done } else { framing.decoder(response.status())? };
    let is_persistent = is_1_1 && !decoder.ends_with_connection() && !framing.closes;
    Ok(Head { response, decoder, is_persistent })
}

fn headers(
    fields: &[httparse::Header<'_>],
    wants: AnswerFields,
    keep: Keep<'_>,
) -> Result<HeaderMap, Failed> {
    let capacity = if wants == AnswerFields::All { fields.len() } else { 0 };
    let mut headers = HeaderMap::with_capacity(capacity);
    for field in fields {
        if wants == AnswerFields::RetryAfter && !is(field, "retry-after") {
            continue;
        }
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name.map_err(|_| Failed::Malformed("a header field's name"))?;
        let value = keep(field.value).map_err(|_| Failed::Malformed("a header field's value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Inlined: the compiler then knows the name's length, by which most fields are told apart.
#[inline]
fn is(field: &httparse::Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

/// What a head says of its body's end, and of the connection's.
#[derive(Debug, Default)]
struct Framing {
    lengths: usize,
    /// What the last of them says; `None` where that is no number.
    length: Option<u64>,
    codings: usize,
    is_chunked: bool,
    closes: bool,
}

impl Framing {
    fn note(&mut self, field: &httparse::Header<'_>) {
        if is(field, "content-length") {
            self.lengths += 1;
            self.length = number(field.value);
        } else if is(field, "transfer-encoding") {
            self.codings += 1;
            self.is_chunked = field.value.eq_ignore_ascii_case(b"chunked");
        } else if is(field, "connection") {
            self.closes |= has_token(field.value, b"close");
        }
    }

    /// How the body ends. What could be read in two ways is refused: whoever sent it may mean the
    /// other one.
    fn decoder(&self, status: StatusCode) -> Result<Decoder, Failed> {
        if status.is_informational() || matches!(status.as_u16(), 204 | 304) {
            return Ok(Decoder::Done);
        }
        match (self.codings, self.length()?) {
            (0, Some(length)) => Ok(Decoder::length(length)),
            (0, None) => Ok(Decoder::UntilEnd),
            (1, None) if self.is_chunked => Ok(Decoder::chunked()),
            (1, None) => Err(Failed::Malformed("a transfer coding that was not asked for")),
            (_, None) => Err(Failed::Malformed("several transfer codings")),
            (_, Some(_)) => Err(Failed::Malformed("a length beside a transfer coding")),
        }
    }

    fn length(&self) -> Result<Option<u64>, Failed> {
        match self.lengths {
            0 => Ok(None),
            1 => self.length.map(Some).ok_or(Failed::Malformed("its length")),
            _ => Err(Failed::Malformed("several lengths")),
        }
    }
}

/// A number of nothing but digits.
fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    text.parse().ok()
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|found| found.trim_ascii().eq_ignore_ascii_case(token))
}
