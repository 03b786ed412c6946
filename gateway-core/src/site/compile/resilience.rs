//! `retry`, `retry_budget`, `concurrency` and `priority`: what a level says, and what it inherits.

use http::{Method, StatusCode};
use shared_config::platform;

use super::Report;
use crate::metric::ServiceName;
use crate::priority::Priority;
use crate::upstream::concurrency::{ConcurrencyLimit, ConcurrencySettings};
use crate::upstream::retry::{BudgetShare, RetryPolicy};

use std::sync::Arc;

/// How calls are repeated that are made for a level; `Some(None)`: they are not. `path` is the
/// level's table: `services.<name>`.
pub(super) fn retry(
    report: &mut Report<'_>,
    path: &[&str],
    written: &platform::RetryDefaults,
) -> Option<Option<RetryPolicy>> {
    let at = |key| [path, &["retry", key]].concat();
    let statuses = written.statuses.iter().filter_map(|&status| StatusCode::from_u16(status).ok());
    let statuses = statuses.collect();
    let methods = match &written.methods {
        Some(names) => Some(methods(report, &at("methods"), names)?),
        None => None,
    };
    if written.backoff_base > written.backoff_max {
        let reason = format!("must be at most `backoff_max`, \"{}\"", written.backoff_max);
        report.add(&at("backoff_base"), &written.backoff_base.to_string(), &reason);
        return None;
    }
    let policy = RetryPolicy {
        attempts_max: written.attempts_max,
        statuses,
        methods,
        backoff_base: written.backoff_base.get(),
        backoff_max: written.backoff_max.get(),
        per_try_timeout: written.per_try_timeout.map(|timeout| timeout.get()),
        replay_size_max: written.replay_size_max.as_usize(),
    };
    Some((policy.attempts_max > 1).then_some(policy))
}

fn methods(report: &mut Report<'_>, path: &[&str], names: &[String]) -> Option<Vec<Method>> {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::POST,
        Method::PATCH,
    ];
    let mut methods = Vec::with_capacity(names.len());
    for name in names {
        match KNOWN.into_iter().find(|known| known.as_str() == name) {
            Some(method) => methods.push(method),
            None => {
                report.add(path, name, "must be GET, HEAD, OPTIONS, PUT, DELETE, POST or PATCH");
                return None;
            }
        }
    }
    Some(methods)
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
    let written = service.concurrency.as_ref();
    let in_force =
        written.map_or_else(|| upstream.concurrency.clone(), |own| own.or(&upstream.concurrency));
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
    for (key, value, limit, above) in [
        ("min", settings.min, settings.max, "the greatest limit"),
        ("max", settings.max, in_flight_max, "`requests_in_flight_max`"),
        ("batch_percent", settings.batch_percent, settings.partner_percent, "`partner_percent`"),
        ("spare_percent", settings.spare_percent, settings.batch_percent, "`batch_percent`"),
    ] {
        if value > limit {
            let reason = format!("must be at most {above}, {limit}");
            report.add(&["services", name, "concurrency", key], &value.to_string(), &reason);
            return None;
        }
    }
    let service = ServiceName { service: name.into() };
    let gauge = report.metrics.concurrency_limit.get_or_create_owned(&service);
    Some(Some(ConcurrencyLimit::new(settings, gauge)))
}

/// A route's priority, its own or the gateway's.
pub(super) fn priority(gateway: &platform::Gateway, own: Option<platform::Priority>) -> Priority {
    match own.unwrap_or(gateway.priority) {
        platform::Priority::Interactive => Priority::Interactive,
        platform::Priority::Partner => Priority::Partner,
        platform::Priority::Batch => Priority::Batch,
    }
}
