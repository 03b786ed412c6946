//! The pipeline: one request, in one pass. Read this file first.
//!
//! 1 accept → 2 open the record → 3 guard → 4 match → 5 limit by address → 6 identify →
//! 7 authorise → 8 limit by consumer → 9 transform request → (10 cache) → 11 call a service, an
//! aggregate or an endpoint of the gateway's own → 12 transform answer → 13 respond → 14 close the
//! record. The server accepts; `admit` holds steps 3 to 8, `forward` 9 to 12, `respond` 13,
//! and [`RecordedBody`] closes the record when the answer's body has ended or was dropped.
//!
//! It is one plain async function and not a stack of layers: a refusal at any step still passes
//! through 13 and 14, and the order can be read here.
//!
//! Invariants
//! - Match comes first: scheme, limits, deadline and transforms are properties of the route.
//! - Limits by address stand before credentials: a flood cannot make us check signatures.
//! - Who is turned away for want of room costs next to nothing: that stands right after match.
//! - A refused request never reaches a service, and costs nothing of a consumer's limits.
//! - A panic in one request is that request's 500.
//!
//! Not here: how each step decides (the policies), what a route says (`site`).

mod admit;
mod authorize;
mod calls;
mod closing;
mod core;
mod forward;
mod identify;
mod in_flight;
mod key_sources;
mod open;
mod recorded_body;
mod respond;
mod shed;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;

pub use self::calls::{CallContext, ServiceCalls};
pub use self::core::{Core, Observer, Worker};
use self::in_flight::InFlight;
pub use self::key_sources::KeySources;
pub use self::recorded_body::RecordedBody;
use crate::body::Body;
use crate::error::{InternalError, Refused};
use crate::exchange::Exchange;
use crate::site::Site;

/// Serves one request. Never fails: whatever happens has an answer and a record.
pub async fn handle(
    worker: &Arc<Worker>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<RecordedBody> {
    let site = worker.core.site.load_full();
    let (head, body) = request.into_parts();
    let exchange = open::open(&worker.core, &site, head, peer);
    let mut in_flight = InFlight::new(worker, &site, exchange);
    let answer = AssertUnwindSafe(answer(worker, &site, &mut in_flight.exchange, body.into()));
    let outcome = answer.catch_unwind().await.unwrap_or_else(|_| {
        worker.core.metrics.panics.inc();
        // The panic hook has logged where.
        Err(InternalError::of("a panic while serving the request").into())
    });
    respond::respond(in_flight, outcome)
}

/// Steps 3 to 12.
async fn answer(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    match admit::admit(worker, site, exchange).await? {
        admit::Admitted::Answered(response) => Ok(response),
        admit::Admitted::To(route) => forward::forward(worker, site, route, exchange, body).await,
    }
}
