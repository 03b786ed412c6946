//! Webhook endpoints: where a partner wants to be told what happened.
//!
//! Invariants
//! - A partner sees its own endpoints; another's do not exist for it (404, never 403).
//! - An endpoint's secret is shown once, when it is made.
//!
//! Not here: sending events, and the check of the addresses behind a host name, which belongs to
//! the moment of sending.

mod registry;
mod url;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::response::IntoResponse;
use gateway_core::endpoint::{EndpointContext, Endpoints, JsonBody};
use gateway_core::error::{Refusal, Refused};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

pub use self::registry::{Registered, WebhookEndpoint, WebhookEndpoints};

/// Event types of one endpoint, and characters of a description.
const EVENT_TYPES_MAX: usize = 100;
const DESCRIPTION_SIZE_MAX: usize = 256;

/// What a partner says of a new endpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// Where events go.
    pub url: String,
    /// Which events; empty: every type.
    #[serde(default)]
    pub event_types: Vec<String>,
    /// The partner's own words about it.
    #[serde(default)]
    pub description: String,
}

/// Why a request about an endpoint was refused.
#[derive(Debug, thiserror::Error)]
pub enum WebhookEndpointRefused {
    /// A member of the body cannot be what it says.
    #[error("the {member} {reason}")]
    Invalid {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The partner has none of that id.
    #[error("the partner has no such endpoint")]
    NotFound,
    /// The partner has as many as it may.
    #[error("the partner has {max} endpoints already")]
    TooMany {
        /// How many it may have.
        max: usize,
    },
}

impl Refusal for WebhookEndpointRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooMany { .. } => StatusCode::CONFLICT,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "webhook_endpoint_invalid",
            Self::NotFound => "webhook_endpoint_not_found",
            Self::TooMany { .. } => "webhook_endpoints_full",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Invalid { member, reason } => format!("`{member}` {reason}.").into(),
            Self::NotFound => "There is no webhook endpoint of this id.".into(),
            Self::TooMany { max } => {
                format!("You have {max} webhook endpoints. Delete one first.").into()
            }
        }
    }
}

/// The endpoints over one registry.
#[must_use]
pub fn endpoints(registry: WebhookEndpoints) -> Endpoints {
    let create_in = Arc::new(registry);
    let (list_of, find_in, delete_from) =
        (Arc::clone(&create_in), Arc::clone(&create_in), Arc::clone(&create_in));
    Endpoints::new()
        .handler("webhook_endpoints.create", move |context: EndpointContext, body| {
            let answer = create(&create_in, &context, body);
            async move { answer }
        })
        .handler("webhook_endpoints.list", move |context: EndpointContext| {
            let answer = list(&list_of, &context);
            async move { answer }
        })
        .handler("webhook_endpoints.get", move |context: EndpointContext| {
            let answer = get(&find_in, &context);
            async move { answer }
        })
        .handler("webhook_endpoints.delete", move |context: EndpointContext| {
            let answer = delete(&delete_from, &context);
            async move { answer }
        })
}

fn create(
    registry: &WebhookEndpoints,
    context: &EndpointContext,
    JsonBody(new): JsonBody<NewEndpoint>,
) -> Result<impl IntoResponse + use<>, Refused> {
    let partner = &context.caller()?.user_id;
    check(&new)?;
    let (endpoint, secret) = registry.create(partner, new, context.now)?;
    let mut shown = endpoint.shown();
    if let Some(members) = shown.as_object_mut() {
        members.insert("secret".to_owned(), secret.into());
    }
    // The one answer that holds the secret.
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(shown)))
}

fn list(
    registry: &WebhookEndpoints,
    context: &EndpointContext,
) -> Result<impl IntoResponse + use<>, Refused> {
    let endpoints = registry.of(&context.caller()?.user_id);
    let items: Vec<_> = endpoints.iter().map(WebhookEndpoint::shown).collect();
    Ok(Json(json!({ "items": items })))
}

fn get(
    registry: &WebhookEndpoints,
    context: &EndpointContext,
) -> Result<impl IntoResponse + use<>, Refused> {
    let endpoint = registry.find(&context.caller()?.user_id, context.param("id"));
    Ok(Json(endpoint.ok_or(WebhookEndpointRefused::NotFound)?.shown()))
}

fn delete(
    registry: &WebhookEndpoints,
    context: &EndpointContext,
) -> Result<impl IntoResponse + use<>, Refused> {
    if !registry.delete(&context.caller()?.user_id, context.param("id")) {
        return Err(WebhookEndpointRefused::NotFound.into());
    }
    Ok(StatusCode::NO_CONTENT)
}

fn check(new: &NewEndpoint) -> Result<(), WebhookEndpointRefused> {
    let invalid = |member, reason| Err(WebhookEndpointRefused::Invalid { member, reason });
    if let Err(reason) = url::check(&new.url) {
        return invalid("url", reason);
    }
    if new.event_types.len() > EVENT_TYPES_MAX {
        return invalid("event_types", "may name at most 100 types");
    }
    if !new.event_types.iter().all(|name| is_event_type(name)) {
        return invalid("event_types", "must be names such as `link.clicked`");
    }
    if new.description.chars().count() > DESCRIPTION_SIZE_MAX {
        return invalid("description", "may have at most 256 characters");
    }
    Ok(())
}

/// Words of lower-case letters, digits and `_`, joined by dots.
fn is_event_type(name: &str) -> bool {
    let is_word = |word: &str| {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !word.is_empty() && word.bytes().all(is_letter)
    };
    name.len() <= 128 && name.split('.').all(is_word)
}
