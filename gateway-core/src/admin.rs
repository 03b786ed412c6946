//! The admin listener: probes, metrics, the effective configuration, how targets do, and purging
//! kept answers.
//!
//! It stands on a port of its own, on loopback unless configured otherwise; with a token, every
//! path but the two probes needs it. It is served by axum on the background runtime, and shares
//! nothing with the listeners that clients reach.

mod targets;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde_json::json;
use shared_config::Secret;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::aggregation::part_cache::Purge;
use crate::pipeline::Core;

/// What the admin listener shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The state it looks at.
    pub core: Arc<Core>,
    /// The effective configuration, secrets masked.
    pub configuration: Arc<str>,
    /// What callers other than probes must show.
    pub token: Option<Secret>,
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
        .route_layer(middleware::from_fn_with_state(admin.clone(), require_token));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(guarded)
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    let core = &admin.core;
    let reasons = core.readiness.reasons(&core.key_sources.missing());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Detail only: old keys still verify.
    let ages: serde_json::Map<String, serde_json::Value> = core
        .key_sources
        .ages(core.clock.now())
        .into_iter()
        .map(|(issuer, age)| (issuer.to_string(), json!(age.map(|age| age.as_secs()))))
        .collect();
    let detail = json!({
        "ready": reasons.is_empty(), "reasons": reasons, "keys_confirmed_s_ago": ages,
        "targets": targets::summary(core),
    });
    (status, Json(detail)).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    targets::set_gauges(&admin.core);
    ([(header::CONTENT_TYPE, kind)], admin.core.metrics.render()).into_response()
}

async fn configuration(State(admin): State<Admin>) -> Response {
    let kind = "application/toml; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], admin.configuration.to_string()).into_response()
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

async fn require_token(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let Some(token) = &admin.token else { return next.run(request).await };
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    if bool::from(shown.ct_eq(token.expose().as_bytes())) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"admin\"")];
    (StatusCode::UNAUTHORIZED, challenge).into_response()
}
