//! `GET /targets`: how each target of each service does, and the gauges of the same.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::metric::{Label, ServiceName, TargetName};
use crate::pipeline::Core;

/// Each service with its targets.
pub(super) async fn page(State(admin): State<Admin>) -> Response {
    let core = &admin.core;
    let site = core.site.load();
    let now = core.clock.now();
    let services: Vec<Value> = site
        .services
        .iter()
        .map(|service| {
            let concurrency = service
                .concurrency
                .as_ref()
                .map(|limit| json!({ "limit": limit.limit(), "in_flight": limit.in_flight() }));
            json!({
                "service": &*service.name,
                "concurrency": concurrency,
                "balance": service.targets.settings().balance.as_str(),
                "mesh": service.is_mesh,
                "targets": service.targets.states(now),
            })
        })
        .collect();
    Json(json!({ "services": services })).into_response()
}

/// For each service how many of its targets take calls: detail for those who read why a gateway is
/// ready, and no reason for it not to be.
pub(super) fn summary(core: &Core) -> Value {
    let site = core.site.load();
    let now = core.clock.now();
    let counts = site.services.iter().map(|service| {
        let states = service.targets.states(now);
        let taking = states.iter().filter(|state| state.takes_calls).count();
        (service.name.to_string(), json!(format!("{taking} of {}", states.len())))
    });
    Value::Object(counts.collect::<Map<_, _>>())
}

/// Sets the gauges of all targets and limits that there are now; those of others go.
pub(super) fn set_gauges(core: &Core) {
    let metrics = &core.metrics;
    metrics.target_takes_calls.clear();
    metrics.target_breaker.clear();
    metrics.concurrency_limit.clear();
    let now = core.clock.now();
    for service in &core.site.load().services {
        if let Some(limit) = &service.concurrency {
            let labels = ServiceName { service: Label(service.name.clone()) };
            let limit = i64::from(limit.limit());
            metrics.concurrency_limit.get_or_create(&labels).set(limit);
        }
        for state in service.targets.states(now) {
            let labels = TargetName {
                service: Label(service.name.clone()),
                target: Label(state.target.into()),
            };
            let takes_calls = i64::from(state.takes_calls);
            metrics.target_takes_calls.get_or_create(&labels).set(takes_calls);
            let breaker = match state.breaker {
                "open" => 2,
                "half_open" => 1,
                _ => 0,
            };
            metrics.target_breaker.get_or_create(&labels).set(breaker);
        }
    }
}
