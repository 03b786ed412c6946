//! Networks: `10.0.0.0/8`, `fd00::/8`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::written_as_text;

/// A network of addresses, perhaps of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// A text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither a network nor an address.
    #[error("must be a network or an address, such as \"10.0.0.0/8\" or \"192.0.2.7\"")]
    Shape,
    /// Bits beyond the prefix are set: which of the two was meant?
    #[error("has bits set beyond its prefix; write \"{0}\"")]
    HostBits(IpNet),
}

impl Network {
    /// The network.
    #[must_use]
    pub const fn get(self) -> IpNet {
        self.0
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text.parse().map_err(|_| InvalidNetwork::Shape)?;
        match network.trunc() {
            whole if whole == network => Ok(Self(network)),
            whole => Err(InvalidNetwork::HostBits(whole)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(Network, "network", "A network, \"10.0.0.0/8\", or one address.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_or_one_address_is_read_and_written() {
        let cases = [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("fd00::/8", "fd00::/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::1", "::1/128"),
        ];
        for (text, written) in cases {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), written);
            assert_eq!(written.parse(), Ok(network));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork::Shape), "{text:?}");
        }
        let error = "10.1.2.3/8".parse::<Network>().expect_err("host bits");
        assert_eq!(error.to_string(), "has bits set beyond its prefix; write \"10.0.0.0/8\"");
    }
}
