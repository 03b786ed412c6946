//! One spelling of a path, so that no two parts of a platform disagree about which one it is.
//!
//! Unreserved characters stand for themselves (`%61` is `a`), other escapes keep their escape in
//! capitals (`%c3` is `%C3`), and what may not stand raw in a path is escaped (RFC 3986 §6.2.2).
//! Whatever servers are known to read differently is refused: dot segments, empty segments,
//! escaped slashes, backslashes, `;` parameters, control characters, bytes that are not UTF-8.
//!
//! Not here: the query, which is passed on as the client wrote it.

use std::borrow::Cow;

use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::error::Refusal;

/// A path that different servers could read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// Not a path: `*`, or a host and a port.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// `.` or `..`, plain or escaped.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `%2F`.
    #[error("the path has an escaped slash")]
    EscapedSlash,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// `;`, which some servers cut off together with what follows.
    #[error("the path has a semicolon")]
    Semicolon,
    /// A control character, plain or escaped.
    #[error("the path has a control character")]
    ControlCharacter,
    /// `%` without two hexadecimal digits.
    #[error("the path has an incomplete percent escape")]
    IncompleteEscape,
    /// Overlong forms, lone surrogates, cut sequences.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

impl Refusal for PathRefused {
    fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }

    fn code(&self) -> &'static str {
        "path_not_canonical"
    }

    fn detail(&self) -> Cow<'static, str> {
        let found = match self {
            Self::NotAbsolute => "The path does not start with a slash.",
            Self::DotSegment => "The path has a segment `.` or `..`; send the path it leads to.",
            Self::EmptySegment => "The path has two slashes in a row; send one.",
            Self::EscapedSlash => "The path has an escaped slash; a segment cannot hold one.",
            Self::Backslash => "The path has a backslash; segments are separated by `/`.",
            Self::Semicolon => "The path has a `;`; write it as `%3B` if it is part of a name.",
            Self::ControlCharacter => "The path has a control character.",
            Self::IncompleteEscape => "The path has a `%` that two hexadecimal digits must follow.",
            Self::NotUtf8 => "The path's escapes do not decode to UTF-8.",
        };
        found.into()
    }
}

/// Brings the path of a request target into its one spelling, or says why it has none.
///
/// A path without escapes is not copied. Normalising twice is normalising once.
///
/// # Errors
///
/// [`PathRefused`], which names the first thing found.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathRefused> {
    let is_spelled = path.bytes().all(is_plain);
    let normal = if is_spelled { Cow::Borrowed(path) } else { Cow::Owned(respell(path)?) };
    check_segments(&normal)?;
    Ok(normal)
}

fn check_segments(normal: &str) -> Result<(), PathRefused> {
    let path = normal.strip_prefix('/').ok_or(PathRefused::NotAbsolute)?;
    let mut is_empty = false;
    for segment in path.split('/') {
        // Only the last segment may be empty: `/links/` is a path, and not the same as `/links`.
        if is_empty {
            return Err(PathRefused::EmptySegment);
        }
        if matches!(segment, "." | "..") {
            return Err(PathRefused::DotSegment);
        }
        is_empty = segment.is_empty();
    }
    Ok(())
}

fn respell(path: &str) -> Result<String, PathRefused> {
    let mut normal = String::with_capacity(path.len() + 16);
    let mut rest = path.as_bytes();
    loop {
        let (byte, is_escaped, after) = match rest {
            [] => break,
            [b'%', digits @ ..] => {
                let (byte, after) = unescape(digits).ok_or(PathRefused::IncompleteEscape)?;
                (byte, true, after)
            }
            [byte, after @ ..] => (*byte, false, after),
        };
        match byte {
            b'\\' => return Err(PathRefused::Backslash),
            0..=0x1f | 0x7f => return Err(PathRefused::ControlCharacter),
            b'/' if is_escaped => return Err(PathRefused::EscapedSlash),
            b';' if !is_escaped => return Err(PathRefused::Semicolon),
            _ if is_unreserved(byte) || (!is_escaped && is_plain(byte)) => {
                normal.push(char::from(byte));
            }
            _ => normal.push_str(percent_encoding::percent_encode_byte(byte)),
        }
        rest = after;
    }
    // The standard decoder knows every way in which a sequence can be wrong.
    match percent_decode_str(&normal).decode_utf8() {
        Ok(_) => Ok(normal),
        Err(_) => Err(PathRefused::NotUtf8),
    }
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn unescape(digits: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = digits.split_first_chunk::<2>()?;
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    let byte = u8::try_from(high? * 16 + low?).ok()?;
    Some((byte, after))
}

/// `unreserved` of RFC 3986: escaped or not, it is the same character.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands raw in a normal path: `pchar` of RFC 3986 without the semicolon, and the slash.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',')
        || matches!(byte, b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests;
