//! Reading an answer's head, and how its body ends (RFC 9112 §6.3).

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};

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
    /// `Retry-After`, and what frames the body.
    Few,
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
    // Copied: the buffer is used again, and the values share one allocation.
    let bytes = Bytes::copy_from_slice(unread.get(..length).unwrap_or_default());
    let head = parse(&bytes, asked)?;
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

fn parse(bytes: &Bytes, asked: Asked) -> Result<Head, Failed> {
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
    let (headers, framing) = headers(bytes, parsed.headers, asked.wants)?;
    *response.headers_mut() = headers;
    let decoder = if asked.is_head { Decoder::Done } else { framing.decoder(response.status())? };
    let is_persistent = is_1_1 && !decoder.ends_with_connection() && !framing.closes;
    Ok(Head { response, decoder, is_persistent })
}

/// Whether a field is among the few, by its length first: most names end there.
fn is_one_of_few(name: &str) -> bool {
    let few: &[&HeaderName] = match name.len() {
        10 => &[&header::CONNECTION],
        11 => &[&header::RETRY_AFTER],
        14 => &[&header::CONTENT_LENGTH],
        17 => &[&header::TRANSFER_ENCODING],
        _ => &[],
    };
    few.iter().any(|known| name.eq_ignore_ascii_case(known.as_str()))
}

/// What a head says of its body's end, and of the connection's.
#[derive(Debug, Default)]
struct Framing {
    lengths: usize,
    length: Option<HeaderValue>,
    codings: usize,
    is_chunked: bool,
    closes: bool,
}

fn headers(
    bytes: &Bytes,
    fields: &[httparse::Header<'_>],
    wants: AnswerFields,
) -> Result<(HeaderMap, Framing), Failed> {
    let capacity = if wants == AnswerFields::All { fields.len() } else { 4 };
    let mut headers = HeaderMap::with_capacity(capacity);
    let mut framing = Framing::default();
    for field in fields {
        if wants == AnswerFields::Few && !is_one_of_few(field.name) {
            continue;
        }
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name.map_err(|_| Failed::Malformed("a header field's name"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        let value = value.map_err(|_| Failed::Malformed("a header field's value"))?;
        framing.note(&name, &value);
        headers.append(name, value);
    }
    Ok((headers, framing))
}

impl Framing {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name == header::CONTENT_LENGTH {
            self.lengths += 1;
            self.length = Some(value.clone());
        } else if *name == header::TRANSFER_ENCODING {
            self.codings += 1;
            self.is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        } else if *name == header::CONNECTION {
            self.closes |= has_token(value, "close");
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
        let Some(length) = &self.length else { return Ok(None) };
        if self.lengths > 1 {
            return Err(Failed::Malformed("several lengths"));
        }
        let text = length.to_str().unwrap_or_default();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let length = text.parse().ok().filter(|_| is_number);
        length.map(Some).ok_or(Failed::Malformed("its length"))
    }
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    let Ok(value) = value.to_str() else { return false };
    value.split(',').any(|found| found.trim().eq_ignore_ascii_case(token))
}
