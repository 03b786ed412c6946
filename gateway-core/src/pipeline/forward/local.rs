//! An endpoint of the gateway's own answers: login, push tokens, webhook endpoints.

use std::sync::Arc;

use http::{Request, Response, header};
use tower::ServiceExt as _;

use crate::body::Body;
use crate::endpoint::{Endpoint, EndpointContext};
use crate::error::Refused;
use crate::exchange::{Exchange, Step};
use crate::pipeline::calls::joined;
use crate::pipeline::forward::DeadlineExceeded;
use crate::pipeline::{ServiceCalls, Worker};
use crate::site::{LocalEndpoint, Site};

/// Lets the endpoint answer, within the route's deadline.
pub(super) async fn answer(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    local: &LocalEndpoint,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    exchange.steps.take(Step::TransformRequest);
    let services = ServiceCalls::new(worker, site, exchange);
    let context = EndpointContext {
        request_id: exchange.request_id,
        principal: exchange.principal.clone(),
        client: exchange.client,
        now: worker.core.clock.wall(),
        params: local.named(&exchange.params),
        services: services.clone(),
    };
    exchange.record.more_attempts = Some(services.attempts());
    let request = request(site, exchange, context, body);
    exchange.steps.take(Step::Call);
    let time_left = exchange.deadline.since(worker.core.clock.now());
    let answered = tokio::time::timeout(time_left, call(&local.endpoint, request)).await;
    let tally = services.tally();
    exchange.record.upstream_service = joined(&tally.services);
    exchange.record.upstream = tally.waited;
    exchange.steps.take(Step::TransformResponse);
    let mut response = answered.map_err(|_| DeadlineExceeded)?;
    let Some(refused) = response.extensions_mut().remove::<Refused>() else {
        return Ok(response.map(Body::boxed));
    };
    // A refusal may come with a cookie: the one that takes the session's away.
    let cookies = response.headers().get_all(header::SET_COOKIE).iter().cloned();
    exchange.answer_headers.extend(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
    Err(refused)
}

fn request(
    site: &Site,
    exchange: &mut Exchange,
    context: EndpointContext,
    body: Body,
) -> Request<axum::body::Body> {
    let mut request = Request::new(axum::body::Body::new(body));
    *request.method_mut() = exchange.head.method.clone();
    *request.uri_mut() = exchange.head.uri.clone();
    let mut headers = exchange.head.headers.clone();
    site.misleading_headers.strip(&mut headers);
    *request.headers_mut() = headers;
    request.extensions_mut().insert(context);
    request
}

async fn call(
    endpoint: &Endpoint,
    request: Request<axum::body::Body>,
) -> Response<axum::body::Body> {
    match endpoint.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
