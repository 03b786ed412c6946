//! webhook-service: users' subscriptions to events.

use axum::extract::Query;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::caller::{Caller, problem};

/// Its paths.
pub fn router() -> Router {
    Router::new().route("/webhooks", get(list))
}

#[derive(Deserialize)]
struct Whose {
    owner: Option<String>,
}

async fn list(caller: Caller, Query(whose): Query<Whose>) -> Response {
    let owner = whose.owner.unwrap_or_else(|| caller.user_id.clone());
    if !caller.may_see(&owner) {
        return problem(StatusCode::FORBIDDEN, "not_yours");
    }
    let subscription = |id: &str, event: &str, failures: u32| {
        json!({
            "id": id,
            "owner_id": owner,
            "event": event,
            "url": format!("https://hooks.example.com/{owner}/{event}"),
            "is_active": true,
            "created_at": "2026-04-02T08:00:00Z",
            "last_delivery": { "at": "2026-11-23T21:14:03Z", "status": 200, "attempts": 1 },
            "failures": failures,
        })
    };
    let items = [
        subscription("hook_1", "link.created", 0),
        subscription("hook_2", "link.clicked", 2),
        subscription("hook_3", "quota.near_limit", 0),
    ];
    Json(json!({ "items": items, "total": items.len() })).into_response()
}
