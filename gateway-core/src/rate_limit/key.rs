//! Whose bucket: a fixed-size key, so that the hot path copies no names.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::principal::Scheme;

/// The key of one bucket: 128 bits of a keyed hash, SipHash-1-3.
///
/// The hash is keyed with secrets of this process, so nobody can look for two names of one key;
/// by chance, a million buckets share one with a probability of 10⁻²⁷.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey(u128);

impl BucketKey {
    /// Even bits to choose a shard by.
    #[must_use]
    pub fn shard(self, shards: usize) -> usize {
        let low = usize::try_from(self.0 & 0xffff_ffff).unwrap_or(0);
        low.checked_rem(shards).unwrap_or(0)
    }
}

/// Makes keys. Two of them make different keys of the same name.
#[derive(Clone)]
pub struct KeyHasher(SipHasher13);

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not its secrets.
        f.write_str("KeyHasher")
    }
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyHasher {
    /// A hasher with secrets of its own.
    #[must_use]
    pub fn new() -> Self {
        Self(SipHasher13::new_with_keys(rand::random(), rand::random()))
    }

    /// The bucket of an identified caller.
    #[must_use]
    pub fn consumer(&self, limit: u64, scheme: Scheme, user_id: &str) -> BucketKey {
        self.key(&Name::Consumer(limit, scheme, user_id))
    }

    /// The bucket of an address. A household's IPv6 addresses share their /64, and an IPv4 address
    /// is the same when it is written as IPv6.
    #[must_use]
    pub fn address(&self, limit: u64, address: IpAddr) -> BucketKey {
        self.key(&Name::Address(limit, network(address)))
    }

    /// The bucket of several things together. Each part is told apart from every other kind.
    #[must_use]
    pub fn several(&self, limit: u64, parts: &[KeyPart<'_>]) -> BucketKey {
        self.key(&Name::Several(limit, parts))
    }

    fn key(&self, name: &Name<'_>) -> BucketKey {
        let mut hasher = self.0;
        name.hash(&mut hasher);
        BucketKey(hasher.finish128().as_u128())
    }
}

/// Whom an address stands for: an IPv6 address for its /64, as one household or machine has all of
/// those; an IPv4 address that is written as IPv6 for itself.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

/// One of several things that make a key together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPart<'a> {
    /// The client's network, as [`KeyPart::address`] makes it.
    Address(IpAddr),
    /// An identified caller.
    Consumer(Scheme, &'a str),
    /// What the request says.
    Text(&'a str),
}

impl KeyPart<'_> {
    /// An address, IPv6 by its /64.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// What a key is made of. No user's name makes the key of an address.
#[derive(Hash)]
enum Name<'a> {
    Consumer(u64, Scheme, &'a str),
    Address(u64, IpAddr),
    Several(u64, &'a [KeyPart<'a>]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_shows_of_itself_is_no_secret() {
        assert_eq!(format!("{:?}", KeyHasher::new()), "KeyHasher");
    }

    #[test]
    fn addresses_of_one_64_network_share_a_bucket_and_others_do_not() {
        let hasher = KeyHasher::new();
        let key = |address: &str| hasher.address(1, address.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("203.0.113.7"), key("::ffff:203.0.113.7"));
        assert_ne!(key("203.0.113.7"), key("203.0.113.8"));
        assert_ne!(key("203.0.113.7"), hasher.address(2, [203, 0, 113, 7].into()));
        assert_ne!(key("203.0.113.7"), KeyHasher::new().address(1, [203, 0, 113, 7].into()));
    }

    #[test]
    fn several_things_make_one_key_and_none_of_them_is_read_as_another() {
        let hasher = KeyHasher::new();
        let address = KeyPart::address([203, 0, 113, 7].into());
        let key = |parts: &[KeyPart<'_>]| hasher.several(1, parts);
        let text = KeyPart::Text;
        assert_eq!(key(&[address, text("a")]), key(&[address, text("a")]));
        assert_ne!(key(&[address, text("a")]), key(&[address, text("b")]));
        assert_ne!(key(&[text("a"), text("bc")]), key(&[text("ab"), text("c")]));
        assert_ne!(key(&[text("a")]), key(&[KeyPart::Consumer(Scheme::Jwt, "a")]));
        let [near, far] = ["2001:db8:1:2::1", "2001:db8:1:2::2"]
            .map(|text| key(&[KeyPart::address(text.parse().expect("an address"))]));
        assert_eq!(near, far);
    }

    #[test]
    fn limits_schemes_and_callers_have_buckets_of_their_own() {
        let hasher = KeyHasher::new();
        let key = hasher.consumer(1, Scheme::Jwt, "4821");
        assert_eq!(key, hasher.consumer(1, Scheme::Jwt, "4821"));
        assert_ne!(key, hasher.consumer(2, Scheme::Jwt, "4821"));
        assert_ne!(key, hasher.consumer(1, Scheme::ApiKey, "4821"));
        assert_ne!(key, hasher.consumer(1, Scheme::Jwt, "4822"));
        assert_ne!(key, KeyHasher::new().consumer(1, Scheme::Jwt, "4821"));
    }
}
