//! Login, who am I, logout: the life of a session.
//!
//! The user service checks the password and says who the user is; of its answer only that is
//! kept. No token it may issue beside ever reaches the browser, or the session.
//!
//! A login must be JSON, which no form of a foreign page can send without a preflight.
//!
//! Not here: how sessions are kept (`session`), who may come in from where (`gateway_core`).

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gateway_core::endpoint::{EndpointContext, Endpoints, JsonBody};
use gateway_core::error::{Refusal, Refused};
use gateway_core::principal::{IdentityText, Principal, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_sessions::Session;

use crate::config::Login;
use crate::session::{Sessions, keep_session, sign_in, sign_out};

/// What a login page sends.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginRefused {
    /// The user service does not know the email and password together.
    #[error("the user service refused the credentials")]
    Credentials,
    /// The user service wants to be asked later.
    #[error("the user service refuses more attempts")]
    TooMany {
        /// When, by its own word.
        retry_after: Option<HeaderValue>,
    },
    /// The user service answered with something that names nobody.
    #[error("the user service answered {status}, which names nobody")]
    Unusable {
        /// Its status.
        status: StatusCode,
    },
}

impl Refusal for LoginRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Credentials => StatusCode::UNAUTHORIZED,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unusable { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Credentials => "login_failed",
            Self::TooMany { .. } => "login_throttled",
            Self::Unusable { .. } => "login_unavailable",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Credentials => "The email and the password do not belong together.",
            Self::TooMany { .. } => "There were too many attempts. Try again later.",
            Self::Unusable { .. } => "Logging in is not possible just now. Try again later.",
        }
        .into()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::Credentials => {
                let challenge = HeaderValue::from_static("Cookie realm=\"session\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::TooMany { retry_after: Some(when) } => {
                headers.insert(header::RETRY_AFTER, when.clone());
            }
            Self::TooMany { .. } | Self::Unusable { .. } => {}
        }
    }
}

/// The gateway's endpoints.
#[must_use]
pub fn endpoints(login: Login, sessions: Sessions) -> Endpoints {
    let login = Arc::new(login);
    let log_in = move |context, session, body| {
        let login = Arc::clone(&login);
        async move { log_in(&login, context, session, body).await }
    };
    let with_session = from_fn_with_state(sessions, keep_session);
    Endpoints::new().layered("login", log_in, &with_session).handler("user", user).layered(
        "logout",
        log_out,
        &with_session,
    )
}

async fn log_in(
    login: &Login,
    context: EndpointContext,
    session: Session,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<Response, Refused> {
    let principal = ask(login, &context, &credentials).await?;
    sign_in(&session, &principal).await?;
    Ok(Json(shown(&principal)).into_response())
}

/// Who this is, by the user service's word.
async fn ask(
    login: &Login,
    context: &EndpointContext,
    credentials: &Credentials,
) -> Result<Principal, Refused> {
    let body = json!(credentials).to_string();
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        login.path.parse().map_err(|_| LoginRefused::Unusable { status: StatusCode::NOT_FOUND })?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    let answer = context.services.call(&login.service, request).await?;
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(LoginRefused::Credentials.into());
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after = answer.headers().get(header::RETRY_AFTER).cloned();
            return Err(LoginRefused::TooMany { retry_after }.into());
        }
        status => return Err(LoginRefused::Unusable { status }.into()),
    }
    let unusable = LoginRefused::Unusable { status };
    let Ok(claims) = serde_json::from_slice::<Value>(answer.body()) else {
        return Err(unusable.into());
    };
    login.identity.principal(&claims, Scheme::Session).map_err(|_| unusable.into())
}

async fn user(context: EndpointContext) -> Result<Response, Refused> {
    let principal = context.caller()?;
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Json(shown(principal))).into_response())
}

/// The browser is told to forget what it kept of this user; its cookie goes by `keep_session`.
async fn log_out(context: EndpointContext, session: Session) -> Result<Response, Refused> {
    sign_out(&session).await?;
    context.services.forget_kept();
    context.services.end_streams();
    let clear = HeaderValue::from_static("\"cache\", \"storage\"");
    let clear = [(http::HeaderName::from_static("clear-site-data"), clear)];
    Ok((StatusCode::NO_CONTENT, clear).into_response())
}

/// What a page may know of its user.
fn shown(principal: &Principal) -> Value {
    let text = |text: &Option<IdentityText>| text.as_ref().map(ToString::to_string);
    json!({
        "user_id": principal.user_id.as_str(),
        "role": text(&principal.role),
        "roles": principal.roles.iter().map(IdentityText::as_str).collect::<Vec<_>>(),
        "tenant": text(&principal.tenant),
        "tier": principal.tier.as_str(),
    })
}
