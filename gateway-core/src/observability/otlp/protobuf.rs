//! Protobuf's wire format, as far as OTLP's messages need it: written field by field, and read.
//!
//! Source: Protocol Buffers, "Encoding". Fields with their default value are left out.

/// A message as it is written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// `uint32`, `uint64`, `bool` or an enum.
    pub(super) fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
    }

    /// A member of a `oneof` that is an `int64`: zero is a value there.
    pub(super) fn int64(&mut self, field: u64, value: i64) {
        self.varint(field << 3 | VARINT);
        self.varint(value.cast_unsigned());
    }

    /// A member of a `oneof` that is a `double`.
    pub(super) fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed64(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed32(&mut self, field: u64, value: u32) {
        self.varint(field << 3 | FIXED_32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `string`, `bytes` or a message that is written already; empty ones too.
    pub(super) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | LENGTH);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(super) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The value of a field that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// Of a varint or fixed field.
    Number(u64),
    /// Of a text, bytes or a message.
    Bytes(&'a [u8]),
}

/// Reads a message's fields in their order; ends where it is malformed.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (u64, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            VARINT => Field::Number(self.varint()?),
            FIXED_64 => Field::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            LENGTH => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            FIXED_32 => Field::Number(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}
