//! The targets of one service: which of them takes the next call, and what a call's outcome means
//! for the next ones.
//!
//! A target that is written with a host's name stands for all addresses of that name, each an
//! *endpoint* with a condition of its own, once they have been looked up (`resolve`).
//!
//! Invariants
//! - A service with one endpoint pays for one look at its breaker.
//! - At most a share of the endpoints is ejected at once, and never the last one. Where none is in
//!   good condition, all are balanced over whose breakers let calls through.
//! - Endpoints that join or leave do so at once for all cores; calls to one that left go on.
//!
//! Not here: how turns are taken (`balance`), how a breaker decides (`breaker`), who checks
//! (`health`) and who looks names up (`resolve`).

mod endpoints;
mod picked;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;

use self::endpoints::{Endpoints, Written};
use self::picked::Passes;
pub use self::picked::Picked;
pub use self::state::TargetState;
use crate::clock::{Clock, Moment};
use crate::metric::{Label, Named, TargetEvent};
use crate::upstream::balance::Balance;
use crate::upstream::dice::Dice;
use crate::upstream::failed::CallFailed;
use crate::upstream::health::HealthRules;
use crate::upstream::target::Target;

/// What holds for all targets of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetsSettings {
    /// How they take turns.
    pub balance: Balance,
    /// At most so many of a hundred are ejected at once; of two or more, one always may be.
    pub ejected_percent_max: u32,
    /// How often names are looked up again; `None`: each connection looks its own up.
    pub resolve_interval: Option<Duration>,
    /// How they are checked; `None`: not at all.
    pub health: Option<HealthRules>,
}

impl Default for TargetsSettings {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            ejected_percent_max: 50,
            resolve_interval: None,
            health: None,
        }
    }
}

/// Where a service answers; shared by all cores.
#[derive(Debug)]
pub struct Targets {
    name: Arc<str>,
    settings: TargetsSettings,
    authorities: Box<[Box<str>]>,
    endpoints: ArcSwap<Endpoints>,
    /// What the endpoints are made from. Never locked by a call.
    written: Mutex<Vec<Written>>,
    /// Held while an endpoint may be ejected, so that two cores do not eject the last two.
    ejecting: Mutex<()>,
    dice: Dice,
    events: Named<TargetEvent, Counter>,
}

impl Targets {
    /// The targets of a service, each with its weight; there is at least one.
    #[must_use]
    pub fn new(
        name: &Arc<str>,
        settings: TargetsSettings,
        targets: Vec<(Target, u32)>,
        events: &Named<TargetEvent, Counter>,
    ) -> Arc<Self> {
        let authorities = targets.iter().map(|(target, _)| target.authority().into()).collect();
        let written: Vec<_> =
            targets.into_iter().map(|(target, weight)| Written::new(target, weight)).collect();
        let endpoints = Endpoints::build(&written, settings.balance, &Endpoints::default());
        Arc::new(Self {
            name: Arc::clone(name),
            settings,
            authorities,
            endpoints: ArcSwap::from_pointee(endpoints),
            written: Mutex::new(written),
            ejecting: Mutex::default(),
            dice: Dice::random(),
            events: events.clone(),
        })
    }

    /// A service with one target, for which nothing is counted.
    #[must_use]
    pub fn one(target: Target) -> Arc<Self> {
        let name = Arc::clone(target.name());
        Self::new(&name, TargetsSettings::default(), vec![(target, 1)], &Named::default())
    }

    /// Goes on with what an earlier set of the same service knows: what is written as it was keeps
    /// its connections, its breakers, its addresses and all else.
    ///
    /// Call it before the first call is made.
    pub fn adopt(&self, earlier: &Self) {
        let mut written = self.written();
        let known = earlier.written();
        for target in written.iter_mut() {
            if let Some(same) = known.iter().find(|same| same.target.is_same(&target.target)) {
                target.target = Arc::clone(&same.target);
                if self.settings.resolve_interval.is_some() {
                    target.addresses.clone_from(&same.addresses);
                }
            }
        }
        self.rebuild(&written, &earlier.endpoints.load());
        if self.settings.health.is_none() {
            let endpoints = self.endpoints.load();
            endpoints.iter().for_each(|target| target.condition().health.forget());
        }
        self.forget_events_of_others();
    }

    /// The target for a call that begins now. Say what the call came to with [`Picked::report`].
    ///
    /// # Errors
    ///
    /// [`CallFailed::Unavailable`] when no target takes calls now.
    pub fn pick<'a>(&'a self, clock: &'a Clock, now: Moment) -> Result<Picked<'a>, CallFailed> {
        self.pick_other(clock, now, &[])
    }

