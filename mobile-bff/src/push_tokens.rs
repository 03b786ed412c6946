//! Push tokens: which installation of whose app gets notifications.
//!
//! A token names one installation of one app on one device. It belongs to whoever registered it
//! last: a device that changes hands takes its token along, in the same moment.
//!
//! Invariants
//! - A token is shown masked, to its owner alone.
//! - One installation has one token: a new one takes the old one's place.
//!
//! Not here: sending notifications.

mod registry;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::response::IntoResponse;
use gateway_core::endpoint::{EndpointContext, Endpoints, JsonBody};
use gateway_core::error::{Refusal, Refused};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::registry::{PushTokens, Registration, Registrations};

/// The longest token any push service issues, with room.
const TOKEN_SIZE_MAX: usize = 4 * 1024;

/// The push service a token is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Firebase Cloud Messaging.
    Fcm,
    /// Apple Push Notification service.
    Apns,
}

/// The body of a registration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    token: String,
    platform: Platform,
    installation_id: String,
}

/// The body of a deletion: by value, so that an app needs to remember nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenToDelete {
    token: String,
}

/// Why a registration was refused.
#[derive(Debug, thiserror::Error)]
pub enum PushTokenRefused {
    /// A member of the body cannot be what it says.
    #[error("the {member} {reason}")]
    Invalid {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The registry is at its ceiling.
    #[error("the registry holds as many push tokens as it may")]
    Full,
}

impl Refusal for PushTokenRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "push_token_invalid",
            Self::Full => "push_tokens_full",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Invalid { member, reason } => format!("`{member}` {reason}.").into(),
            Self::Full => "No more push tokens can be registered now. Try again later.".into(),
        }
    }

    fn add_headers(&self, headers: &mut http::HeaderMap) {
        if matches!(self, Self::Full) {
            headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("60"));
        }
    }
}

/// The endpoints over one registry.
#[must_use]
pub fn endpoints(tokens: PushTokens) -> Endpoints {
    let tokens = Arc::new(tokens);
    let (list_of, delete_from) = (Arc::clone(&tokens), Arc::clone(&tokens));
    Endpoints::new()
        .handler("push_tokens.register", move |context, body| {
            let answer = register(&tokens, &context, body);
            async move { answer }
        })
        .handler("push_tokens.list", move |context: EndpointContext| {
            let answer = list(&list_of, &context);
            async move { answer }
        })
        .handler("push_tokens.delete", move |context: EndpointContext, body| {
            let answer = delete(&delete_from, &context, body);
            async move { answer }
        })
}

fn register(
    tokens: &PushTokens,
    context: &EndpointContext,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<impl IntoResponse + use<>, Refused> {
    let user_id = &context.caller()?.user_id;
    check(&new)?;
    let registration =
        Registration::new(&new.token, new.platform, &new.installation_id, context.now);
    let (registration, is_new) = tokens.register(user_id, registration)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(registration.shown())))
}

fn list(
    tokens: &PushTokens,
    context: &EndpointContext,
) -> Result<impl IntoResponse + use<>, Refused> {
    let registrations = tokens.of(&context.caller()?.user_id);
    let items: Vec<_> = registrations.iter().map(Registration::shown).collect();
    Ok(Json(json!({ "items": items })))
}

/// 204 whether or not the token was there: a repeated deletion has what it wanted.
fn delete(
    tokens: &PushTokens,
    context: &EndpointContext,
    JsonBody(body): JsonBody<TokenToDelete>,
) -> Result<impl IntoResponse + use<>, Refused> {
    tokens.delete(&context.caller()?.user_id, &body.token);
    Ok(StatusCode::NO_CONTENT)
}

fn check(new: &NewToken) -> Result<(), PushTokenRefused> {
    let invalid = |member, reason| Err(PushTokenRefused::Invalid { member, reason });
    if new.token.is_empty() || new.token.len() > TOKEN_SIZE_MAX {
        return invalid("token", "must have 1 to 4096 characters");
    }
    if !new.token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return invalid("token", "must be visible ASCII without spaces");
    }
    let id = &new.installation_id;
    if id.is_empty() || id.len() > 128 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return invalid("installation_id", "must be 1 to 128 visible ASCII characters");
    }
    Ok(())
}
