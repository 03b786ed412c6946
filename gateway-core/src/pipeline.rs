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
mod at_once;
mod authorize;
mod call_span;
mod calls;
mod closing;
mod core;
mod decide;
mod forward;
mod identify;
mod in_flight;
mod key_sources;
mod members;
mod open;
mod recorded_body;
mod request_span;
mod respond;
mod shed;
mod streams;
mod warnings;

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
pub use self::streams::{EndedBy, OpenStream, Streams};
pub use self::warnings::Warnings;
use crate::body::Body;
use crate::error::{InternalError, Refused};
use crate::server::{RefusedHead, Transport};

/// Serves one request. Never fails: whatever happens has an answer and a record.
///
/// The exchange is opened at once: what it was opened from need not be kept while it is served.
pub fn handle(
    worker: &Arc<Worker>,
    request: Request<Incoming>,
    transport: &Transport,
) -> impl Future<Output = Response<RecordedBody>> + use<> {
    let site = worker.core.site.load_full();
    let (head, body) = request.into_parts();
    let exchange = open::open(&worker.core, &site, head, transport);
    let mut in_flight = InFlight::new(worker, &site, exchange);
    async move {
        let answer = AssertUnwindSafe(answer(&mut in_flight, body.into()));
        let outcome = answer.catch_unwind().await.unwrap_or_else(|_| {
            in_flight.worker.core.metrics.panics.inc();
            // The panic hook has logged where.
            Err(InternalError::of("a panic while serving the request").into())
        });
        respond::respond(in_flight, outcome)
    }
}

/// Answers what never became a request: it has a record all the same, of what was understood.
pub fn refuse(
    worker: &Arc<Worker>,
    head: &RefusedHead,
    transport: &Transport,
) -> Response<RecordedBody> {
    let site = worker.core.site.load_full();
    let (nothing, ()) = Request::new(()).into_parts();
    let mut exchange = open::open(&worker.core, &site, nothing, transport);
    open::note(&head.request_line, &mut exchange.record);
    let in_flight = InFlight::new(worker, &site, exchange);
    respond::respond(in_flight, Err(head.refused.into()))
}

/// Steps 3 to 12.
async fn answer(in_flight: &mut InFlight, mut body: Body) -> Result<Response<Body>, Refused> {
    let InFlight { worker, site, exchange, .. } = in_flight;
    match admit::admit(worker, site, exchange, &mut body).await? {
        admit::Admitted::Answered(response) => Ok(*response),
        admit::Admitted::To(route) => {
            // What a decision took is beside what the answer takes.
            let decided = std::mem::take(&mut exchange.record.upstream);
            let outcome = forward::forward(worker, site, route, exchange, body).await;
            exchange.record.upstream += decided;
            outcome
        }
    }
}
