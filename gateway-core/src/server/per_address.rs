//! How many connections one address may have, over all cores.
//!
//! Invariants
//! - There is an entry for each address that has a connection and for no other, so that there are no
//!   more than connections.
//! - Without a bound, nothing is counted.
//!
//! Not here: whose address it is behind a balancer (`proxy_protocol`), limits of requests
//! (`rate_limit`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rate_limit::network;

/// The connections of each address. All cores share it.
#[derive(Debug, Default)]
pub(super) struct PerAddress {
    max: Option<NonZeroU32>,
    taken: Mutex<HashMap<IpAddr, u32>>,
}

impl PerAddress {
    /// `max` for each address; `None`: any number.
    pub(super) fn new(max: Option<NonZeroU32>) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// One connection of `address`, until it is dropped; `None` when it has all that it may have.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let Some(max) = self.max else { return Some(Seat(None)) };
        let network = network(address);
        let mut taken = self.taken();
        let count = taken.entry(network).or_default();
        if *count >= max.get() {
            return None;
        }
        *count += 1;
        Some(Seat(Some((Arc::clone(self), network))))
    }

    fn give_back(&self, network: IpAddr) {
        let mut taken = self.taken();
        if let Some(count) = taken.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&network);
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections of an address. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Seat(Option<(Arc<PerAddress>, IpAddr)>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((of, network)) = &self.0 {
            of.give_back(*network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_a_64_network_is_one() {
        let per_address = PerAddress::new(NonZeroU32::new(2));
        let take = |address: &str| per_address.take(address.parse().expect("an address"));
        let mut held = Vec::new();
        for (address, is_let_in) in [
            ("203.0.113.7", true),
            ("::ffff:203.0.113.7", true),
            ("203.0.113.7", false),
            ("203.0.113.8", true),
            ("2001:db8:1:2::1", true),
            ("2001:db8:1:2::2", true),
            ("2001:db8:1:2::3", false),
            ("2001:db8:1:3::1", true),
        ] {
            let seat = take(address);
            assert_eq!(seat.is_some(), is_let_in, "{address}");
            held.push(seat);
        }
        held.swap_remove(0);
        held.push(take("203.0.113.7"));
        assert!(held.last().is_some_and(Option::is_some), "one has ended");
        assert!(take("203.0.113.7").is_none());
        drop(held);
        assert!(per_address.taken().is_empty());
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let per_address = PerAddress::new(None);
        let address = IpAddr::from([203, 0, 113, 7]);
        let held: Vec<_> = (0..100).map(|_| per_address.take(address)).collect();
        assert!(held.iter().all(Option::is_some) && per_address.taken().is_empty());
    }
}
