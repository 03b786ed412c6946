//! Formats: texts that are more than text, by the name their schema gives them.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::units::{ByteSize, Duration, Network, Rate};

/// A kind of text.
pub(super) struct Format {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// Whether a text is of this kind.
    pub(super) accepts: fn(&str) -> bool,
    fault: fn(&str) -> Option<String>,
}

/// Every kind there is.
pub(super) const FORMATS: [Format; 6] = [
    Format { name: "duration", accepts: |text| positive(text).is_none(), fault: positive },
    Format {
        name: "duration_or_zero",
        accepts: |text| fault::<Duration>(text).is_none(),
        fault: fault::<Duration>,
    },
    Format {
        name: "byte_size",
        accepts: |text| fault::<ByteSize>(text).is_none(),
        fault: fault::<ByteSize>,
    },
    Format { name: "rate", accepts: |text| fault::<Rate>(text).is_none(), fault: fault::<Rate> },
    Format {
        name: "network",
        accepts: |text| fault::<Network>(text).is_none(),
        fault: fault::<Network>,
    },
    Format { name: "socket_address", accepts: |text| address(text).is_none(), fault: address },
];

/// The kind of a name.
pub(super) fn of(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

impl Format {
    /// What must hold instead of `text`, which is not of this kind.
    pub(super) fn reason(&self, text: &str) -> String {
        (self.fault)(text).unwrap_or_else(|| "is not what it takes".to_owned())
    }
}

fn fault<T: FromStr<Err: fmt::Display>>(text: &str) -> Option<String> {
    text.parse::<T>().err().map(|error| error.to_string())
}

fn positive(text: &str) -> Option<String> {
    match text.parse::<Duration>() {
        Ok(duration) if duration.is_zero() => Some("must be longer than nothing".to_owned()),
        outcome => outcome.err().map(|error| error.to_string()),
    }
}

fn address(text: &str) -> Option<String> {
    let reason = "must be an address and a port, such as \"127.0.0.1:3000\"";
    text.parse::<SocketAddr>().is_err().then(|| reason.to_owned())
}
