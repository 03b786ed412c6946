//! One service answers, and its answer streams through.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use tokio::time::timeout;

use crate::body::Body;
use crate::error::{Refusal, Refused};
use crate::exchange::{Exchange, Step};
use crate::pipeline::Worker;
use crate::pipeline::calls::{self, CallContext};
use crate::pipeline::forward::DeadlineExceeded;
use crate::security_headers;
use crate::site::{Proxy, Service, Site};
use crate::transform::Values;
use crate::upstream::{self, Answer, CallFailed};

/// Passes the request on, and the answer back.
pub(super) async fn pass_through(
    worker: &Worker,
    site: &Site,
    proxy: &Proxy,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    let service = site.service(proxy.service)?;
    exchange.steps.take(Step::TransformRequest);
    let time_left = exchange.deadline.since(worker.core.clock.now());
    let request = timeout(time_left, request(site, proxy, exchange, body));
    let request = request.await.map_err(|_| DeadlineExceeded)??;
    exchange.record.upstream_service = Some(Arc::clone(&service.name));

    exchange.steps.take(Step::Call);
    let context = CallContext::of(exchange);
    let started = worker.core.clock.now();
    let answer = calls::call(worker, site, service, &context, request).await;
    exchange.record.upstream = worker.core.clock.now().since(started);
    exchange.record.attempts = match &answer {
        Ok(answer) => answer.attempts,
        Err(CallFailed::Busy(_)) => 0,
        Err(_) => 1,
    };
    let answer = answer?;

    exchange.steps.take(Step::TransformResponse);
    let time_left = exchange.deadline.since(worker.core.clock.now());
    let response = timeout(time_left, response(proxy, service, answer));
    response.await.map_err(|_| DeadlineExceeded)?
}

/// Step 9: the request as the service wants it. Credentials stay with the gateway.
async fn request(
    site: &Site,
    proxy: &Proxy,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Request<Body>, Refused> {
    let origin = exchange.head.headers.get(header::ORIGIN).cloned();
    let mut headers = std::mem::take(&mut exchange.head.headers);
    // Kept for the answer's CORS headers.
    exchange.head.headers.extend(origin.map(|origin| (header::ORIGIN, origin)));
    site.spoofed_headers.strip(&mut headers);
    // The client has been told to go on by the time its body is read.
    headers.remove(header::EXPECT);
    let values = Values {
        params: &exchange.params,
        principal: exchange.principal.as_deref(),
        query: exchange.head.uri.query(),
    };
    let path = exchange.path.get(proxy.prefix_length..).unwrap_or(&exchange.path);
    let target = proxy.request.apply_head(path, &mut headers, &values)?;
    let body = if proxy.request.needs_body() {
        let whole = upstream::collect(body, proxy.body_size_max).await?;
        Body::from(proxy.request.apply_body(&mut headers, whole)?)
    } else {
        body
    };
    proxy.response.prepare_request(&mut headers);
    let mut request = Request::new(body);
    *request.method_mut() = exchange.head.method.clone();
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(request)
}

/// Step 12: the answer as the consumer wants it. What the service says about itself, or about
/// identities, stays inside.
async fn response(
    proxy: &Proxy,
    service: &Service,
    answer: Answer,
) -> Result<Response<Body>, Refused> {
    let (mut head, body) = answer.response.into_parts();
    if head.status.is_server_error() && !is_json(&head.headers) {
        return Err(ServiceFailed(head.status).into());
    }
    security_headers::strip_internal(&mut head.headers);
    // Cookies are between the browser and the gateway.
    head.headers.remove(header::SET_COOKIE);
    let body = if proxy.response.needs_body(&head.headers) {
        let whole = upstream::collect(body, service.body_size_max).await?;
        if !whole.is_empty() {
            // The body is at hand now, and says itself how long it is.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        Body::from(proxy.response.apply(&mut head.headers, whole)?)
    } else {
        proxy.response.apply(&mut head.headers, Bytes::new())?;
        body
    };
    Ok(Response::from_parts(head, body))
}

/// A service failed, in words that are not for clients: a stack trace, as often as not.
#[derive(Debug, thiserror::Error)]
#[error("the service answered {0}, and not in JSON")]
struct ServiceFailed(StatusCode);

impl Refusal for ServiceFailed {
    fn status(&self) -> StatusCode {
        self.0
    }
    fn code(&self) -> &'static str {
        "upstream_failed"
    }
    fn detail(&self) -> Cow<'static, str> {
        "The service failed to serve this request.".into()
    }
}

/// `application/json`, or a type built on it.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json") || essence.ends_with(b"+json")
}
