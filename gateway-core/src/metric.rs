//! Metrics: what is counted and measured, under names of OpenTelemetry's semantic conventions.
//!
//! Families are registered here; the hot path counts through handles that the site keeps, because
//! a look-up by label costs more than everything else about a metric.
//!
//! Read in this order: [`Metrics`] is all of them, `labels` tells their members apart, `named` forgets
//! those of a configuration that was left behind.
//!
//! Not here: the page that shows them (`admin`).

mod labels;
mod named;
mod tasks;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use self::labels::{
    CertificateFile, ConnectionEnd, CoreNumber, DecisionOutcome, Handshake, HandshakeFailure,
    Label, LimitOutcome, PartCacheUse, PartOutcome, RefusalCode, ReloadResult, RouteStatus,
    ServiceName, ServiceOutcome, Shed, SpanOutcome, TargetEvent, TargetName,
};
pub use self::named::Named;
pub use self::tasks::{RuntimeKind, Tasks};

/// Upper bounds in seconds: dense from 0.1 to 5 ms, where a gateway's own time lies.
const SECONDS: [f64; 20] = [
    0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002, 0.003, 0.004, 0.005,
    0.007_5, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// The names that label metrics, as a configuration has them.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// Routes, and `none` for requests without one.
    pub routes: BTreeSet<&'a str>,
    /// Services.
    pub services: BTreeSet<&'a str>,
    /// Limits that are charged.
    pub limits: BTreeSet<&'a str>,
    /// Aggregates that are shown.
    pub aggregates: BTreeSet<&'a str>,
}

