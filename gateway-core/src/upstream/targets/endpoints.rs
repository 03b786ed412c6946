//! The endpoints of a service at one time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::upstream::balance::{Balance, ENDPOINTS_MAX, Places, Turns};
use crate::upstream::dice::Dice;
use crate::upstream::target::Target;

/// A target as it is written, and the addresses that its name was last known to have.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) target: Arc<Target>,
    pub(super) weight: u32,
    /// Sorted; empty while the name has not been looked up, or is none.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Written {
    pub(super) fn new(target: Target, weight: u32) -> Self {
        Self { target: Arc::new(target), weight, addresses: Vec::new() }
    }
}

/// Endpoints and the turns between them.
#[derive(Debug)]
pub(super) struct Endpoints {
    list: Box<[(Arc<Target>, u32)]>,
    turns: Turns,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { list: Box::default(), turns: Turns::new(Balance::default(), &[]) }
    }
}

/// Which endpoints are of which kind, from the best to the last resort.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// Good, not full, and not tried before.
    pub(super) best: Places,
    /// Good and not full.
    pub(super) free: Places,
    /// In good condition.
    pub(super) good: Places,
    /// Any whose breaker lets calls through.
    pub(super) usable: Places,
}

impl Endpoints {
    /// What is written, each address an endpoint; those that are `known` go on as they are.
    pub(super) fn build(written: &[Written], balance: Balance, known: &Self) -> Self {
        let known = |one: &Written, address: SocketAddr| {
            let mut known = known.list.iter().map(|(target, _)| target);
            let is_same = |target: &&Arc<Target>| {
                target.address() == Some(address) && target.is_same(&one.target)
            };
            known.find(is_same).cloned().unwrap_or_else(|| Arc::new(one.target.at(address)))
        };
        let mut list = Vec::with_capacity(written.len());
        for one in written {
            let addresses = one.addresses.iter();
            list.extend(addresses.map(|&address| (known(one, address), one.weight)));
            if one.addresses.is_empty() {
                list.push((Arc::clone(&one.target), one.weight));
            }
        }
        list.truncate(ENDPOINTS_MAX);
        let weights: Vec<u32> = list.iter().map(|(_, weight)| *weight).collect();
        Self { turns: Turns::new(balance, &weights), list: list.into() }
    }

    /// The endpoint, where there is only one.
    pub(super) const fn only(&self) -> Option<&Arc<Target>> {
        match &*self.list {
            [(only, _)] => Some(only),
            _ => None,
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<&Arc<Target>> {
        self.list.get(place).map(|(target, _)| target)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.list.iter().map(|(target, _)| target)
    }

    pub(super) fn weighed(&self) -> impl Iterator<Item = (&Target, u32)> {
        self.list.iter().map(|(target, weight)| (&**target, *weight))
    }

    pub(super) fn kinds(&self, now: Moment, tried: &[Arc<Target>]) -> Kinds {
        let mut kinds = Kinds::default();
        for (place, target) in self.iter().enumerate() {
            if target.condition().is_good(now) {
                kinds.good.add(place);
                kinds.usable.add(place);
                if !target.is_full() {
                    kinds.free.add(place);
                    if !tried.iter().any(|one| Arc::ptr_eq(one, target)) {
                        kinds.best.add(place);
                    }
                }
            } else if target.condition().is_usable(now) {
                kinds.usable.add(place);
            }
        }
        kinds
    }

    pub(super) fn next(&self, places: Places, dice: &Dice) -> Option<usize> {
        let load = |place| self.get(place).map_or(u32::MAX, |target| target.requests_in_flight());
        self.turns.next(places, dice, load)
    }

    /// How long until one of them lets a call through, at the earliest.
    pub(super) fn wait(&self, now: Moment) -> Duration {
        self.iter().map(|target| target.condition().wait(now)).min().unwrap_or_default()
    }
}