    /// The same for a call that is made again: a target that has not been tried, if one is in good
    /// condition; otherwise any.
    ///
    /// # Errors
    ///
    /// As [`Targets::pick`].
    pub fn pick_other<'a>(
        &'a self,
        clock: &'a Clock,
        now: Moment,
        tried: &[Arc<Target>],
    ) -> Result<Picked<'a>, CallFailed> {
        let endpoints = self.endpoints.load();
        let found = match endpoints.only() {
            // With nobody else to go to, only its breaker counts.
            Some(target) => Passes::take(target, now, false).map(|passes| (target, passes)),
            None => self.choose(&endpoints, now, tried),
        };
        match found {
            Some((target, passes)) => {
                Ok(Picked::new(self, clock, now, (Arc::clone(target), passes)))
            }
            None => Err(CallFailed::Unavailable(endpoints.wait(now))),
        }
    }

    /// One of several: the best kind of endpoint of which one lets the call through.
    fn choose<'e>(
        &self,
        endpoints: &'e Endpoints,
        now: Moment,
        tried: &[Arc<Target>],
    ) -> Option<(&'e Arc<Target>, Passes)> {
        let kinds = endpoints.kinds(now, tried);
        for (minds_ejection, places) in
            [(true, kinds.best), (true, kinds.free), (true, kinds.good), (false, kinds.usable)]
        {
            let mut places = places;
            while let Some(place) = endpoints.next(places, &self.dice) {
                let target = endpoints.get(place)?;
                if let Some(passes) = Passes::take(target, now, minds_ejection) {
                    return Some((target, passes));
                }
                // Another core took the last probe.
                places.remove(place);
            }
        }
        None
    }

    /// Whether one more endpoint than those that are ejected already may be.
    fn may_eject(&self, target: &Arc<Target>) -> bool {
        let endpoints = self.endpoints.load();
        let count = endpoints.iter().count();
        let is_ejected = |target: &Arc<Target>| {
            target.condition().ejection.as_ref().is_some_and(|ejection| !ejection.is_closed())
        };
        let others = endpoints.iter().filter(|other| !Arc::ptr_eq(other, target));
        let ejected = others.filter(|other| is_ejected(other)).count();
        let percent = usize::try_from(self.settings.ejected_percent_max).unwrap_or(100);
        ejected < (count * percent / 100).max(1).min(count.saturating_sub(1))
    }

    fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Host and port of each target, as they stand in the configuration.
    pub fn authorities(&self) -> impl Iterator<Item = &str> {
        self.authorities.iter().map(|authority| &**authority)
    }

    /// The service's name.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What holds for all of them.
    #[must_use]
    pub const fn settings(&self) -> &TargetsSettings {
        &self.settings
    }

    /// How each endpoint does.
    #[must_use]
    pub fn states(&self, now: Moment) -> Vec<TargetState> {
        let endpoints = self.endpoints.load();
        endpoints.weighed().map(|(target, weight)| TargetState::of(target, weight, now)).collect()
    }

    /// All endpoints there are now.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<Target>> {
        self.endpoints.load().iter().cloned().collect()
    }

    pub(super) const fn dice(&self) -> &Dice {
        &self.dice
    }

    /// Names that may have several addresses, with the places of their targets.
    pub(super) fn names(&self) -> Vec<(usize, String, u16)> {
        let written = self.written();
        let named = written.iter().enumerate().filter(|(_, written)| written.target.has_name());
        named.map(|(at, one)| (at, one.target.host().to_owned(), one.target.port())).collect()
    }

    /// The addresses that the name of the target at that place has now; known ones go on as they
    /// are. Says whether anything has changed.
    pub(super) fn set_addresses(&self, place: usize, mut addresses: Vec<SocketAddr>) -> bool {
        addresses.sort_unstable();
        addresses.dedup();
        let mut written = self.written();
        let Some(target) = written.get_mut(place) else { return false };
        if target.addresses == addresses {
            return false;
        }
        target.addresses = addresses;
        self.rebuild(&written, &self.endpoints.load());
        drop(written);
        self.forget_events_of_others();
        true
    }

    fn rebuild(&self, written: &[Written], known: &Endpoints) {
        let endpoints = Endpoints::build(written, self.settings.balance, known);
        self.endpoints.store(Arc::new(endpoints));
    }

    fn written(&self) -> MutexGuard<'_, Vec<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what has happened to a target.
    pub(super) fn count(&self, target: &Target, event: &'static str) {
        let labels = TargetEvent {
            service: Label(Arc::clone(&self.name)),
            target: Label(target.label().into()),
            event,
        };
        self.events.get_or_create_owned(&labels).inc();
    }

    /// Removes what is counted of endpoints that this service has no more: where addresses come and
    /// go, the page would grow for ever.
    fn forget_events_of_others(&self) {
        let known: Vec<String> =
            self.endpoints.load().iter().map(|target| target.label()).collect();
        self.events.retain(|TargetEvent { service, target, .. }| {
            *service.0 != *self.name || known.iter().any(|known| **known == *target.0)
        });
    }
}

#[cfg(test)]
mod tests;
