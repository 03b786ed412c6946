//! `retry`, `retry_budget`, `concurrency` and `priority`: what a level says, and what it inherits.

use std::sync::Arc;

use http::{Method, StatusCode};
use shared_config::platform;

use super::Report;
use crate::priority::Priority;
use crate::upstream::concurrency::{ConcurrencyLimit, ConcurrencySettings};
use crate::upstream::retry::{BudgetShare, RetryPolicy};

/// How calls are repeated that are made for a level; `Some(None)`: they are not. `own` is the level's
/// table, `services.<name>`, where it says anything itself: what it inherits is reported where it
/// stands.
pub(super) fn retry(
    report: &mut Report<'_>,
    own: Option<&[&str]>,
    in_force: &platform::RetryDefaults,
) -> Option<Option<RetryPolicy>> {
    let mut refuse = |key, value: &str, reason: &str| {
        if let Some(own) = own {
            report.add(&[own, &["retry", key]].concat(), value, reason);
        }
    };
    let statuses = in_force.statuses.iter().filter_map(|&status| StatusCode::from_u16(status).ok());
    let methods = match in_force.methods.as_deref().map(methods) {
        Some(Err(unknown)) => {
            refuse("methods", unknown, "must be GET, HEAD, OPTIONS, PUT, DELETE, POST or PATCH");
            return None;
        }
        Some(Ok(methods)) => Some(methods),
        None => None,
    };
    if in_force.backoff_base > in_force.backoff_max {
        let reason = format!("must be at most `backoff_max`, \"{}\"", in_force.backoff_max);
        refuse("backoff_base", &in_force.backoff_base.to_string(), &reason);
        return None;
    }
    let policy = RetryPolicy {
        attempts_max: in_force.attempts_max,
        statuses: statuses.collect(),
        methods,
        backoff_base: in_force.backoff_base.get(),
        backoff_max: in_force.backoff_max.get(),
        per_try_timeout: in_force.per_try_timeout.map(|timeout| timeout.get()),
        replay_size_max: in_force.replay_size_max.as_usize(),
    };
    Some((policy.attempts_max > 1).then_some(policy))
}

/// The methods of these names, or the first that is none.
fn methods(names: &[String]) -> Result<Vec<Method>, &str> {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::POST,
        Method::PATCH,
    ];
    let known = |name| KNOWN.into_iter().find(|known| known.as_str() == name);
    names.iter().map(|name| known(name).ok_or(name.as_str())).collect()
}

/// What retries may add to a service's load.
pub(super) fn budget(policy: &platform::Policy, service: &platform::Service) -> BudgetShare {
    let platform::RetryBudget { percent, floor } =
        service.retry_budget.unwrap_or(policy.retry_budget);
    let floor = f64::from(floor.requests().get()) / floor.period().as_secs_f64();
    BudgetShare::new(percent, floor)
}

/// How many calls a service is given at a time; `Some(None)`: that is not found out.
pub(super) fn concurrency(
    report: &mut Report<'_>,
    name: &str,
    service: &platform::Service,
) -> Option<Option<Arc<ConcurrencyLimit>>> {
    let upstream = &report.platform().upstream;
    let own = service.concurrency.as_ref();
    let in_force =
        own.map_or_else(|| upstream.concurrency.clone(), |own| own.or(&upstream.concurrency));
    let Some(latency_max) = in_force.latency_max else { return Some(None) };
    let in_flight_max = service.requests_in_flight_max.unwrap_or(upstream.requests_in_flight_max);
    let max = in_force.max.unwrap_or(in_flight_max);
    let settings = ConcurrencySettings {
        min: in_force.min.unwrap_or(1),
        max,
        latency_max: latency_max.get(),
        partner_percent: in_force.partner_percent.unwrap_or(100),
        batch_percent: in_force.batch_percent.unwrap_or(100),
        spare_percent: in_force.spare_percent.unwrap_or(100),
    };
    let [min, batch, spare] = [
        own.and_then(|own| own.min),
        own.and_then(|own| own.batch_percent),
        own.and_then(|own| own.spare_percent),
    ];
    let max = own.and_then(|own| own.max);
    for (key, own, value, limit, above) in [
        ("min", min, settings.min, settings.max, "the greatest limit"),
        ("max", max, settings.max, in_flight_max, "`requests_in_flight_max`"),
        (
            "batch_percent",
            batch,
            settings.batch_percent,
            settings.partner_percent,
            "`partner_percent`",
        ),
        ("spare_percent", spare, settings.spare_percent, settings.batch_percent, "`batch_percent`"),
    ] {
        if value > limit {
            let reason = format!("must be at most {above}, {limit}, for {name}");
            let value = value.to_string();
            match own {
                Some(_) => report.add(&["services", name, "concurrency", key], &value, &reason),
                None => report.add(&["upstream", "concurrency", key], &value, &reason),
            }
            return None;
        }
    }
    Some(Some(ConcurrencyLimit::new(settings)))
}

/// A route's priority, its own or the gateway's.
pub(super) fn priority(gateway: &platform::Gateway, own: Option<platform::Priority>) -> Priority {
    class(own.unwrap_or(gateway.priority))
}

/// Tiers with a priority of their own.
pub(super) fn tiers(gateway: &platform::Gateway) -> Vec<(Box<str>, Priority)> {
    let tiers = gateway.tier_priority.iter();
    tiers.map(|(tier, priority)| (tier.as_str().into(), class(*priority))).collect()
}

const fn class(written: platform::Priority) -> Priority {
    match written {
        platform::Priority::Interactive => Priority::Interactive,
        platform::Priority::Partner => Priority::Partner,
        platform::Priority::Batch => Priority::Batch,
    }
}
