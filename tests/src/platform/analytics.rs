//! analytics-service: clicks on links.

use axum::extract::{Path, Query};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::caller::{Caller, problem};
use super::link;

/// Its paths.
pub fn router() -> Router {
    Router::new()
        .route("/links", get(several))
        .route("/links/{id}", get(one))
        .route("/summary", get(summary))
}

/// A number below `below` that depends on the text alone.
fn number(text: &str, below: u64) -> u64 {
    let digest = Sha256::digest(text);
    u64::from_be_bytes(digest[..8].try_into().expect("eight bytes")) % below
}

fn by_day(of: &str, days: u64) -> Vec<Value> {
    let day = |day: u64| json!({ "date": format!("2026-11-{:02}", 1 + day), "clicks": number(&format!("{of}/{day}"), 90) });
    (0..days).map(day).collect()
}

fn total(days: &[Value]) -> u64 {
    days.iter().filter_map(|day| day["clicks"].as_u64()).sum()
}

/// Another's clicks do not exist for the caller; nor do those of a link nobody has clicked yet.
fn is_theirs(caller: &Caller, id: &str) -> bool {
    link::seeded_owner(id).is_some_and(|owner| caller.may_see(&owner))
}

async fn one(caller: Caller, Path(id): Path<String>) -> Response {
    if !is_theirs(&caller, &id) {
        return problem(StatusCode::NOT_FOUND, "no_such_link");
    }
    let days = by_day(&id, 14);
    let share =
        |name: &str| json!({ "name": name, "clicks": number(&format!("{id}/{name}"), 300) });
    Json(json!({
        "id": id,
        "total": total(&days),
        "by_day": days,
        "referrers": (["newsletter", "direct", "social"].map(share)),
        "countries": (["DE", "FR", "US", "SE"].map(share)),
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Ids {
    ids: String,
}

async fn several(caller: Caller, Query(Ids { ids }): Query<Ids>) -> Response {
    let results: Vec<Value> = ids
        .split(',')
        .filter(|id| is_theirs(&caller, id))
        .map(|id| json!({ "id": id, "total": total(&by_day(id, 14)) }))
        .collect();
    Json(json!({ "results": results })).into_response()
}

#[derive(Deserialize)]
struct Whose {
    owner: Option<String>,
    tenant_id: Option<String>,
}

async fn summary(caller: Caller, Query(whose): Query<Whose>) -> Response {
    let owner = whose.owner.unwrap_or_else(|| caller.user_id.clone());
    let is_other_tenant =
        whose.tenant_id.is_some_and(|tenant| caller.tenant.as_deref() != Some(tenant.as_str()));
    if is_other_tenant || !caller.may_see(&owner) {
        return problem(StatusCode::FORBIDDEN, "not_yours");
    }
    let days = by_day(&owner, 23);
    let share =
        |name: &str| json!({ "name": name, "clicks": number(&format!("{owner}/{name}"), 900) });
    Json(json!({
        "total": total(&days),
        "by_day": days,
        "top_referrers": (["newsletter", "direct", "social", "search"].map(share)),
        "countries": (["DE", "FR", "US", "SE", "PL"].map(share)),
    }))
    .into_response()
}
