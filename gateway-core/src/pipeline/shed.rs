//! Shedding: a core that is behind turns requests away, those of the lowest priority first.
//!
//! Not here: how far it is behind (`server::lag`), services that have too much to do
//! (`upstream::concurrency`).

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::error::Refusal;
use crate::metric::Shed;
use crate::pipeline::Worker;
use crate::priority::Priority;

/// The gateway itself has too much to do.
#[derive(Debug, thiserror::Error)]
#[error("the core is behind, and turns {} requests away", priority.as_str())]
pub(super) struct GatewayOverloaded {
    priority: Priority,
}

/// Lets those of a priority in, or not.
pub(super) fn check(worker: &Worker, priority: Priority) -> Result<(), GatewayOverloaded> {
    if !worker.lag.turns_away(priority) {
        return Ok(());
    }
    let shed = Shed { by: "lag", priority: priority.as_str() };
    worker.core.metrics.shed.get_or_create(&shed).inc();
    Err(GatewayOverloaded { priority })
}

impl Refusal for GatewayOverloaded {
    fn status(&self) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }
    fn code(&self) -> &'static str {
        "gateway_overloaded"
    }
    fn detail(&self) -> Cow<'static, str> {
        "The gateway has too much to do. Try again in a moment.".into()
    }
    fn is_mass(&self) -> bool {
        true
    }
    fn add_headers(&self, headers: &mut HeaderMap) {
        // A class is let in again after a quarter of a second at the earliest.
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
}
