//! Reading JSON without building anything: the bytes of one value, found and validated in place.
//!
//! [`one_value`] answers for a whole body. [`Scanner`] goes through a text step by step, for those
//! who look into objects and arrays on their way; the projection, which sees every byte of most
//! answers, takes the steps themselves.
//!
//! A step is given what is left and returns what is left behind it, so that both stay in registers.
//! It looks first for what follows in a text without whitespace, since most are written so, and at
//! eight bytes of a string or number at a time.
//!
//! Invariants
//! - What comes out is a slice of what went in: no number, string or key is ever printed anew.
//! - Nothing is allocated, and nesting costs one small frame a level: [`DEPTH_MAX`] levels are the
//!   end.
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
        Ok(Self::of_valid(in_utf8(body)?))
    }

    /// The start of a text that has been found to be one JSON value before.
    pub(super) const fn of_valid(json: &'a [u8]) -> Self {
        Self { rest: json, depth: 0 }
    }

    /// The first byte of the next value, which tells its kind.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, NotJson> {
        self.rest = trimmed(self.rest);
        self.rest.first().copied().ok_or(NotJson)
    }

    /// Steps over the next value, whatever it holds, and returns its exact bytes.
    pub(super) fn value(&mut self) -> Result<&'a [u8], NotJson> {
        let start = trimmed(self.rest);
        let (first, rest) = token(start)?;
        self.rest = after_value(first, rest, self.depth)?;
        Ok(between(start, self.rest))
    }

    /// The next key; the place is then behind its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Key<'a>, NotJson> {
        let key = Key::at(trimmed(self.rest))?;
        self.rest = key.value;
        Ok(key)
    }

    /// Opens the array or object at this place. True when it holds anything; else it is closed.
    #[inline]
    pub(super) fn enter(&mut self, close: u8) -> Result<bool, NotJson> {
        let (_open, inside) = token(self.rest)?;
        if self.depth == DEPTH_MAX {
            return Err(NotJson);
        }
        match token(inside)? {
            (byte, rest) if byte == close => {
                self.rest = rest;
                Ok(false)
            }
            _ => {
                self.rest = inside;
                self.depth += 1;
                Ok(true)
            }
        }
    }

    /// After an element or member: true when another follows; else the container is closed.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, NotJson> {
        let (byte, rest) = token(self.rest)?;
        self.rest = rest;
        match byte {
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
        self.rest = trimmed(self.rest);
        if self.rest.is_empty() { Ok(()) } else { Err(NotJson) }
    }
}

/// The text in `body`, without a byte order mark, checked to be UTF-8 once and for all.
pub(super) fn in_utf8(body: &[u8]) -> Rest<'_> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // Most JSON is ASCII, which is seen much sooner.
    if text.is_ascii() {
        return Ok(text);
    }
    std::str::from_utf8(text).map(str::as_bytes).map_err(|_| NotJson)
}

/// A key, and where its value is.
#[derive(Debug)]
pub(super) struct Key<'a> {
    /// With its quotes.
    pub(super) written: &'a [u8],
    /// Whether it reads as it is written: no escape is in it.
    pub(super) is_plain: bool,
    /// From behind its colon.
    pub(super) value: &'a [u8],
}

impl<'a> Key<'a> {
    /// The key that must start here.
    #[inline]
    pub(super) fn at(start: &'a [u8]) -> Result<Self, NotJson> {
        let [b'"', name @ ..] = start else { return Err(NotJson) };
        let plain = after_plain(name);
        let (is_plain, rest) = match plain {
            [b'"', rest @ ..] => (true, rest),
            _ => (false, after_string(plain)?),
        };
        Ok(Self { written: between(start, rest), is_plain, value: after(rest, b':')? })
    }

    /// Whether no whitespace stands before or behind the colon of this key, which started here.
    #[inline]
    pub(super) fn is_tight(&self, start: &[u8]) -> bool {
        let is_tight = start.len() - self.value.len() == self.written.len() + 1;
        is_tight && !matches!(self.value, [0..=b' ', ..])
    }
}

/// What was read on the way from one place to a later one.
#[inline]
pub(super) fn between<'a>(start: &'a [u8], rest: &[u8]) -> &'a [u8] {
    start.get(..start.len() - rest.len()).unwrap_or_default()
}

/// What is left, or the text is not JSON. All below are steps of this kind.
pub(super) type Rest<'a> = Result<&'a [u8], NotJson>;

/// Behind the value that begins with `first`, inside `depth` containers.
///
/// Part of each container's loop, so that a scalar costs no call.
#[inline(always)]
pub(super) fn after_value(first: u8, rest: &[u8], depth: u32) -> Rest<'_> {
    match first {
        b'"' => after_string(rest),
        b'0'..=b'9' | b'-' => after_number(first, rest),
        b'{' => after_object(rest, depth),
        b'[' => after_array(rest, depth),
        b't' => rest.strip_prefix(b"rue").ok_or(NotJson),
        b'f' => rest.strip_prefix(b"alse").ok_or(NotJson),
        b'n' => rest.strip_prefix(b"ull").ok_or(NotJson),
        _ => Err(NotJson),
    }
}

/// Behind the object that has opened, inside `depth` other containers.
#[inline(never)]
fn after_object(rest: &[u8], depth: u32) -> Rest<'_> {
    if depth == DEPTH_MAX {
        return Err(NotJson);
    }
    let (byte, mut rest) = token(rest)?;
    if byte == b'}' {
        return Ok(rest);
    }
    if byte != b'"' {
        return Err(NotJson);
    }
    loop {
        let first;
        (first, rest) = after_key(rest)?;
        rest = after_value(first, rest, depth + 1)?;
        // Most texts are written without whitespace.
        if let [b',', b'"', key @ ..] = rest {
            rest = key;
            continue;
        }
        let (byte, next) = token(rest)?;
        match byte {
            b',' => rest = after(next, b'"')?,
            b'}' => return Ok(next),
            _ => return Err(NotJson),
        }
    }
}

