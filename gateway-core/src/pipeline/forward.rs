//! Steps 9 to 12: the request goes to a service, an aggregate, or an endpoint of the gateway's
//! own, and the answer comes back in the shape the consumer wants.

mod aggregate;
mod inspect;
mod local;
mod pass_through;
mod upgrade;

pub(super) use self::pass_through::{events, of_client};

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode, header};
use http_body::Body as _;

use super::{Worker, at_once};
use crate::body::Body;
use crate::error::{Refusal, Refused};
use crate::exchange::Exchange;
use crate::guard::body::{LimitedBody, Pace};
use crate::guard::framing;
use crate::site::{Action, Route, Site};

/// Answers an admitted request.
pub(super) async fn forward(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    route: &Route,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        let pace = pace(worker, site, route, exchange);
        // Pass-through sees to what is in them: an aggregate or an endpoint reads none.
        let keeps_trailers = matches!(route.action, Action::Service(_))
            && exchange.head.headers.contains_key(header::TRAILER);
        let (body, count) = LimitedBody::limit(body, route.body_size_max, pace, keeps_trailers);
        exchange.record.bytes_in = count;
        body
    };
    let body = inspect::inspect(worker, route, exchange, body).await?;
    match &route.action {
        // Boxed: few requests ask for a WebSocket, and all futures are as large as the largest.
        Action::Service(proxy) if upgrade::is_handshake(&exchange.head) => {
            Box::pin(upgrade::upgrade(worker, site, proxy, exchange)).await
        }
        _ if framing::is_extended_connect(&exchange.head) => Err(upgrade::not_offered()),
        Action::Service(proxy) => {
            pass_through::pass_through(worker, site, proxy, exchange, body).await
        }
        Action::Aggregate(view) => aggregate::compose(worker, site, view, exchange, body).await,
        Action::Constant(constant) => constant.answer(&at_once::values(exchange)),
        Action::Local(endpoint) => local::answer(worker, site, endpoint, exchange, body).await,
    }
}

/// How long a body that takes its time may take in all, whoever of the two ends it is that is slow.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// How fast the request's body must arrive. Where it only must not pause, the deadline moves with
/// it.
fn pace(worker: &Worker, site: &Site, route: &Route, exchange: &mut Exchange) -> Pace {
    match route.upload_idle_timeout {
        Some(idle_timeout) => {
            exchange.deadline = exchange.started.after(UPLOAD_TIME_MAX);
            Pace::Steady(idle_timeout)
        }
        None => {
            let time_left = exchange.deadline.since(worker.core.clock.now());
            Pace::Whole { timeout: site.body_timeout, time_left }
        }
    }
}

/// The answer was not ready in time.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not ready within the deadline")]
pub(super) struct DeadlineExceeded;

impl Refusal for DeadlineExceeded {
    fn status(&self) -> StatusCode {
        StatusCode::GATEWAY_TIMEOUT
    }
    fn code(&self) -> &'static str {
        "deadline_exceeded"
    }
    fn detail(&self) -> Cow<'static, str> {
        "The answer was not ready in time. Try again.".into()
    }
}
