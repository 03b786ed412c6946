//! link-service: short links and who owns them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::caller::{Caller, problem};

type Links = Arc<Mutex<BTreeMap<String, Value>>>;

/// The owners that have links, and how many.
const OWNERS: [(&str, usize); 6] =
    [("4821", 24), ("4822", 3), ("4823", 2), ("acme", 8), ("globex", 5), ("initech", 4)];

/// Its paths.
pub fn router() -> Router {
    let links: Links = Arc::new(Mutex::new(seed()));
    Router::new()
        .route("/links", get(list).post(create))
        .route("/links/{id}", get(read).patch(update).delete(remove))
        .route("/qr/{id}", get(read))
        .with_state(links)
}

fn seed() -> BTreeMap<String, Value> {
    let mut links = BTreeMap::new();
    for (owner, count) in OWNERS {
        for number in 0..count {
            let id = match (owner, number) {
                ("4821", 0) => "x7Kp2".to_owned(),
                _ => format!("{}{number:02}", short(&format!("{owner}/{number}"))),
            };
            links.insert(id.clone(), link(&id, owner, number));
        }
    }
    links
}

/// Who owns a link of the seed.
pub(super) fn seeded_owner(id: &str) -> Option<String> {
    Some(seed().get(id)?["owner_id"].as_str()?.to_owned())
}

/// Three letters that depend on the text alone.
fn short(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(3).map(|byte| char::from(b'a' + byte % 26)).collect()
}

fn link(id: &str, owner: &str, number: usize) -> Value {
    const TITLES: [&str; 6] = [
        "Spring campaign landing page",
        "Quarterly report, public version",
        "Webinar registration",
        "Release notes",
        "Help centre: first steps",
        "Job opening: platform engineer",
    ];
    let title = TITLES[number % TITLES.len()];
    let day = 1 + number % 28;
    json!({
        "id": id,
        "slug": format!("{}-{number}", title.to_lowercase().replace([' ', ',', ':'], "-")),
        "short_url": format!("https://sho.rt/{id}"),
        "target_url": format!("https://www.example.com/{owner}/pages/{number}?utm_source=short&utm_medium=link&utm_campaign=q{}", 1 + number % 4),
        "title": title,
        "description": format!("{title}, as it is shared in newsletters and on social networks."),
        "tags": ["campaign", if number.is_multiple_of(2) { "newsletter" } else { "social" }],
        "created_at": format!("2026-{:02}-{day:02}T09:30:00Z", 1 + number % 9),
        "updated_at": format!("2026-10-{day:02}T16:45:12Z"),
        "owner_id": owner,
        "is_active": number % 7 != 6,
        "expires_at": null,
        "clicks": 40 + number * 137 % 1_900,
        "utm": { "source": "short", "medium": "link", "campaign": format!("q{}", 1 + number % 4) },
        "qr": { "png": format!("https://sho.rt/{id}.png"), "svg": format!("https://sho.rt/{id}.svg") },
    })
}

#[derive(Deserialize)]
struct Page {
    owner: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
}

async fn list(
    State(links): State<Links>,
    caller: Caller,
    headers: HeaderMap,
    Query(page): Query<Page>,
) -> Response {
    let owner = page.owner.unwrap_or_else(|| caller.user_id.clone());
    if !caller.may_see(&owner) {
        return problem(StatusCode::FORBIDDEN, "not_yours");
    }
    let links = links.lock().unwrap_or_else(PoisonError::into_inner);
    let owned: Vec<&Value> = links.values().filter(|link| link["owner_id"] == *owner).collect();
    let (offset, limit) = (page.offset.unwrap_or(0), page.limit.unwrap_or(20).min(100));
    let items: Vec<&Value> = owned.iter().skip(offset).take(limit).copied().collect();
    let next = (offset + limit < owned.len()).then_some(offset + limit);
    if headers.get("x-api-version").is_some_and(|version| version == "2") {
        let meta = json!({ "total": owned.len(), "next": next, "version": 2 });
        return Json(json!({ "data": items, "meta": meta })).into_response();
    }
    Json(json!({ "items": items, "total": owned.len(), "next": next })).into_response()
}

#[derive(Deserialize)]
struct NewLink {
    target_url: String,
    title: Option<String>,
}

async fn create(State(links): State<Links>, caller: Caller, Json(new): Json<NewLink>) -> Response {
    if !caller.may_write() {
        return problem(StatusCode::FORBIDDEN, "may_not_write");
    }
    let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
    let id = format!("n{:05}", links.len());
    let mut made = link(&id, &caller.user_id, links.len());
    made["target_url"] = new.target_url.into();
    if let Some(title) = new.title {
        made["title"] = title.into();
    }
    links.insert(id.clone(), made.clone());
    (StatusCode::CREATED, [(header::LOCATION, format!("/links/{id}"))], Json(made)).into_response()
}

async fn read(
    State(links): State<Links>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let links = links.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(link) = theirs(&links, &caller, &id) else {
        return problem(StatusCode::NOT_FOUND, "no_such_link");
    };
    let body = link.to_string();
    let digest = Sha256::digest(&body);
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..12]));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let json = (header::CONTENT_TYPE, "application/json".to_owned());
    ([json, (header::ETAG, tag)], body).into_response()
}

async fn update(
    State(links): State<Links>,
    caller: Caller,
    Path(id): Path<String>,
    Json(change): Json<Value>,
) -> Response {
    let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
    if theirs(&links, &caller, &id).is_none() {
        return problem(StatusCode::NOT_FOUND, "no_such_link");
    }
    if !caller.may_write() {
        return problem(StatusCode::FORBIDDEN, "may_not_write");
    }
    let link = links.get_mut(&id).expect("found above");
    for key in ["title", "target_url", "is_active"] {
        if let Some(value) = change.get(key) {
            link[key] = value.clone();
        }
    }
    Json(link.clone()).into_response()
}

async fn remove(State(links): State<Links>, caller: Caller, Path(id): Path<String>) -> Response {
    let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
    if theirs(&links, &caller, &id).is_none() {
        return problem(StatusCode::NOT_FOUND, "no_such_link");
    }
    if !caller.may_write() {
        return problem(StatusCode::FORBIDDEN, "may_not_write");
    }
    links.remove(&id);
    StatusCode::NO_CONTENT.into_response()
}

/// Another's link does not exist for the caller.
fn theirs<'a>(links: &'a BTreeMap<String, Value>, caller: &Caller, id: &str) -> Option<&'a Value> {
    links
        .get(id)
        .filter(|link| link["owner_id"].as_str().is_some_and(|owner| caller.may_see(owner)))
}
