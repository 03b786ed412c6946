//! Reading JSON without building anything: the bytes of one value, found and validated in place.
//!
//! [`one_value`] answers for a whole body. [`Scanner`] is the same machine, step by step, for the
//! projection, which looks into objects and arrays on its way.
//!
//! Invariants
//! - What comes out is a slice of what went in: no number, string or key is ever printed anew.
//! - Nothing is allocated, and nesting costs one bit a level: [`DEPTH_MAX`] levels are the end.
//! - Accepted is exactly RFC 8259 in UTF-8. A leading byte order mark is dropped (its §8.1 allows
//!   that); repeated keys, escaped lone surrogates and numbers of any size are the services' own
//!   affair and stay as they are.
//!
//! Not here: which members an answer shows (`projection`).

/// How deep arrays and objects may nest.
pub(super) const DEPTH_MAX: u32 = 128;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// These bytes are not exactly one JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not exactly one JSON value in UTF-8, at most {DEPTH_MAX} levels deep")]
pub(super) struct NotJson;

/// The bytes of the one JSON value in `body`, without the whitespace around it.
pub(super) fn one_value(body: &[u8]) -> Result<&[u8], NotJson> {
    let mut scanner = Scanner::try_new(body)?;
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
    /// Containers that [`Scanner::enter`] has opened and nobody has closed yet.
    depth: u32,
}

impl<'a> Scanner<'a> {
    /// The start of `body`, which is checked to be UTF-8 once and for all.
    pub(super) fn try_new(body: &'a [u8]) -> Result<Self, NotJson> {
        let rest = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        std::str::from_utf8(rest).map_err(|_| NotJson)?;
        Ok(Self { rest, depth: 0 })
    }

    /// The start of a text that has been found to be one JSON value before.
    pub(super) const fn of_valid(json: &'a [u8]) -> Self {
        Self { rest: json, depth: 0 }
    }

    /// The first byte of the next value, which tells its kind.
    pub(super) fn peek(&mut self) -> Result<u8, NotJson> {
        self.skip_whitespace();
        self.rest.first().copied().ok_or(NotJson)
    }

