//! Sizes: `512B`, `64KiB`, `1MiB`, `2GiB`.

use std::fmt;
use std::str::FromStr;

use super::{largest_unit, split_number, written_as_text};

/// A number of bytes, of at most 1 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidByteSize {
    /// Not a number and a unit.
    #[error("must be a whole number and a unit: B, KiB, MiB or GiB, such as \"64KiB\"")]
    Shape,
    /// Larger than [`ByteSize::MAX`].
    #[error("must be at most \"{}\"", ByteSize::MAX)]
    TooLarge,
}

const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl ByteSize {
    /// 1 TiB: more than a gateway ever passes on in one message.
    pub const MAX: Self = Self(1 << 40);

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as the length of something held in memory; where the platform's
    /// lengths are shorter, the longest there is.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let (number, unit) = split_number(text).ok_or(InvalidByteSize::Shape)?;
        let (_, size) =
            UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidByteSize::Shape)?;
        let bytes = number.checked_mul(*size).ok_or(InvalidByteSize::TooLarge)?;
        if bytes > Self::MAX.0 { Err(InvalidByteSize::TooLarge) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = largest_unit(self.0, &UNITS);
        write!(f, "{number}{unit}")
    }
}

written_as_text!(ByteSize, "byte_size", "A size: \"512B\", \"64KiB\", \"1MiB\", \"2GiB\".");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        let cases =
            [("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("0B", 0)];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<ByteSize>().map(ByteSize::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in ["", "5", "B", "1.5MiB", "-1B", "64 KiB", "64kib", "64KB", "1M", "1TiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize::Shape), "{text:?}");
        }
        for text in ["1025GiB", "18446744073709551615GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize::TooLarge), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(bytes in 0..=1_u64 << 40) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
