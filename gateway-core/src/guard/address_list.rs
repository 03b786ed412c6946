//! Address lists: which clients may call at all.
//!
//! The client's address is the one that `client_address` finds, so behind listed proxies it is
//! theirs to tell. `deny` counts for more than `allow`, and an empty `allow` allows everybody. A
//! look costs a binary search, however long the lists are.

use std::borrow::Cow;
use std::net::IpAddr;

use http::StatusCode;
use ipnet::{IpNet, Ipv4Net};

use crate::error::Refusal;

/// Networks, sorted, none inside another.
#[derive(Debug, Clone, Default)]
struct Networks(Box<[IpNet]>);

impl Networks {
    fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let plain: Vec<IpNet> = networks.into_iter().map(canonical).collect();
        let mut disjoint = IpNet::aggregate(&plain);
        disjoint.sort_by_key(IpNet::network);
        Self(disjoint.into())
    }

    fn contain(&self, address: IpAddr) -> bool {
        let after = self.0.partition_point(|network| network.network() <= address);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|net| net.contains(&address))
    }
}

/// IPv4 networks that are written as IPv6 (`::ffff:10.0.0.0/104`) are IPv4 networks: clients'
/// addresses never come in that form.
fn canonical(network: IpNet) -> IpNet {
    let as_v4 = |network: ipnet::Ipv6Net| {
        let length = network.prefix_len().checked_sub(96)?;
        Ipv4Net::new(network.network().to_ipv4_mapped()?, length).ok()
    };
    match network {
        IpNet::V4(_) => network,
        IpNet::V6(v6) => as_v4(v6).map_or(network, IpNet::V4),
    }
}

/// Which clients may call.
#[derive(Debug, Clone, Default)]
pub struct AddressList {
    allow: Networks,
    deny: Networks,
}

impl AddressList {
    /// Those in `allow`, or everybody where it is empty, without those in `deny`.
    #[must_use]
    pub fn new(
        allow: impl IntoIterator<Item = IpNet>,
        deny: impl IntoIterator<Item = IpNet>,
    ) -> Self {
        Self { allow: Networks::new(allow), deny: Networks::new(deny) }
    }

    /// Lets a client pass.
    ///
    /// # Errors
    ///
    /// [`AddressRefused`].
    pub fn check(&self, client: IpAddr) -> Result<(), AddressRefused> {
        let is_denied = self.deny.contain(client);
        if is_denied || !(self.allow.0.is_empty() || self.allow.contain(client)) {
            return Err(AddressRefused { client, is_denied });
        }
        Ok(())
    }
}

/// The client may not call from where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{client} {}", if *is_denied { "is in `server.deny`" } else { "is not in `server.allow`" })]
pub struct AddressRefused {
    client: IpAddr,
    is_denied: bool,
}

impl Refusal for AddressRefused {
    fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }
    fn code(&self) -> &'static str {
        "address_refused"
    }
    fn detail(&self) -> Cow<'static, str> {
        "This gateway does not answer your address.".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allow: &[&str], deny: &[&str], cases: &[(&str, bool)]) {
        let networks = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().expect("a network")).collect()
        };
        let list = AddressList::new(networks(allow), networks(deny));
        for (address, may_call) in cases {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(list.check(address).is_ok(), *may_call, "{address} {allow:?} {deny:?}");
        }
    }

    #[test]
    fn without_lists_everybody_may_call() {
        check(&[], &[], &[("192.0.2.1", true), ("2001:db8::1", true)]);
    }

    #[test]
    fn deny_counts_for_more_than_allow() {
        let cases = [
            ("10.1.2.3", true),
            ("10.9.0.1", false),
            ("10.9.255.255", false),
            ("10.10.0.0", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ];
        check(&["10.0.0.0/8", "2001:db8::/32"], &["10.9.0.0/16", "10.9.3.0/24"], &cases);
        check(&[], &["10.9.0.0/16"], &[("10.9.1.1", false), ("10.8.1.1", true), ("::1", true)]);
    }

    #[test]
    fn networks_that_touch_or_contain_each_other_are_looked_up_as_one() {
        let deny = ["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "192.0.2.7/32", "0.0.0.0/32"];
        let cases =
            [("10.255.0.1", false), ("10.1.0.1", false), ("192.0.2.7", false), ("192.0.2.8", true)];
        check(&[], &deny, &cases);
        check(&[], &["0.0.0.0/0"], &[("255.255.255.255", false), ("::1", true)]);
        check(&[], &["::/0"], &[("::1", false), ("192.0.2.1", true)]);
    }

    #[test]
    fn ipv4_in_ipv6_denies_ipv4() {
        check(&[], &["::ffff:10.0.0.0/104"], &[("10.1.1.1", false), ("11.1.1.1", true)]);
    }
}
