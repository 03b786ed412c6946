//! Steps 9 to 12: the request goes to a service, an aggregate, or an endpoint of the gateway's
//! own, and the answer comes back in the shape the consumer wants.

mod aggregate;
mod inspect;
mod local;
mod pass_through;

pub(super) use self::pass_through::of_client;

use std::borrow::Cow;
use std::sync::Arc;

use http::{Response, StatusCode};

use super::{Worker, at_once};
use crate::body::Body;
use crate::error::{Refusal, Refused};
use crate::exchange::Exchange;
use crate::guard::body::LimitedBody;
use crate::site::{Action, Route, Site};

/// Answers an admitted request.
pub(super) async fn forward(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    route: &Route,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    let time_left = exchange.deadline.since(worker.core.clock.now());
    let (body, bytes_in) =
        LimitedBody::limit(body, route.body_size_max, site.body_timeout, time_left);
    exchange.record.bytes_in = bytes_in;
    let body = inspect::inspect(worker, route, exchange, body).await?;
    match &route.action {
        Action::Service(proxy) => {
            pass_through::pass_through(worker, site, proxy, exchange, body).await
        }
        Action::Aggregate(view) => aggregate::compose(worker, site, view, exchange, body).await,
        Action::Constant(constant) => constant.answer(&at_once::values(exchange)),
        Action::Local(endpoint) => local::answer(worker, site, endpoint, exchange, body).await,
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
