//! The gate of a route: what is decided about a request before a service hears of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::authorization::Requirement;
use crate::authorization::decision::DecisionPoint;
use crate::error::Refusal;
use crate::inspection::BodySchema;

/// What is decided about a route's requests. Of most routes, nothing.
#[derive(Debug, Default)]
pub struct Gate {
    /// Why nothing comes through for now.
    pub maintenance: Option<Arc<Maintenance>>,
    /// What must hold of the caller, from all levels.
    pub require: Box<[Requirement]>,
    /// The service that decides.
    pub decide: Option<Arc<DecisionPoint>>,
    /// The names of the path's parameters, where a service decides.
    pub params: Box<[Box<str>]>,
    /// What the body must be.
    pub body_schema: Option<Arc<BodySchema>>,
}

/// A route is closed for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("closed for maintenance, by `{key}`")]
pub struct Maintenance {
    /// Where that stands: `policy.maintenance`.
    pub key: Box<str>,
    /// When clients are to try again.
    pub retry_after: Duration,
    /// What they are told.
    pub detail: Option<Box<str>>,
}

/// As a refusal.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Closed(pub Arc<Maintenance>);

impl Refusal for Closed {
    fn status(&self) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }
    fn code(&self) -> &'static str {
        "maintenance"
    }
    fn detail(&self) -> Cow<'static, str> {
        let detail = self.0.detail.as_deref();
        detail.map_or("This is closed for maintenance.".into(), |text| text.to_owned().into())
    }
    fn is_mass(&self) -> bool {
        true
    }
    fn add_headers(&self, headers: &mut HeaderMap) {
        // Rounded up: who waits that long does not come too early.
        let seconds = self.0.retry_after.as_millis().div_ceil(1_000);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}