/// The first byte of the value whose key's quote has been opened, and the rest.
#[inline(always)]
fn after_key(rest: &[u8]) -> Result<(u8, &[u8]), NotJson> {
    let mut rest = after_plain(rest);
    loop {
        match rest {
            [b'"', b':', first, value @ ..] if *first > b' ' => return Ok((*first, value)),
            [b'"', colon @ ..] => return token(after(colon, b':')?),
            [b'\\', escape @ ..] => rest = after_plain(after_escape(escape)?),
            _ => return Err(NotJson),
        }
    }
}

/// Behind the array that has opened, inside `depth` other containers.
#[inline(never)]
fn after_array(rest: &[u8], depth: u32) -> Rest<'_> {
    if depth == DEPTH_MAX {
        return Err(NotJson);
    }
    let (mut byte, mut rest) = token(rest)?;
    if byte == b']' {
        return Ok(rest);
    }
    loop {
        rest = after_value(byte, rest, depth + 1)?;
        (byte, rest) = token(rest)?;
        match byte {
            b',' => (byte, rest) = token(rest)?,
            b']' => return Ok(rest),
            _ => return Err(NotJson),
        }
    }
}

/// Behind the string whose quote has been opened.
#[inline(always)]
fn after_string(mut rest: &[u8]) -> Rest<'_> {
    loop {
        match after_plain(rest) {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', escape @ ..] => rest = after_escape(escape)?,
            _ => return Err(NotJson),
        }
    }
}

/// At the first byte of a string that does not mean itself.
#[inline(always)]
fn after_plain(mut rest: &[u8]) -> &[u8] {
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return rest.get(special.trailing_zeros() as usize / 8..).unwrap_or_default();
        }
        rest = after;
    }
    after_last_plain(rest)
}

#[inline(never)]
fn after_last_plain(mut rest: &[u8]) -> &[u8] {
    while let [byte, after @ ..] = rest {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        rest = after;
    }
    rest
}

#[inline(never)]
fn after_escape(rest: &[u8]) -> Rest<'_> {
    match rest {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => Ok(after),
        [b'u', digits @ ..] => {
            let (digits, after) = digits.split_first_chunk::<4>().ok_or(NotJson)?;
            if digits.iter().all(u8::is_ascii_hexdigit) { Ok(after) } else { Err(NotJson) }
        }
        _ => Err(NotJson),
    }
}

#[inline]
fn after_number(first: u8, rest: &[u8]) -> Rest<'_> {
    let (leading, mut rest) = match (first, rest) {
        (b'-', [leading, rest @ ..]) => (*leading, rest),
        _ => (first, rest),
    };
    match leading {
        b'0' => {}
        b'1'..=b'9' => rest = after_digits(rest),
        _ => return Err(NotJson),
    }
    if let [b'.', digits @ ..] = rest {
        rest = after_some_digits(digits)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let digits = match exponent {
            [b'-' | b'+', digits @ ..] => digits,
            digits => digits,
        };
        rest = after_some_digits(digits)?;
    }
    Ok(rest)
}

fn after_some_digits(rest: &[u8]) -> Rest<'_> {
    match rest {
        [b'0'..=b'9', rest @ ..] => Ok(after_digits(rest)),
        _ => Err(NotJson),
    }
}

#[inline]
fn after_digits(mut rest: &[u8]) -> &[u8] {
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let others = other_than_digits(u64::from_le_bytes(*chunk));
        if others != 0 {
            return rest.get(others.trailing_zeros() as usize / 8..).unwrap_or_default();
        }
        rest = after;
    }
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// Behind the `mark` that must come next.
#[inline]
fn after(rest: &[u8], mark: u8) -> Rest<'_> {
    let (byte, rest) = token(rest)?;
    if byte == mark { Ok(rest) } else { Err(NotJson) }
}

/// The next byte that is no whitespace, and what follows it.
#[inline]
pub(super) fn token(rest: &[u8]) -> Result<(u8, &[u8]), NotJson> {
    let (byte, after) = trimmed(rest).split_first().ok_or(NotJson)?;
    Ok((*byte, after))
}

/// Without the whitespace in front.
#[inline]
pub(super) fn trimmed(rest: &[u8]) -> &[u8] {
    match rest {
        [0..=b' ', ..] => after_whitespace(rest),
        _ => rest,
    }
}

#[inline(never)]
fn after_whitespace(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// A high bit for each of the eight bytes that ends a plain stretch of a string: a quote, a
/// backslash or a control character. Only the lowest one is exact, since a borrow may flag bytes
/// above it; the caller needs no other.
///
/// With its second bit flipped, a quote is the byte above the control characters, which change
/// places among themselves: one comparison finds both.
///
/// Source: Sean Eron Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
const fn special_bytes(word: u64) -> u64 {
    let quotes_lowest = word ^ (ONES * 0x02);
    let backslashes_zero = word ^ (ONES * b'\\' as u64);
    (quotes_lowest.wrapping_sub(ONES * 0x21) | backslashes_zero.wrapping_sub(ONES)) & !word & HIGHS
}

/// The same for each byte that is no digit.
const fn other_than_digits(word: u64) -> u64 {
    let from_zero = word ^ (ONES * b'0' as u64);
    (from_zero.wrapping_add(ONES * (0x80 - 10)) | from_zero) & HIGHS
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;

#[cfg(test)]
mod tests;
