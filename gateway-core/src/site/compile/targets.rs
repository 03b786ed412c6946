//! `services.*.url` and `services.*.targets`, with what they inherit of `[upstream]`.

use std::sync::Arc;

use http::uri::PathAndQuery;
use shared_config::platform;

use super::Report;
use crate::metric::Metrics;
use crate::upstream::{
    Balance, BreakerRules, FailureRules, FailureShare, HealthRules, SlotRules, Target,
    TargetSettings, Targets, TargetsSettings,
};

/// The targets of a service; `None` when one of them is wrong.
pub(super) fn compile(
    report: &mut Report<'_>,
    name: &Arc<str>,
    (service, settings): (&platform::Service, &TargetSettings),
    metrics: &Metrics,
) -> Option<Arc<Targets>> {
    let defaults = &report.platform().upstream;
    let health = match &service.health {
        Some(check) => Some(health(report, name, defaults, check)?),
        None => None,
    };
    let mut targets = Vec::new();
    let mut is_right = true;
    if service.targets.is_empty() {
        let url = service.url.as_deref().unwrap_or_default();
        let target = Target::parse(name, url, settings.clone());
        targets.extend(report.keep(&["services", name, "url"], url, target).map(|one| (one, 1)));
        is_right = !targets.is_empty();
    } else {
        for (at, platform::Target { url, weight }) in service.targets.iter().enumerate() {
            let target = Target::parse(name, url, settings.clone());
            let path = ["services", name, "targets", &at.to_string(), "url"];
            match report.keep(&path, url, target) {
                Some(target) => targets.push((target, *weight)),
                None => is_right = false,
            }
        }
    }
    let ejection = defaults.ejection.with(service.ejection.as_ref());
    let settings = TargetsSettings {
        balance: match service.balance.unwrap_or(defaults.balance) {
            platform::Balance::LeastRequest => Balance::LeastRequest,
            platform::Balance::RoundRobin => Balance::RoundRobin,
        },
        ejected_percent_max: ejection.percent_max,
        // Each connection of a mesh looks its sidecar's name up itself.
        resolve_interval: (!service.is_mesh()).then(|| defaults.resolve_interval.get()),
        health,
    };
    is_right.then(|| Targets::new(name, settings, targets, &metrics.target_events))
}

/// The bound on connections, where there is one. Calls of HTTP/2 share one on each core.
pub(super) fn slots(
    defaults: &platform::Upstream,
    service: &platform::Service,
) -> Option<SlotRules> {
    if service.protocol == Some(platform::ServiceProtocol::H2) {
        return None;
    }
    let connections_max = service.connections_max.or(defaults.connections_max)?;
    let pending_timeout = defaults.pending_timeout.get();
    Some(SlotRules { connections_max, pending_max: defaults.pending_max, pending_timeout })
}

/// What failures lead to; nothing where a mesh's sidecar sees to them.
pub(super) fn failures(defaults: &platform::Upstream, service: &platform::Service) -> FailureRules {
    if service.is_mesh() {
        return FailureRules::default();
    }
    let breaker = defaults.breaker.with(service.breaker.as_ref());
    let ejection = defaults.ejection.with(service.ejection.as_ref());
    FailureRules {
        breaker: breaker.enabled.then(|| BreakerRules {
            consecutive_failures: breaker.consecutive_failures,
            failure_share: Some(FailureShare {
                percent: breaker.failure_percent,
                requests_min: breaker.requests_min,
                window: breaker.window.get(),
            }),
            open_time: breaker.open_time.get(),
            open_time_max: breaker.open_time_max.get(),
            probes: breaker.probes,
        }),
        breaker_statuses: breaker.statuses,
        ejection: ejection.enabled.then(|| BreakerRules {
            consecutive_failures: ejection.consecutive_failures,
            failure_share: None,
            open_time: ejection.time.get(),
            open_time_max: ejection.time_max.get(),
            // One call finds out; the others wait until it has come back well.
            probes: 1,
        }),
    }
}

fn health(
    report: &mut Report<'_>,
    name: &str,
    defaults: &platform::Upstream,
    check: &platform::HealthCheck,
) -> Option<HealthRules> {
    let defaults = &defaults.health;
    let path = check.path.parse::<PathAndQuery>();
    let path = report.keep(&["services", name, "health", "path"], &check.path, path)?;
    Some(HealthRules {
        path,
        interval: check.interval.unwrap_or(defaults.interval).get(),
        timeout: check.timeout.unwrap_or(defaults.timeout).get(),
        healthy_after: check.healthy_after.unwrap_or(defaults.healthy_after),
        unhealthy_after: check.unhealthy_after.unwrap_or(defaults.unhealthy_after),
        status: check.status,
    })
}
