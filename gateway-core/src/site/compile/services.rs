//! `[services.*]`

use std::sync::Arc;

use shared_config::platform;

use super::{Report, resilience};
use crate::assertion::AssertionKey;
use crate::site::{Service, ServiceMetrics};
use crate::upstream::{Target, TargetSettings, Targets};

/// Every service, in the order of their names; `None` when one of them is wrong.
pub(super) fn compile(report: &mut Report<'_>) -> Option<Vec<Service>> {
    let services = &report.platform().services;
    let compiled: Vec<Option<Service>> =
        services.iter().map(|(name, service)| compile_one(report, name, service)).collect();
    compiled.into_iter().collect()
}

fn compile_one(
    report: &mut Report<'_>,
    name: &str,
    service: &platform::Service,
) -> Option<Service> {
    let settings = settings(&report.platform().upstream, service);
    let body_size_max = settings.body_size_max;
    let target = Target::parse(name, &service.url, settings);
    let target = report.keep(&["services", name, "url"], &service.url, target);
    let key = service.assertion_key.as_ref().map(|secret| {
        let key = AssertionKey::build(secret.expose().as_bytes());
        report.keep(&["services", name, "assertion_key"], "***", key)
    });
    let policy = &report.platform().policy;
    let retry = policy.retry.with(service.retry.as_ref());
    let retry = resilience::retry(report, &["services", name], &retry);
    let concurrency = resilience::concurrency(report, name, service);
    let name: Arc<str> = name.into();
    Some(Service {
        metrics: ServiceMetrics::new(&name),
        name,
        targets: Targets::one(target?),
        assertion_key: match key {
            Some(key) => Some(key?),
            None => None,
        },
        body_size_max,
        retry: retry?,
        budget_share: resilience::budget(policy, service),
        load: Arc::default(),
        concurrency: concurrency?,
    })
}

fn settings(defaults: &platform::Upstream, service: &platform::Service) -> TargetSettings {
    TargetSettings {
        connect_timeout: service.connect_timeout.unwrap_or(defaults.connect_timeout).get(),
        response_timeout: service.response_timeout.unwrap_or(defaults.response_timeout).get(),
        read_timeout: service.read_timeout.unwrap_or(defaults.read_timeout).get(),
        idle_timeout: defaults.idle_timeout.get(),
        idle_connections_max: defaults.idle_connections_max,
        requests_in_flight_max: service
            .requests_in_flight_max
            .unwrap_or(defaults.requests_in_flight_max),
        head_size_max: defaults.head_size_max.as_usize(),
        body_size_max: service.body_size_max.unwrap_or(defaults.body_size_max).as_usize(),
    }
}