/// Everything a gateway counts, and the registry that shows it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pages: Mutex<()>,
    /// `http_server_request_duration_seconds`
    pub requests: Named<RouteStatus, Histogram>,
    /// `http_server_active_requests`
    pub active_requests: Gauge,
    /// `gateway_overhead_seconds`: total minus the critical path of upstream time.
    pub overhead: Histogram,
    /// `gateway_refusals_total`
    pub refusals: Family<RefusalCode, Counter>,
    /// `http_client_request_duration_seconds`: calls to services.
    pub calls: Named<ServiceOutcome, Histogram>,
    /// `gateway_target_events_total`
    pub target_events: Named<TargetEvent, Counter>,
    /// `gateway_target_takes_calls`: 1, or 0. Set when the page is read.
    pub target_takes_calls: Family<TargetName, Gauge>,
    /// `gateway_target_breaker`: 0 closed, 1 half-open, 2 open. Set when the page is read.
    pub target_breaker: Family<TargetName, Gauge>,
    /// `gateway_aggregate_parts_total`
    pub parts: Named<PartOutcome, Counter>,
    /// `gateway_part_cache_total`
    pub part_cache: Named<PartCacheUse, Counter>,
    /// `gateway_retries_total`: `succeeded` and `failed` for those that were made, `refused`,
    /// `budget_exhausted` and `past_deadline` for those that were not.
    pub retries: Named<ServiceOutcome, Counter>,
    /// `gateway_shed_total`
    pub shed: Family<Shed, Counter>,
    /// `gateway_concurrency_limit`. Set when the page is read.
    pub concurrency_limit: Family<ServiceName, Gauge>,
    /// `gateway_event_loop_lag_seconds`
    pub lag: Family<CoreNumber, Gauge<f64, AtomicU64>>,
    /// `gateway_wall_clock_ahead_seconds`: of the system's. Set when the page is read.
    pub clock_ahead: Gauge<f64, AtomicU64>,
    /// `gateway_rate_limit_decisions_total`
    pub limits: Named<LimitOutcome, Counter>,
    /// `gateway_decisions_total`: what services that decide have said.
    pub decisions: Family<DecisionOutcome, Counter>,
    /// `gateway_access_log_dropped_total`
    pub dropped_lines: Counter,
    /// `gateway_spans_total`: recorded spans, by what became of them.
    pub spans: Family<SpanOutcome, Counter>,
    /// `gateway_panics_total`
    pub panics: Counter,
    /// `gateway_open_connections`
    pub connections: Gauge,
    /// `gateway_resting_connections`: those of them that hold no buffers.
    pub resting_connections: Gauge,
    /// `gateway_open_streams`: answers of events, answers that are sent part by part, WebSockets.
    pub streams: Gauge,
    /// `gateway_tasks`: set when the page is read.
    pub tasks: Tasks,
    /// `gateway_tls_handshakes_total`
    pub handshakes: Family<Handshake, Counter>,
    /// `gateway_handshake_failures_total`: of the PROXY protocol and of TLS.
    pub handshake_failures: Family<HandshakeFailure, Counter>,
    /// `gateway_tls_certificate_not_after_seconds`: when each ends, since 1970.
    pub certificate_ends: Family<CertificateFile, Gauge>,
    /// `gateway_connections_ended_total`
    pub connection_ends: Family<ConnectionEnd, Counter>,
    /// `gateway_config_reloads_total`
    pub reloads: Family<ReloadResult, Counter>,
    /// `gateway_config_last_reload_successful`: 1, or 0 while the files say what is not in force.
    pub last_reload_successful: Gauge,
    /// `gateway_config_last_reload_success_timestamp_seconds`: when what is in force was read.
    pub last_reload_success: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// All families, registered, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            pages: Mutex::default(),
            requests: Named::of(seconds),
            active_requests: Gauge::default(),
            overhead: seconds(),
            refusals: Family::default(),
            calls: Named::of(seconds),
            target_events: Named::default(),
            target_takes_calls: Family::default(),
            target_breaker: Family::default(),
            parts: Named::default(),
            part_cache: Named::default(),
            retries: Named::default(),
            shed: Family::default(),
            concurrency_limit: Family::default(),
            lag: Family::default(),
            clock_ahead: Gauge::default(),
            limits: Named::default(),
            decisions: Family::default(),
            dropped_lines: Counter::default(),
            spans: Family::default(),
            panics: Counter::default(),
            connections: Gauge::default(),
            resting_connections: Gauge::default(),
            streams: Gauge::default(),
            tasks: Tasks::default(),
            handshakes: Family::default(),
            handshake_failures: Family::default(),
            certificate_ends: Family::default(),
            connection_ends: Family::default(),
            reloads: Family::default(),
            last_reload_successful: Gauge::default(),
            last_reload_success: Gauge::default(),
        };
        metrics.register();
        metrics.register_reloads();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let unit = Unit::Seconds;
        let name = "http_server_request_duration";
        let help = "From the head of a request to the end of its answer";
        registry.register_with_unit(name, help, unit.clone(), self.requests.family());
        let help = "The gateway's own share of a request's time";
        registry.register_with_unit("gateway_overhead", help, unit.clone(), self.overhead.clone());
        let help = "Calls to services, until the head of their answer";
        registry.register_with_unit(
            "http_client_request_duration",
            help,
            unit,
            self.calls.family(),
        );
        let help = "Requests in the pipeline";
        registry.register("http_server_active_requests", help, self.active_requests.clone());
        let help = "Requests that the gateway refused, by the problem's code";
        registry.register("gateway_refusals", help, self.refusals.clone());
        let help = "What has happened to targets: breakers, ejections, checks";
        registry.register("gateway_target_events", help, self.target_events.family());
        let help = "Whether nothing that is known speaks against calling a target";
        registry.register("gateway_target_takes_calls", help, self.target_takes_calls.clone());
        let help = "A target's breaker: 0 closed, 1 half-open, 2 open";
        registry.register("gateway_target_breaker", help, self.target_breaker.clone());
        let help = "Parts of aggregates, by outcome and reason";
        registry.register("gateway_aggregate_parts", help, self.parts.family());
        let help = "Looks into the part cache, by outcome";
        registry.register("gateway_part_cache", help, self.part_cache.family());
        let help = "Decisions of rate limits";
        registry.register("gateway_rate_limit_decisions", help, self.limits.family());
        let help = "Decisions of services about requests";
        registry.register("gateway_decisions", help, self.decisions.clone());
        let help = "Access log lines dropped because the writer fell behind";
        registry.register("gateway_access_log_dropped", help, self.dropped_lines.clone());
        let help = "Recorded spans, by what became of them";
        registry.register("gateway_spans", help, self.spans.clone());
        let help = "Panics caught while serving a request";
        registry.register("gateway_panics", help, self.panics.clone());
        registry.register(
            "gateway_open_connections",
            "Client connections",
            self.connections.clone(),
        );
        let help = "Client connections that hold no buffers, because nothing is asked on them";
        registry.register("gateway_resting_connections", help, self.resting_connections.clone());
        let help = "Open WebSockets, answers of events, and answers that are sent part by part";
        registry.register("gateway_open_streams", help, self.streams.clone());
        let help = "Client connections that the gateway ended for what the client did";
        registry.register("gateway_connections_ended", help, self.connection_ends.clone());
        let help = "Tasks on the runtimes of the cores and of everything beside them";
        registry.register("gateway_tasks", help, self.tasks.family());
        self.register_handshakes();
        self.register_resilience();
        let help = "How far wall time is ahead of the system's clock, which was set back";
        let (name, ahead) = ("gateway_wall_clock_ahead", self.clock_ahead.clone());
        self.registry.register_with_unit(name, help, Unit::Seconds, ahead);
    }

    fn register_resilience(&mut self) {
        let registry = &mut self.registry;
        let help = "Retries by what came of them, or why they were not made";
        registry.register("gateway_retries", help, self.retries.family());
        let help = "Requests and calls that were turned away for want of room";
        registry.register("gateway_shed", help, self.shed.clone());
        let help = "Calls that a service is given at a time";
        registry.register("gateway_concurrency_limit", help, self.concurrency_limit.clone());
        let help = "How far a core is behind with its work, on average";
        registry.register_with_unit(
            "gateway_event_loop_lag",
            help,
            Unit::Seconds,
            self.lag.clone(),
        );
    }

    fn register_handshakes(&mut self) {
        let registry = &mut self.registry;
        let help = "TLS handshakes that came to their end";
        registry.register("gateway_tls_handshakes", help, self.handshakes.clone());
        let help = "Connections that ended in a PROXY header or a TLS handshake";
        registry.register("gateway_handshake_failures", help, self.handshake_failures.clone());
        let help = "When each certificate of the listener ends, since 1970";
        let name = "gateway_tls_certificate_not_after";
        registry.register_with_unit(name, help, Unit::Seconds, self.certificate_ends.clone());
    }

    fn register_reloads(&mut self) {
        let registry = &mut self.registry;
        let help = "Reloads of the configuration, by result";
        registry.register("gateway_config_reloads", help, self.reloads.clone());
        let help = "Whether the last reload of the configuration was put in force";
        let successful = self.last_reload_successful.clone();
        registry.register("gateway_config_last_reload_successful", help, successful);
        let help = "When the configuration in force was read";
        let name = "gateway_config_last_reload_success_timestamp";
        let at = self.last_reload_success.clone();
        registry.register_with_unit(name, help, Unit::Seconds, at);
    }

    /// Removes what is counted under other names: a configuration that was left behind.
    pub fn retain(&self, names: &Names<'_>) {
        self.requests.retain(|labels| names.routes.contains(&*labels.http_route.0));
        self.calls.retain(|labels| names.services.contains(&*labels.service.0));
        self.retries.retain(|labels| names.services.contains(&*labels.service.0));
        // Those of targets that a service has left behind, it removes itself.
        self.target_events.retain(|labels| names.services.contains(&*labels.service.0));
        self.limits.retain(|labels| names.limits.contains(&*labels.limit.0));
        self.parts.retain(|labels| names.aggregates.contains(&*labels.aggregate.0));
        self.part_cache.retain(|labels| names.aggregates.contains(&*labels.aggregate.0));
    }

    /// The page that Prometheus reads, after `set` has set the gauges that are set when it is read.
    #[must_use]
    pub fn page(&self, set: impl FnOnce()) -> String {
        // One at a time: what one page has cleared, to set it anew, would be missing in another.
        let _turn = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        set();
        self.render()
    }

    /// The page, in the OpenMetrics text format.
    pub(crate) fn render(&self) -> String {
        self.tasks.set();
        let mut page = String::new();
        match prometheus_client::encoding::text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(error) => format!("# the metrics cannot be written: {error}\n"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_family_by_the_semantic_conventions() {
        let metrics = Metrics::new();
        let labels = RouteStatus { http_route: "links-get".into(), http_response_status_code: 200 };
        metrics.requests.get_or_create_owned(&labels).observe(0.002);
        metrics.refusals.get_or_create(&RefusalCode { code: "rate_limited" }).inc();
        let page = metrics.render();
        for expected in [
            r#"http_server_request_duration_seconds_count{http_route="links-get",http_response_status_code="200"} 1"#,
            r#"gateway_refusals_total{code="rate_limited"} 1"#,
            "gateway_overhead_seconds_sum 0.0",
        ] {
            assert!(page.contains(expected), "{expected} is missing in\n{page}");
        }
    }

    #[test]
    fn no_page_lacks_what_another_one_is_setting() {
        let metrics = Metrics::new();
        let service = || ServiceName { service: "link-service".into() };
        let set = || {
            metrics.concurrency_limit.clear();
            // As long as a page takes, so that others would meet it.
            (0..100).for_each(|_| std::thread::yield_now());
            metrics.concurrency_limit.get_or_create(&service()).set(7);
        };
        let line = "\ngateway_concurrency_limit{service=\"link-service\"} 7\n";
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| assert!(metrics.page(set).contains(line))));
            }
        });
    }

    #[test]
    fn every_family_that_an_alert_names_exists() {
        let metrics = Metrics::new();
        // The page leaves out what has never been counted.
        let (http_route, service) = (Label::from("links-get"), Label::from("link-service"));
        let served = RouteStatus { http_route, http_response_status_code: 200 };
        drop(metrics.requests.get_or_create_owned(&served));
        drop(metrics.calls.get_or_create_owned(&ServiceOutcome { service, outcome: "2xx" }));
        drop(metrics.refusals.get_or_create(&RefusalCode { code: "rate_limited" }));
        drop(metrics.spans.get_or_create(&SpanOutcome { outcome: "exported" }));
        let page = metrics.render();
        let alerts = include_str!("../../deploy/prometheus/alerts.yml");
        let names = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names = names.filter_map(|name| {
            ["_bucket", "_count", "_total"].iter().find_map(|suffix| name.strip_suffix(suffix))
        });
        let mut count = 0;
        for name in names {
            count += 1;
            assert!(page.contains(&format!("\n# TYPE {name} ")), "{name} is missing in\n{page}");
        }
        assert!(count > 5, "{count}");
    }

    #[test]
    fn bounds_are_dense_where_a_gateway_s_own_time_lies() {
        let dense = SECONDS.iter().filter(|bound| (0.000_1..=0.005).contains(*bound));
        assert!(dense.count() >= 11);
        assert!(SECONDS.is_sorted());
    }
}
