//! How a target does, for people.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Moment;
use crate::upstream::breaker::{Breaker, BreakerState};
use crate::upstream::target::Target;

/// How one endpoint does at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetState {
    /// Its address, or host and port as they are written.
    pub target: String,
    /// Host and port as they are written.
    pub authority: String,
    /// Its weight.
    pub weight: u32,
    /// Whether nothing that is known speaks against calling it.
    pub takes_calls: bool,
    /// What active checks say: `healthy`, or `unhealthy`.
    pub health: &'static str,
    /// `closed`, `open`, `half_open`, or `off`.
    pub breaker: &'static str,
    /// How long the breaker stays open.
    pub open_for_ms: u64,
    /// How long it stays ejected; 0 while it is being tried, too.
    pub ejected_for_ms: u64,
    /// Whether it is ejected, or is being tried after that.
    pub is_ejected: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// The most there may be.
    pub in_flight_max: u32,
    /// Calls that wait for a connection.
    pub pending: u32,
    /// How long answers take, on average.
    pub latency_us: u64,
    /// Connections opened so far.
    pub connections_opened: u64,
}

impl TargetState {
    pub(super) fn of(target: &Target, weight: u32, now: Moment) -> Self {
        let condition = target.condition();
        let (breaker, open_for) = word(condition.breaker.as_ref(), now);
        let (ejection, ejected_for) = word(condition.ejection.as_ref(), now);
        Self {
            target: target.label(),
            authority: target.authority().to_owned(),
            weight,
            takes_calls: condition.is_good(now),
            health: if condition.health.is_good() { "healthy" } else { "unhealthy" },
            breaker,
            open_for_ms: millis(open_for),
            is_ejected: matches!(ejection, "open" | "half_open"),
            ejected_for_ms: millis(ejected_for),
            in_flight: target.requests_in_flight(),
            in_flight_max: target.settings().requests_in_flight_max,
            pending: target.slots().map_or(0, |slots| slots.waiting()),
            latency_us: u64::try_from(condition.latency().as_micros()).unwrap_or(u64::MAX),
            connections_opened: target.connections_opened(),
        }
    }
}

fn word(breaker: Option<&Breaker>, now: Moment) -> (&'static str, Duration) {
    match breaker.map(Breaker::state) {
        None => ("off", Duration::ZERO),
        Some(BreakerState::Closed) => ("closed", Duration::ZERO),
        Some(BreakerState::HalfOpen) => ("half_open", Duration::ZERO),
        Some(BreakerState::Open(until)) => ("open", until.since(now)),
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
