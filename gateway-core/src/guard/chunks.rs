//! Chunked bodies, followed while they pass: where they end, and that they are sound.
//!
//! The HTTP library decodes them; this reading beside it is stricter, and knows where the next
//! request begins. Chunk extensions and trailers are read, bounded and go no further.
//!
//! Source: RFC 9112 §7.1.

use std::borrow::Cow;

use http::StatusCode;

use crate::error::Refusal;
use crate::guard::head::split_field;

/// Bytes of all chunk extensions of one body.
const EXTENSIONS_MAX: usize = 4 * 1024;

/// Bytes of the trailers of one body.
const TRAILERS_MAX: usize = 8 * 1024;

/// Hexadecimal digits of a chunk's size: as many as 64 bits have.
const DIGITS_MAX: u8 = 16;

/// A chunked body that is not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body's chunks cannot be read")]
pub struct ChunksRefused;

impl Refusal for ChunksRefused {
    fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
    fn code(&self) -> &'static str {
        "chunks_malformed"
    }
    fn detail(&self) -> Cow<'static, str> {
        "The body is not in the chunked coding that its head announces.".into()
    }
}

/// A chunked body, as far as it has passed.
#[derive(Debug, Clone, Default)]
pub struct Chunks {
    at: At,
    extensions: usize,
    trailer: Vec<u8>,
    trailers: usize,
}

/// The next byte is …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// … of a chunk's size.
    Size { size: u64, digits: u8 },
    /// … of an extension.
    Extension { size: u64 },
    /// … the line feed after a size.
    SizeEnd { size: u64 },
    /// … data; so many are left.
    Data(u64),
    /// … the carriage return after the data.
    DataReturn,
    /// … the line feed after that.
    DataEnd,
    /// … of a line of the trailers, which ends with an empty one.
    Trailers,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunks {
    /// Follows the body through `bytes`: how many of them are its own, and whether it ends there.
    ///
    /// # Errors
    ///
    /// [`ChunksRefused`].
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(usize, bool), ChunksRefused> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if let At::Data(left) = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(here..).unwrap_or_default();
                let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                self.at = if left == 0 { At::DataReturn } else { At::Data(left) };
                continue;
            }
            rest = after;
            if self.step(byte)? {
                return Ok((bytes.len() - rest.len(), true));
            }
        }
        Ok((bytes.len(), false))
    }

    /// One byte that is no data. Whether it was the body's last.
    fn step(&mut self, byte: u8) -> Result<bool, ChunksRefused> {
        self.at = match (self.at, byte) {
            (At::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                At::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (At::Size { size, digits: 1.. }, b'\r') => At::SizeEnd { size },
            (At::Size { size, digits: 1.. }, b';') => At::Extension { size },
            (At::Extension { size }, b'\r') => At::SizeEnd { size },
            (At::Extension { size }, b'\t' | b' '..=b'~') if self.extensions < EXTENSIONS_MAX => {
                self.extensions += 1;
                At::Extension { size }
            }
            (At::SizeEnd { size: 0 }, b'\n') => At::Trailers,
            (At::SizeEnd { size }, b'\n') => At::Data(size),
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::default(),
            (At::Trailers, _) => return self.step_in_trailers(byte),
            _ => return Err(ChunksRefused),
        };
        Ok(false)
    }

    fn step_in_trailers(&mut self, byte: u8) -> Result<bool, ChunksRefused> {
        self.trailers += 1;
        if self.trailers > TRAILERS_MAX {
            return Err(ChunksRefused);
        }
        self.trailer.push(byte);
        if byte != b'\n' {
            return Ok(false);
        }
        let line = self.trailer.strip_suffix(b"\r\n").ok_or(ChunksRefused)?;
        if line.is_empty() {
            return Ok(true);
        }
        split_field(line).map_err(|_| ChunksRefused)?;
        self.trailer.clear();
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body comes to, whole and byte by byte; `Some` is its size when it ends.
    #[track_caller]
    fn check(body: &str, expected: Result<Option<usize>, ChunksRefused>) {
        let whole = Chunks::default().pass(body.as_bytes());
        let whole = whole.map(|(size, is_end)| is_end.then_some(size));
        assert_eq!(whole, expected, "{body:?}");
        let mut chunks = Chunks::default();
        let bytewise =
            (0..body.len()).find_map(|at| match chunks.pass(&body.as_bytes()[at..=at]) {
                Ok((_, true)) => Some(Ok(at + 1)),
                Ok((_, false)) => None,
                Err(refused) => Some(Err(refused)),
            });
        assert_eq!(bytewise.transpose(), expected, "in pieces: {body:?}");
    }

    #[test]
    fn a_sound_body_ends_after_its_last_chunk() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "05\r\nhello\r\n000\r\n\r\n",
            "a\r\n0\r\n\r\n12345\r\n0\r\n\r\n",
            "5;name=value;other=\"a b\"\r\nhello\r\n0;x\r\n\r\n",
            "0\r\nX: y\r\nZ: \r\n\r\n",
        ] {
            check(body, Ok(Some(body.len())));
            check(&format!("{body}GET /"), Ok(Some(body.len())));
            check(&body[..body.len() - 1], Ok(None));
        }
    }

    #[test]
    fn what_two_readers_could_decode_differently_is_refused() {
        for body in [
            "\r\n",
            ";a\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "5\rhello",
            "5\r\r\nhello",
            "5;a\nhello\r\n",
            "5;a\r5",
            "5;\u{0}\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0",
            "10000000000000000\r\n",
            "00000000000000000\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n\n",
        ] {
            check(body, Err(ChunksRefused));
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension = |size: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(size));
        assert!(Chunks::default().pass(extension(EXTENSIONS_MAX).as_bytes()).is_ok());
        check(&extension(EXTENSIONS_MAX + 1), Err(ChunksRefused));
        let spread = "1;xxxx\r\na\r\n".repeat(EXTENSIONS_MAX / 4);
        assert!(Chunks::default().pass(spread.as_bytes()).is_ok());
        check(&format!("{spread}1;x\r\n"), Err(ChunksRefused));
        check(&format!("0\r\nX: {}", "x".repeat(TRAILERS_MAX)), Err(ChunksRefused));
    }
}
