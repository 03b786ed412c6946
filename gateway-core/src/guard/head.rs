//! The head of an HTTP/1.1 request, read line by line before the HTTP library sees any of it.
//!
//! The library forgives what other servers read differently: bare line feeds, two lengths of the
//! same value, a length beside a transfer coding, fragments. Once it has parsed a head these are
//! gone, so they are looked for in the bytes. What passes here has one reading, and says where its
//! body ends.
//!
//! Invariants
//! - No byte is looked at twice, however slowly a head arrives; nothing is copied or allocated.
//! - A refused head says nothing reliable about where it ends: the connection cannot go on.
//!
//! Sources: RFC 9112 §2 to §6, RFC 9110 §5; what nginx and HAProxy refuse.
//!
//! Not here: what a sound head asks for (`framing`), where its bytes come from (`server::intake`).

use std::borrow::Cow;

use http::{StatusCode, Uri};

use crate::error::Refusal;
use crate::guard::ceilings::CeilingExceeded;
use crate::guard::framing::FramingRefused;

/// A head that cannot be served, whatever it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadRefused {
    /// Not a method, a target and a version with one space between each.
    #[error("the request line cannot be read")]
    RequestLine,
    /// The target has no form that its method may have, or a character that no target has.
    #[error("the request target cannot be read")]
    Target,
    /// Another version than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A line that ends without a carriage return, or an empty one too many before the request.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// A line that goes on with the one before it.
    #[error("a header field is folded over two lines")]
    Folded,
    /// A field's name has another character than a name may have, or there is no colon.
    #[error("a header field's name cannot be read")]
    FieldName,
    /// A field's value has a control character.
    #[error("a header field's value has a control character")]
    FieldValue,
    /// Where the body ends, or what is asked, is ambiguous.
    #[error(transparent)]
    Framing(#[from] FramingRefused),
    /// It is larger than the server reads.
    #[error(transparent)]
    Ceiling(#[from] CeilingExceeded),
    /// It did not arrive in time.
    #[error("the head of the request did not arrive in time")]
    TooSlow,
}

impl Refusal for HeadRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Framing(refused) => refused.status(),
            Self::Ceiling(exceeded) => exceeded.status(),
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Framing(refused) => refused.code(),
            Self::Ceiling(exceeded) => exceeded.code(),
            Self::TooSlow => "head_too_slow",
            Self::Version => "http_version_not_supported",
            _ => "request_malformed",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        let detail = match self {
            Self::Framing(refused) => return refused.detail(),
            Self::Ceiling(exceeded) => return exceeded.detail(),
            Self::RequestLine => "The request line is not `METHOD target HTTP/1.1`.",
            Self::Target => "The request target is no path, or has a character to be escaped.",
            Self::Version => "The versions are HTTP/1.1, HTTP/1.0 and HTTP/2.",
            Self::LineEnd => "Each line must end in CR LF, and none be empty before the request.",
            Self::Folded => "A header field must stand on one line.",
            Self::FieldName => "A header field's name has a character that names cannot have.",
            Self::FieldValue => "A header field's value has a control character.",
            Self::TooSlow => "The head of the request did not arrive in time.",
        };
        detail.into()
    }
}

/// The most that is read of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request target.
    pub target_size_max: usize,
    /// Bytes of the head, its last line included.
    pub head_size_max: usize,
    /// Header fields.
    pub header_count_max: usize,
}

/// Where the body of a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// After so many bytes; 0 where there is no body.
    Length(u64),
    /// Where its chunks say so.
    Chunked,
}

/// One head, as far as it is read.
#[derive(Debug, Clone, Default)]
pub struct HeadReader {
    /// Bytes of lines that were read.
    read: usize,
    /// Bytes in which no further line ends.
    searched: usize,
    has_request_line: bool,
    has_empty_line: bool,
    is_http_1_0: bool,
    fields: usize,
    length: Option<u64>,
    is_chunked: bool,
}

impl HeadReader {
    /// Reads on. `bytes` are all that there are, from the head's first one.
    ///
    /// Comes back with the head's size and the end of its body once it is whole; what follows in
    /// `bytes` is not looked at.
    ///
    /// # Errors
    ///
    /// [`HeadRefused`] as soon as it can be known.
    pub fn read(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<(usize, BodyEnd)>, HeadRefused> {
        loop {
            let unread = bytes.get(self.searched..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', unread) else {
                self.searched = bytes.len();
                return self.check_begun(bytes, limits).map(|()| None);
            };
            let end = self.searched + end + 1;
            let line = bytes.get(self.read..end).unwrap_or_default();
            (self.read, self.searched) = (end, end);
            let line = line.strip_suffix(b"\r\n").ok_or(HeadRefused::LineEnd)?;
            if self.read > limits.head_size_max {
                return Err(too_large(limits));
            }
            if !self.has_request_line {
                self.read_first(line, limits)?;
            } else if line.is_empty() {
                return Ok(Some((self.read, self.body_end())));
            } else {
                self.read_field(line, limits)?;
            }
        }
    }

    /// Whether anything but an empty line has been seen.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.has_request_line || self.searched > self.read
    }

    /// A line that has not ended may be too long already, or clearly no HTTP.
    fn check_begun(&self, bytes: &[u8], limits: &HeadLimits) -> Result<(), HeadRefused> {
        let line = bytes.get(self.read..).unwrap_or_default();
        if self.has_request_line {
            return if bytes.len() > limits.head_size_max {
                Err(too_large(limits))
            } else {
                Ok(())
            };
        }
        match line {
            [b'\r'] | [] => Ok(()),
            [first, ..] if !is_token_char(*first) => Err(HeadRefused::RequestLine),
            _ if line.len() > limits.target_size_max + REQUEST_LINE_EXTRA => {
                Err(target_too_long(limits))
            }
            _ => Ok(()),
        }
    }