    /// Steps over the next value, whatever it holds, and returns its exact bytes.
    pub(super) fn value(&mut self) -> Result<&'a [u8], NotJson> {
        self.skip_whitespace();
        let start = self.rest;
        let mut nesting = Nesting::at(self.depth);
        loop {
            if self.step_into(&mut nesting)? {
                continue;
            }
            // A value has ended: close what it was the last of, up to the next comma.
            loop {
                let Some(container) = nesting.innermost() else { return Ok(self.since(start)) };
                self.skip_whitespace();
                match (self.take()?, container) {
                    (b',', Container::Array) => break,
                    (b',', Container::Object) => {
                        self.key()?;
                        break;
                    }
                    (b']', Container::Array) | (b'}', Container::Object) => nesting.pop(),
                    _ => return Err(NotJson),
                }
            }
        }
    }

    /// The next key with its quotes, as it was written; the place is then behind its colon.
    pub(super) fn key(&mut self) -> Result<&'a [u8], NotJson> {
        self.skip_whitespace();
        let start = self.rest;
        self.expect(b'"')?;
        self.string_after_quote()?;
        let key = self.since(start);
        self.skip_whitespace();
        self.expect(b':')?;
        Ok(key)
    }

    /// Opens the array or object at this place. True when it holds anything; else it is closed.
    pub(super) fn enter(&mut self, close: u8) -> Result<bool, NotJson> {
        self.skip_whitespace();
        self.take()?;
        if self.depth == DEPTH_MAX {
            return Err(NotJson);
        }
        if self.take_if(close) {
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    /// After an element or member: true when another follows; else the container is closed.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, NotJson> {
        self.skip_whitespace();
        match self.take()? {
            b',' => Ok(true),
            byte if byte == close => {
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            _ => Err(NotJson),
        }
    }

    /// Nothing but whitespace may be left.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        self.skip_whitespace();
        if self.rest.is_empty() { Ok(()) } else { Err(NotJson) }
    }

    /// Reads a scalar, or opens a container: true when a value must follow at this place.
    fn step_into(&mut self, nesting: &mut Nesting) -> Result<bool, NotJson> {
        self.skip_whitespace();
        match self.take()? {
            b'"' => self.string_after_quote()?,
            b'{' => {
                nesting.push(Container::Object)?;
                if !self.take_if(b'}') {
                    self.key()?;
                    return Ok(true);
                }
                nesting.pop();
            }
            b'[' => {
                nesting.push(Container::Array)?;
                if !self.take_if(b']') {
                    return Ok(true);
                }
                nesting.pop();
            }
            b't' => self.literal(b"rue")?,
            b'f' => self.literal(b"alse")?,
            b'n' => self.literal(b"ull")?,
            first @ (b'-' | b'0'..=b'9') => self.number_after(first)?,
            _ => return Err(NotJson),
        }
        Ok(false)
    }

    fn string_after_quote(&mut self) -> Result<(), NotJson> {
        loop {
            self.skip_plain();
            match self.take()? {
                b'"' => return Ok(()),
                b'\\' => self.escape_after_backslash()?,
                _ => return Err(NotJson),
            }
        }
    }

    /// Steps over the bytes of a string that mean themselves, eight at a time.
    fn skip_plain(&mut self) {
        while let Some((chunk, rest)) = self.rest.split_first_chunk::<8>() {
            let special = special_bytes(u64::from_le_bytes(*chunk));
            if special != 0 {
                let plain = special.trailing_zeros() as usize / 8;
                self.rest = self.rest.get(plain..).unwrap_or_default();
                return;
            }
            self.rest = rest;
        }
        while let Some((byte, rest)) = self.rest.split_first() {
            if matches!(byte, b'"' | b'\\' | 0..0x20) {
                return;
            }
            self.rest = rest;
        }
    }

    fn escape_after_backslash(&mut self) -> Result<(), NotJson> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let (digits, rest) = self.rest.split_first_chunk::<4>().ok_or(NotJson)?;
                self.rest = rest;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(NotJson) }
            }
            _ => Err(NotJson),
        }
    }

    fn number_after(&mut self, first: u8) -> Result<(), NotJson> {
        let leading = if first == b'-' { self.take()? } else { first };
        match leading {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(NotJson),
        }
        if self.take_if_next(b'.') {
            self.digits()?;
        }
        if self.take_if_next(b'e') || self.take_if_next(b'E') {
            let _sign = self.take_if_next(b'-') || self.take_if_next(b'+');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        if !self.take()?.is_ascii_digit() {
            return Err(NotJson);
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn literal(&mut self, tail: &[u8]) -> Result<(), NotJson> {
        self.rest = self.rest.strip_prefix(tail).ok_or(NotJson)?;
        Ok(())
    }

    fn skip_whitespace(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn take(&mut self) -> Result<u8, NotJson> {
        let (&byte, rest) = self.rest.split_first().ok_or(NotJson)?;
        self.rest = rest;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.take()? == byte { Ok(()) } else { Err(NotJson) }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        self.skip_whitespace();
        self.take_if_next(byte)
    }

    fn take_if_next(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&next, rest)) if next == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The bytes from `start`, an earlier `rest`, to this place.
    fn since(&self, start: &'a [u8]) -> &'a [u8] {
        start.get(..start.len() - self.rest.len()).unwrap_or_default()
    }
}

/// A high bit for each of the eight bytes that ends a plain stretch of a string: a quote, a
/// backslash or a control character. Only the lowest one is exact, since a borrow may flag bytes
/// above it; the caller needs no other.
///
/// Source: Sean Eron Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    ((quotes.wrapping_sub(ONES) & !quotes)
        | (backslashes.wrapping_sub(ONES) & !backslashes)
        | (word.wrapping_sub(ONES * 0x20) & !word))
        & HIGHS
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// The open containers, one bit each, innermost lowest.
struct Nesting {
    objects: u128,
    depth: u32,
    base: u32,
}

impl Nesting {
    const fn at(base: u32) -> Self {
        Self { objects: 0, depth: base, base }
    }

    fn push(&mut self, container: Container) -> Result<(), NotJson> {
        if self.depth == DEPTH_MAX {
            return Err(NotJson);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(container == Container::Object);
        Ok(())
    }

    const fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
    }

    const fn innermost(&self) -> Option<Container> {
        if self.depth == self.base {
            None
        } else if self.objects & 1 == 1 {
            Some(Container::Object)
        } else {
            Some(Container::Array)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// What serde_json takes the one value to be; it has no cap on depth when it builds nothing.
    fn oracle(body: &[u8]) -> Option<&[u8]> {
        serde_json::from_slice::<&RawValue>(body).ok().map(|raw| raw.get().as_bytes())
    }

    #[test]
    fn a_body_is_exactly_one_json_value_with_its_bytes_as_they_were() {
        for (body, expected) in [
            ("{}", Some("{}")),
            (" \t\r\n[1 , 2] \n", Some("[1 , 2]")),
            ("1e400", Some("1e400")),
            ("9007199254740993", Some("9007199254740993")),
            ("-0.10E+05", Some("-0.10E+05")),
            (r#""\ud800""#, Some(r#""\ud800""#)),
            (r#"{"a":1,"a":2}"#, Some(r#"{"a":1,"a":2}"#)),
            ("\u{feff}{}", Some("{}")),
            ("\"é\u{2028}\u{7f}\"", Some("\"é\u{2028}\u{7f}\"")),
            ("", None),
            (" ", None),
            ("{} {}", None),
            ("{}x", None),
            ("\u{feff}\u{feff}{}", None),
            ("01", None),
            ("-", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("+1", None),
            ("NaN", None),
            ("nul", None),
            ("[1,]", None),
            ("[,1]", None),
            ("{\"a\":1,}", None),
            ("{\"a\"}", None),
            ("{a:1}", None),
            ("{'a':1}", None),
            ("[1}", None),
            ("{\"a\":1]", None),
            ("[", None),
            ("]", None),
            ("\"a", None),
            ("\"a\nb\"", None),
            ("\"12345678\u{1f}\"", None),
            ("\"123\u{1f}45678\"", None),
            ("\"123\u{7f}45678\"", Some("\"123\u{7f}45678\"")),
            (r#""\x41""#, None),
            (r#""\u12g4""#, None),
            ("// no\n1", None),
        ] {
            assert_eq!(one_value(body.as_bytes()).ok(), expected.map(str::as_bytes), "{body:?}");
        }
        assert_eq!(one_value(b"\"\xff\""), Err(NotJson));
        assert_eq!(one_value(b"\"\xed\xa0\x80\""), Err(NotJson), "a surrogate in UTF-8");
    }

    #[test]
    fn nesting_ends_at_its_cap_and_not_before() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(one_value(nested(128).as_bytes()).is_ok());
        assert!(one_value(nested(129).as_bytes()).is_err());
        let objects = [r#"{"a":"#.repeat(128), "1".into(), "}".repeat(128)].concat();
        assert!(one_value(objects.as_bytes()).is_ok());
        assert!(one_value("[".repeat(1_000_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_as_serde_json_judges_them(
            body in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(b"{}[]:,\"\\ue0-+.19tfnrals /\n\x1f\xc3\xa9".to_vec()),
                    any::<u8>(),
                ],
                0..24,
            )
        ) {
            prop_assume!(!body.starts_with(BYTE_ORDER_MARK));
            prop_assert_eq!(one_value(&body).ok(), oracle(&body));
        }

        #[test]
        fn a_damaged_document_is_judged_as_serde_json_judges_it(
            document in super::super::testing::json(),
            place in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut body = document.into_bytes();
            prop_assert_eq!(one_value(&body).ok(), oracle(&body));
            prop_assert!(one_value(&body).is_ok());
            let place = place.index(body.len());
            body[place] = byte;
            body.truncate(cut.index(body.len() + 1));
            prop_assume!(!body.starts_with(BYTE_ORDER_MARK));
            prop_assert_eq!(one_value(&body).ok(), oracle(&body));
        }
    }
}
