//! Kept handles of metrics: a look-up by label costs more than everything else about a metric.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use crate::metric::{Label, Metrics, RouteStatus, ServiceOutcome};

/// Statuses whose handles are kept; others are looked up.
const KEPT: [u16; 12] = [200, 201, 204, 304, 400, 401, 403, 404, 429, 502, 503, 504];

/// One route's histograms.
#[derive(Debug)]
pub struct RouteMetrics {
    route: Label,
    kept: [OnceLock<Histogram>; KEPT.len()],
}

impl RouteMetrics {
    /// The histograms of the route of that name; each is made at its first use.
    #[must_use]
    pub fn new(route: &str) -> Self {
        Self { route: route.into(), kept: Default::default() }
    }

    /// Notes a request that has ended.
    pub fn observe(&self, metrics: &Metrics, status: u16, latency: Duration) {
        let place = KEPT.iter().position(|&kept| kept == status);
        let seconds = latency.as_secs_f64();
        match place.and_then(|place| self.kept.get(place)) {
            Some(kept) => kept.get_or_init(|| self.handle(metrics, status)).observe(seconds),
            None => self.handle(metrics, status).observe(seconds),
        }
    }

    fn handle(&self, metrics: &Metrics, status: u16) -> Histogram {
        let http_route = self.route.clone();
        let labels = RouteStatus { http_route, http_response_status_code: status };
        metrics.requests.get_or_create_owned(&labels)
    }
}

/// One service's histograms.
#[derive(Debug)]
pub struct ServiceMetrics {
    service: Label,
    succeeded: OnceLock<Histogram>,
}

impl ServiceMetrics {
    /// The histograms of the service of that name; each is made at its first use.
    #[must_use]
    pub fn new(service: &Arc<str>) -> Self {
        Self { service: Label(Arc::clone(service)), succeeded: OnceLock::new() }
    }

    /// Notes a call: `2xx` … `5xx`, or the code of what went wrong.
    pub fn observe(&self, metrics: &Metrics, outcome: &'static str, waited: Duration) {
        let handle = || {
            let labels = ServiceOutcome { service: self.service.clone(), outcome };
            metrics.calls.get_or_create_owned(&labels)
        };
        if outcome == "2xx" {
            self.succeeded.get_or_init(handle).observe(waited.as_secs_f64());
        } else {
            handle().observe(waited.as_secs_f64());
        }
    }
}
