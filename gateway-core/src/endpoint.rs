//! Endpoints a gateway owns: the seam between the pipeline and a binary's axum handlers.
//!
//! Configuration says where an endpoint stands (`[routes.x] match = …, local = "name"`) and which
//! scheme and limits it has; the binary says what it does, by the same name. When a handler is
//! called, steps 3 to 8 have passed: [`EndpointContext`] tells it who asks.
//!
//! A handler refuses by returning [`Refused`]; it is rendered where every refusal is.
//!
//! Not here: any endpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use serde::de::DeserializeOwned;
use tower::util::BoxCloneSyncService;
use tower_http::limit::RequestBodyLimitLayer;

use crate::body::BodyRefused;
use crate::clock::Timestamp;
use crate::error::{InternalError, Refusal, Refused};
use crate::exchange::RequestId;
use crate::pipeline::ServiceCalls;
use crate::principal::Principal;

/// One endpoint, ready to be called by any core.
pub type Endpoint = BoxCloneSyncService<Request<axum::body::Body>, Response, Infallible>;

/// The longest body any endpoint of a gateway's own reads, whatever its route allows.
const BODY_SIZE_MAX: usize = 64 * 1024;

/// The endpoints of one gateway by their names in configuration.
#[derive(Clone, Default)]
pub struct Endpoints(BTreeMap<&'static str, Endpoint>);

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Endpoints {
    /// No endpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an axum handler under `name`.
    #[must_use]
    pub fn handler<H, T>(self, name: &'static str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.service(name, handler.with_state(()))
    }

    /// Adds an axum handler under a layer of the gateway's own.
    #[must_use]
    pub fn layered<H, T, L>(self, name: &'static str, handler: H, layer: &L) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
        L: tower::Layer<axum::routing::Route> + Clone + Send + Sync + 'static,
        L::Service: tower::Service<Request<axum::body::Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as tower::Service<Request<axum::body::Body>>>::Response: IntoResponse + 'static,
        <L::Service as tower::Service<Request<axum::body::Body>>>::Future: Send + 'static,
    {
        // The route is matched already: whatever the method, this handler answers.
        let methods = axum::routing::any(handler).layer(layer.clone());
        self.service(name, methods.with_state::<()>(()))
    }

    /// Adds a service: handlers under layers of their own.
    #[must_use]
    pub fn service<S>(mut self, name: &'static str, service: S) -> Self
    where
        S: tower::Service<Request<axum::body::Body>, Response = Response, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let limited = tower::ServiceBuilder::new()
            .map_response(|response: http::Response<_>| explained(response.into_response()))
            .layer(RequestBodyLimitLayer::new(BODY_SIZE_MAX))
            .map_request(|request: Request<_>| request.map(axum::body::Body::new))
            .service(service);
        self.0.insert(name, BoxCloneSyncService::new(limited));
        self
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Endpoint> {
        self.0.get(name)
    }

    /// All names, for messages.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

/// The layer's own answer to a body that is announced as too long has no problem in it.
fn explained(mut response: Response) -> Response {
    let is_too_large = response.status() == StatusCode::PAYLOAD_TOO_LARGE;
    if is_too_large && response.extensions().get::<Refused>().is_none() {
        response.extensions_mut().insert(Refused::from(BodyUnusable::TooLarge));
    }
    response
}

/// What the pipeline has found out, for a handler.
#[derive(Debug, Clone)]
pub struct EndpointContext {
    /// The request's public name.
    pub request_id: RequestId,
    /// Who asks; `None` on public routes.
    pub principal: Option<Arc<Principal>>,
    /// The client's address.
    pub client: IpAddr,
    /// The wall time.
    pub now: Timestamp,
    /// The path's parameters by name, decoded.
    pub params: Vec<(Arc<str>, Box<str>)>,
    /// Calls to services on this request's behalf.
    pub services: ServiceCalls,
}

impl EndpointContext {
    /// The caller.
    ///
    /// # Errors
    ///
    /// [`InternalError`] on a route that was declared public.
    pub fn caller(&self) -> Result<&Principal, InternalError> {
        self.principal.as_deref().ok_or(NOT_IDENTIFIED)
    }

    /// A parameter of the path; empty when the route's pattern has none of that name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| &**known == name).map_or("", |(_, value)| value)
    }
}

impl<S: Sync> FromRequestParts<S> for EndpointContext {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        Ok(parts.extensions.get::<Self>().cloned().ok_or(NOT_IDENTIFIED)?)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.refusal().status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The endpoint needs a caller, and its route was declared public.
const NOT_IDENTIFIED: InternalError =
    InternalError::of("an endpoint that needs a caller stands on a public route");

/// A JSON body, read whole and typed.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

/// Why a body could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BodyUnusable {
    /// Another media type, or none.
    #[error("the body is not declared as JSON")]
    MediaType,
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON of another shape.
    #[error("the body has another shape: {0}")]
    Shape(serde_json::Error),
    /// Longer than the endpoint reads.
    #[error("the body is longer than the endpoint reads")]
    TooLarge,
    /// It broke off.
    #[error("the body broke off: {0}")]
    BrokeOff(axum::Error),
}

impl Refusal for BodyUnusable {
    fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Syntax(_) | Self::BrokeOff(_) => StatusCode::BAD_REQUEST,
            Self::Shape(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::MediaType => "media_type_unsupported",
            Self::Syntax(_) => "body_not_json",
            Self::Shape(_) => "body_invalid",
            Self::TooLarge => "body_too_large",
            Self::BrokeOff(_) => "body_incomplete",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::MediaType => "Send the body as `Content-Type: application/json`.".into(),
            Self::Syntax(error) => {
                let (line, column) = (error.line(), error.column());
                format!("The body is not JSON; see line {line}, column {column}.").into()
            }
            Self::Shape(error) => shape_detail(error).into(),
            Self::TooLarge => format!("Send at most {BODY_SIZE_MAX} bytes.").into(),
            Self::BrokeOff(_) => "The body ended early.".into(),
        }
    }
}

/// serde's words name the field; values of strings are not repeated, since one may be a secret.
fn shape_detail(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let is_safe = ["missing field", "unknown field", "duplicate field"];
    match text.split_once(" at line ") {
        Some((reason, _)) if is_safe.iter().any(|start| reason.starts_with(start)) => {
            format!("The body has another shape: {reason}.")
        }
        _ => "A member of the body has another type than expected.".to_owned(),
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Refused> {
        if !is_json(request.headers()) {
            return Err(BodyUnusable::MediaType.into());
        }
        let bytes = whole(request.into_body()).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            if error.is_data() { BodyUnusable::Shape(error) } else { BodyUnusable::Syntax(error) }
        })?;
        Ok(Self(value))
    }
}

async fn whole(body: axum::body::Body) -> Result<Bytes, Refused> {
    use std::error::Error as _;
    match axum::body::to_bytes(body, BODY_SIZE_MAX).await {
        Ok(bytes) => Ok(bytes),
        Err(error)
            if error
                .source()
                .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) =>
        {
            Err(BodyUnusable::TooLarge.into())
        }
        Err(error) => match BodyRefused::find(&error) {
            // The guard has cut it off, and has said why.
            Some(refused) => Err(refused.into()),
            None => Err(BodyUnusable::BrokeOff(error).into()),
        },
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
