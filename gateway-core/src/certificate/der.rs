//! The distinguished encoding rules (X.690), as far as certificates need them.

use crate::clock::Timestamp;

/// What a value is.
pub(super) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTETS: u8 = 0x04;
    pub(crate) const OBJECT_ID: u8 = 0x06;
    pub(crate) const UTF8: u8 = 0x0c;
    pub(crate) const PRINTABLE: u8 = 0x13;
    pub(crate) const IA5: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// Fields of a certificate that may be absent.
    pub(crate) const VERSION: u8 = 0xa0;
    pub(crate) const ISSUER_ID: u8 = 0x81;
    pub(crate) const SUBJECT_ID: u8 = 0x82;
    pub(crate) const EXTENSIONS: u8 = 0xa3;
    /// Kinds of name.
    pub(crate) const MAIL_NAME: u8 = 0x81;
    pub(crate) const DNS_NAME: u8 = 0x82;
    pub(crate) const URI_NAME: u8 = 0x86;
}

/// Bytes that are read value by value.
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, of this kind.
    pub(super) fn take(&mut self, kind: u8) -> Option<&'a [u8]> {
        self.take_any().filter(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The next value if it is of this kind; another one stays.
    pub(super) fn take_if(&mut self, kind: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&kind) { self.take(kind) } else { None }
    }

    /// The next value and its kind. Every kind in a certificate has one byte.
    pub(super) fn take_any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[kind, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => long_length(rest, usize::from(first & 0x0f))?,
            // Lengths of 16 MiB and more, and the indefinite one, which DER does not have.
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((kind, value))
    }

    /// A text in one of the kinds that authorities still use.
    pub(super) fn take_text(&mut self) -> Option<String> {
        match self.take_any()? {
            (tag::UTF8, value) => std::str::from_utf8(value).ok().map(str::to_owned),
            (tag::PRINTABLE | tag::IA5, value) => ascii(value),
            _ => None,
        }
    }

    /// A point in time, in UTC to the second (RFC 5280 §4.1.2.5).
    pub(super) fn take_time(&mut self) -> Option<Timestamp> {
        let (year_digits, text) = match self.take_any()? {
            (tag::UTC_TIME, text) if text.len() == 13 => (2, text),
            (tag::GENERALIZED_TIME, text) if text.len() == 15 => (4, text),
            _ => return None,
        };
        let (year, text) = text.split_at_checked(year_digits)?;
        let year = match number(year)? {
            year @ 0..=49 if year_digits == 2 => 2000 + year,
            year @ 50..=99 if year_digits == 2 => 1900 + year,
            year => year,
        };
        let (text, b"Z") = text.split_at_checked(10)? else { return None };
        let mut fields = text.chunks(2).map(number);
        let mut next = || fields.next().flatten();
        let (month, day) = (next()?, next()?);
        let (hour, minute, second) = (next()?, next()?, next()?);
        let is_real = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let days = is_real.then(|| days_since_1970(year, month, day))?;
        // What began before 1970 has begun.
        let days = days.unwrap_or(0);
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Timestamp::from_unix_seconds(seconds))
    }
}

/// A length of several bytes, in the shortest form that holds it.
fn long_length(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(count)?;
    let is_shortest =
        length.first().is_some_and(|&byte| if count == 1 { byte > 0x7f } else { byte > 0 });
    let length = length.iter().fold(0, |length, &byte| (length << 8) | usize::from(byte));
    is_shortest.then_some((length, rest))
}

pub(super) fn ascii(bytes: &[u8]) -> Option<String> {
    bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// `None` before 1970.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted_year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}