    fn read_first(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), HeadRefused> {
        if line.is_empty() {
            // One empty line is forgiven: old clients send it after a body (RFC 9112 §2.2).
            let is_second = std::mem::replace(&mut self.has_empty_line, true);
            return if is_second { Err(HeadRefused::LineEnd) } else { Ok(()) };
        }
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadRefused::RequestLine);
        };
        if method.is_empty() || !method.iter().copied().all(is_token_char) {
            return Err(HeadRefused::RequestLine);
        }
        self.is_http_1_0 = is_http_1_0(version)?;
        if target.len() > limits.target_size_max {
            return Err(target_too_long(limits));
        }
        check_target(method, target)?;
        self.has_request_line = true;
        Ok(())
    }

    fn read_field(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), HeadRefused> {
        self.fields += 1;
        if self.fields > limits.header_count_max {
            return Err(CeilingExceeded::TooManyHeaders { max: limits.header_count_max }.into());
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(HeadRefused::Folded);
        }
        let (name, value) = split_field(line)?;
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.read_coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), HeadRefused> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().filter(|_| is_number);
        let length = number.and_then(|number| number.parse().ok()).filter(|&it| it <= LENGTH_MAX);
        let length = length.ok_or(FramingRefused::LengthAmbiguous)?;
        if self.is_chunked || self.length.replace(length).is_some() {
            return Err(FramingRefused::LengthAmbiguous.into());
        }
        Ok(())
    }

    fn read_coding(&mut self, value: &[u8]) -> Result<(), HeadRefused> {
        // HTTP/1.0 knows none, and whoever passes one on has not understood it (RFC 9112 §6.1).
        if self.is_http_1_0 || self.length.is_some() || self.is_chunked {
            return Err(FramingRefused::LengthAmbiguous.into());
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(FramingRefused::TransferCodingUnknown.into());
        }
        self.is_chunked = true;
        Ok(())
    }

    const fn body_end(&self) -> BodyEnd {
        match self.length {
            _ if self.is_chunked => BodyEnd::Chunked,
            Some(length) => BodyEnd::Length(length),
            None => BodyEnd::Length(0),
        }
    }
}

/// A field's name and its value, both of characters that they may have.
///
/// # Errors
///
/// [`HeadRefused::FieldName`], [`HeadRefused::FieldValue`].
pub(crate) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), HeadRefused> {
    let (name, value) = memchr::memchr(b':', line)
        .and_then(|colon| Some((line.get(..colon)?, line.get(colon + 1..)?)))
        .ok_or(HeadRefused::FieldName)?;
    if name.is_empty() || !name.iter().copied().all(is_token_char) {
        return Err(HeadRefused::FieldName);
    }
    // Without a way out in the middle, so that many bytes are looked at in one instruction.
    let is_sound = value.iter().fold(true, |is_sound, &byte| is_sound & is_value_char(byte));
    if !is_sound {
        return Err(HeadRefused::FieldValue);
    }
    Ok((name, value.trim_ascii()))
}

/// The library has a meaning of its own for the two numbers above, and an answer.
const LENGTH_MAX: u64 = u64::MAX - 2;

/// A method may be longer than any that is known, and the version takes its place.
const REQUEST_LINE_EXTRA: usize = 64;

const fn too_large(limits: &HeadLimits) -> HeadRefused {
    HeadRefused::Ceiling(CeilingExceeded::HeadTooLarge { max: limits.head_size_max })
}

const fn target_too_long(limits: &HeadLimits) -> HeadRefused {
    HeadRefused::Ceiling(CeilingExceeded::TargetTooLong { max: limits.target_size_max })
}

fn is_http_1_0(version: &[u8]) -> Result<bool, HeadRefused> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadRefused::Version),
        _ => Err(HeadRefused::RequestLine),
    }
}

/// The four forms of RFC 9112 §3.2, of which the authority's alone goes with `CONNECT`.
fn check_target(method: &[u8], target: &[u8]) -> Result<(), HeadRefused> {
    if matches!(method, b"CONNECT" | b"TRACE") {
        return Err(FramingRefused::MethodNotImplemented.into());
    }
    if !has_target_chars(target) {
        return Err(HeadRefused::Target);
    }
    let is_sound = match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => is_absolute(target),
    };
    is_sound.then_some(()).ok_or(HeadRefused::Target)
}

fn is_absolute(target: &[u8]) -> bool {
    let is_web = |scheme: &[u8]| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    (is_web(b"http://") || is_web(b"https://")) && Uri::try_from(target).is_ok()
}

/// `tchar` of RFC 9110 §5.6.2.
const fn is_token_char(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.'
            | b'^'..=b'`' | b'|' | b'~'
    )
}

/// Visible ASCII without what a URI never has: no fragment, and nothing that servers take for a
/// delimiter. Some that a strict reading excludes are left to the path's own rules. Browsers leave a
/// backtick in a query as it is.
pub(super) fn has_target_chars(target: &[u8]) -> bool {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let is_visible = |byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'<' | b'>');
    target.iter().copied().all(is_visible) && !path.contains(&b'`')
}

/// `field-vchar`, space and tab: no other control character.
const fn is_value_char(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

#[cfg(test)]
mod tests;
