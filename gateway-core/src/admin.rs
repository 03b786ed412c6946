//! The admin listener: probes, metrics, the effective configuration, and what operators can do.
//!
//! It stands on a port of its own, on loopback unless configured otherwise. It is served by axum on
//! the background runtime, and shares nothing with the listeners that clients reach. docs/operations.md
//! is the list of its paths.
//!
//! Read in this order: [`router`] is all of it, `gate` says who may come in.
//!
//! Not here: what a reload does (`reload`), what a drain is (`server`).

mod gate;
#[cfg(test)]
mod tests;

mod targets;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::aggregation::part_cache::Purge;
use crate::error::Refused;
use crate::exchange::RequestId;
use crate::pipeline::Core;
use crate::reload::{Reloader, Trigger};

/// What the admin listener shows, and what it can do.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The state it looks at.
    pub core: Arc<Core>,
    /// Puts configurations in force, and knows the one that is.
    pub reloader: Arc<Reloader>,
    /// True tells the process to stop in order.
    pub stop: watch::Sender<bool>,
}

/// Serves until `shutdown` is true.
///
/// # Errors
///
/// What the operating system says when connections can no longer be accepted.
pub async fn serve(
    admin: Admin,
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let until = async move {
        let _ = shutdown.wait_for(|is_over| *is_over).await;
    };
    axum::serve(listener, router(admin)).with_graceful_shutdown(until).await
}

/// Binds the admin listener's address.
///
/// # Errors
///
/// When the address is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// The admin listener's paths.
pub fn router(admin: Admin) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/config", get(configuration))
        .route("/targets", get(targets::page))
        .route("/purge", post(purge))
        .route("/streams/end", post(end_streams))
        .route("/reload", post(reload))
        .route("/drain", post(drain))
        .route_layer(middleware::from_fn_with_state(admin.clone(), gate::admit));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(guarded)
        .with_state(admin)
}

/// Anybody may ask whether; why the last reload failed is for operators.
async fn ready(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let core = &admin.core;
    let reasons = core.readiness.reasons(&core.key_sources.missing());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Detail only: old keys still verify, and the old configuration still serves.
    let ages: Map<String, Value> = core
        .key_sources
        .ages(core.clock.now())
        .into_iter()
        .map(|(issuer, age)| (issuer.to_string(), json!(age.map(|age| age.as_secs()))))
        .collect();
    let shows_text = gate::judge(&admin.reloader.shown(), &headers).is_ok();
    let detail = json!({
        "ready": reasons.is_empty(), "reasons": reasons, "keys_confirmed_s_ago": ages,
        "targets": targets::summary(core),
        "configuration": configured(&admin.reloader, shows_text),
    });
    (status, Json(detail)).into_response()
}

/// Since when the configuration is in force, and what the last reload came to.
fn configured(reloader: &Reloader, shows_text: bool) -> Value {
    let last = reloader.last().map(|last| {
        let refused = last.outcome.as_ref().err();
        let result = if refused.is_some() { "refused" } else { "success" };
        let error = refused.filter(|_| shows_text).map(ToString::to_string);
        json!({ "at": last.at.to_string(), "result": result, "error": error })
    });
    json!({ "in_force_since": reloader.shown().since.to_string(), "last_reload": last })
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let core = &admin.core;
    let page = core.metrics.page(|| {
        targets::set_gauges(core);
        core.metrics.clock_ahead.set(core.clock.ahead().as_secs_f64());
    });
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

async fn configuration(State(admin): State<Admin>) -> Response {
    let kind = "application/toml; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], admin.reloader.shown().text.clone()).into_response()
}

/// `POST /reload`: what has changed, or why nothing has.
async fn reload(State(admin): State<Admin>) -> Response {
    match admin.reloader.reload(Trigger::Operator).await {
        Ok(changes) => {
            let changed: Vec<&str> = changes.iter().map(shared_config::Change::key).collect();
            Json(json!({ "result": "success", "changed": changed })).into_response()
        }
        Err(refused) => refuse(&admin, &refused.into()),
    }
}

/// `POST /drain`: as SIGTERM does. A second one changes nothing.
async fn drain(State(admin): State<Admin>) -> Response {
    admin.core.readiness.draining();
    admin.stop.send_replace(true);
    (StatusCode::ACCEPTED, Json(json!({ "draining": true }))).into_response()
}

fn refuse(admin: &Admin, refused: &Refused) -> Response {
    let request_id = RequestId::generate(admin.core.clock.wall());
    refused.to_response(&request_id).map(axum::body::Body::from)
}

/// `POST /purge?part=dashboard.usage`, `?call=GET billing-service:/usage`, `?identity=4821`, `?all`:
/// kept answers go, and how many went is the answer.
async fn purge(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let value = |name| crate::transform::query::value(&query, name);
    let [part, call, identity, all] = ["part", "call", "identity", "all"].map(value);
    let purge = match (&part, &call, &identity, &all) {
        (Some(part), None, None, None) => Purge::Part(part),
        (None, Some(call), None, None) => Purge::Call(call),
        (None, None, Some(user_id), None) => Purge::Identity(user_id),
        (None, None, None, Some(_)) => Purge::All,
        _ => {
            let remedy = "say what goes: ?part=aggregate.part, ?call=GET service:/target, \
                          ?identity=user_id or ?all\n";
            return (StatusCode::BAD_REQUEST, remedy).into_response();
        }
    };
    let removed = admin.core.part_cache.purge(purge);
    Json(json!({ "removed": removed })).into_response()
}

/// `POST /streams/end?identity=4821`: the open streams of a user or partner who was suspended end, and
/// how many there were is the answer.
async fn end_streams(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let Some(user_id) = crate::transform::query::value(&query, "identity") else {
        return (StatusCode::BAD_REQUEST, "say whose: ?identity=user_id\n").into_response();
    };
    Json(json!({ "ended": admin.core.streams.end_of_user(&user_id) })).into_response()
}
