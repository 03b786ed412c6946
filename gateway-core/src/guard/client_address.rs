//! The client's address: the other end of the connection, or what listed proxies say.
//!
//! Each proxy appends to `X-Forwarded-For` the address that it saw. Read from the right, an entry is
//! as good as the one who wrote it: the first address that is not a listed proxy's is the client,
//! and everything to the left of it is the client's own invention.
//!
//! Not here: which proxies are listed (configuration; none by default).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::header::X_FORWARDED_FOR;

/// The address to limit, log and decide by.
///
/// IPv4 addresses written as IPv6 (`::ffff:192.0.2.1`) come out as IPv4. Several fields count as
/// one, in their order. An entry that is no address ends the walk: the client is then the last
/// proxy that could be believed.
#[must_use]
pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(&client) {
        return client;
    }
    let fields = headers.get_all(X_FORWARDED_FOR).iter().rev();
    // A field that is not text has one entry, which is no address.
    let entries = fields.flat_map(|field| field.to_str().unwrap_or_default().rsplit(','));
    for entry in entries {
        let Some(address) = parse(entry.trim()) else { break };
        client = address;
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

/// An address, alone or with a port, as some proxies write it.
fn parse(entry: &str) -> Option<IpAddr> {
    let alone = || entry.parse::<IpAddr>().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    alone().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("a network"));
        check_trusting(&trusted, peer, forwarded, expected);
    }

    #[track_caller]
    fn check_trusting(trusted: &[IpNet], peer: &str, forwarded: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for field in forwarded {
            let field = HeaderValue::from_bytes(field.as_bytes()).expect("a header value");
            headers.append(X_FORWARDED_FOR, field);
        }
        let client = resolve(peer.parse().expect("an address"), &headers, trusted);
        assert_eq!(client.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn by_default_no_proxy_is_believed() {
        check_trusting(&[], "10.0.0.1", &["192.0.2.1"], "10.0.0.1");
        check_trusting(&[], "127.0.0.1", &["192.0.2.1"], "127.0.0.1");
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_no_listed_proxy() {
        check("203.0.113.9", &["192.0.2.1"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", &["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1");
        check("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["10.0.0.3, 192.0.2.1"], "192.0.2.1");
    }

    #[test]
    fn several_fields_are_one_list() {
        check("10.0.0.1", &["6.6.6.6", "192.0.2.1", "10.0.0.2"], "192.0.2.1");
        check("10.0.0.1", &["192.0.2.1, 10.0.0.3", "10.0.0.2"], "192.0.2.1");
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        check("::ffff:10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1");
        check("::ffff:203.0.113.9", &[], "203.0.113.9");
    }

    #[test]
    fn ports_and_brackets_are_read_over() {
        check("2001:db8::1", &["192.0.2.1:4711"], "192.0.2.1");
        check("2001:db8::1", &["[2001:470::1]:4711"], "2001:470::1");
        check("2001:db8::1", &["[2001:470::1]"], "2001:470::1");
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_walk() {
        check("10.0.0.1", &["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["192.0.2.1, "], "10.0.0.1");
        check("10.0.0.1", &["192.0.2.1", ""], "10.0.0.1");
        check("10.0.0.1", &["192.0.2.1", "é"], "10.0.0.1");
    }
}
