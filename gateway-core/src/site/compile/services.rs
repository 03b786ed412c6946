//! `[services.*]`

use std::sync::Arc;

use shared_config::platform;

use super::{Report, gate, resilience, targets};
use crate::assertion::AssertionKey;
use crate::metric::Metrics;
use crate::permit::Permits;
use crate::site::{Service, ServiceMetrics};
use crate::upstream::{Protocol, ServiceTls, TargetSettings, TlsTexts};

/// Every service, in the order of their names; `None` when one of them is wrong.
pub(super) fn compile(report: &mut Report<'_>, metrics: &Metrics) -> Option<Vec<Service>> {
    let policy = &report.platform().policy;
    resilience::retry(report, Some(&["policy"]), &policy.retry)?;
    let services = &report.platform().services;
    let compiled =
        services.iter().map(|(name, service)| compile_one(report, name, service, metrics));
    let compiled: Vec<Option<Service>> = compiled.collect();
    compiled.into_iter().collect()
}

fn compile_one(
    report: &mut Report<'_>,
    name: &str,
    service: &platform::Service,
    metrics: &Metrics,
) -> Option<Service> {
    let tls = tls(report, name, service)?;
    let settings = TargetSettings { tls, ..settings(&report.platform().upstream, service) };
    let body_size_max = settings.body_size_max;
    let websockets_max =
        service.websockets_max.unwrap_or(report.platform().upstream.websockets_max);
    let key = service.assertion_key.as_ref().map(|secret| {
        let key = AssertionKey::build(secret.expose().as_bytes());
        report.keep(&["services", name, "assertion_key"], "***", key)
    });
    let policy = &report.platform().policy;
    let retry = policy.retry.with(service.retry.as_ref());
    let own = ["services", name];
    let retry = resilience::retry(report, service.retry.as_ref().map(|_| &own[..]), &retry);
    let concurrency = resilience::concurrency(report, name, service);
    let maintenance = service.maintenance.as_ref();
    let maintenance = maintenance.map(|written| gate::maintenance(&own, written));
    let name: Arc<str> = name.into();
    let targets = targets::compile(report, &name, (service, &settings), metrics);
    Some(Service {
        metrics: ServiceMetrics::new(&name),
        name,
        targets: targets?,
        is_mesh: service.is_mesh(),
        assertion_key: match key {
            Some(key) => Some(key?),
            None => None,
        },
        maintenance: maintenance.map(Arc::new),
        body_size_max,
        websockets: Permits::new(websockets_max),
        // A mesh's sidecar retries, and whoever does it twice multiplies attempts.
        retry: retry?.filter(|_| !service.is_mesh()),
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
        write_timeout: service.write_timeout.unwrap_or(defaults.write_timeout).get(),
        idle_timeout: defaults.idle_timeout.get(),
        idle_connections_max: defaults.idle_connections_max,
        requests_in_flight_max: service
            .requests_in_flight_max
            .unwrap_or(defaults.requests_in_flight_max),
        head_size_max: defaults.head_size_max.as_usize(),
        body_size_max: service.body_size_max.unwrap_or(defaults.body_size_max).as_usize(),
        slots: targets::slots(defaults, service),
        failures: targets::failures(defaults, service),
        protocol: protocol(service),
        tls: None,
        h2_streams_max: defaults.h2_streams_max,
    }
}

const fn protocol(service: &platform::Service) -> Protocol {
    match service.protocol {
        None | Some(platform::ServiceProtocol::H1) => Protocol::Http1,
        Some(platform::ServiceProtocol::H2) => Protocol::Http2,
    }
}

/// The service's encryption; `Some(None)` when it has none, `None` when it is wrong.
#[expect(clippy::option_option, reason = "what is absent is no mistake")]
fn tls(
    report: &mut Report<'_>,
    name: &str,
    service: &platform::Service,
) -> Option<Option<ServiceTls>> {
    let Some(tls) = &service.tls else { return Some(None) };
    let certificate = tls.certificate.as_ref().map(shared_config::TextFile::text);
    let texts = TlsTexts {
        ca: tls.ca.text(),
        identity: certificate.zip(tls.key.as_ref().map(shared_config::Secret::expose)),
        server_name: tls.server_name.as_deref(),
    };
    match ServiceTls::build(texts, protocol(service)) {
        Ok(tls) => Some(Some(tls)),
        Err(error) => {
            let written = match error.key() {
                "ca" => tls.ca.name(),
                "certificate" => tls.certificate.as_ref().map_or("", shared_config::TextFile::name),
                "server_name" => tls.server_name.as_deref().unwrap_or_default(),
                _ => "***",
            };
            report.add(&["services", name, "tls", error.key()], written, &error);
            None
        }
    }
}
