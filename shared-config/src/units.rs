//! Units as types: what configuration writes as text and code must not confuse.
//!
//! Each type reads its text with `FromStr`, writes the shortest text that reads back the same
//! with `Display`, and says in its error what to write instead.
//!
//! Not here: which values make sense for which key (`rules`).

mod byte_size;
mod duration;
mod network;
mod rate;

pub use self::byte_size::{ByteSize, InvalidByteSize};
pub use self::duration::{Duration, InvalidDuration};
pub use self::network::{InvalidNetwork, Network};
pub use self::rate::{InvalidRate, Rate};

/// Splits `250ms` into 250 and `ms`. Nothing but decimal digits may stand in front.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

/// The largest unit that writes `amount` without a fraction; the first unit is the smallest.
fn largest_unit<'a>(amount: u64, units: &[(&'a str, u64)]) -> (u64, &'a str) {
    let whole = units.iter().rev().find(|(_, size)| amount != 0 && amount.is_multiple_of(*size));
    let (unit, size) = whole.or(units.first()).copied().unwrap_or(("", 1));
    (amount / size, unit)
}

/// Reading, writing and the schema of a unit that is text in configuration.
macro_rules! written_as_text {
    ($unit:ident, $format:literal, $description:literal) => {
        impl<'de> serde::Deserialize<'de> for $unit {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $unit {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $unit {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($unit).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "format": $format, "description": $description
                })
            }
        }
    };
}
use written_as_text;
