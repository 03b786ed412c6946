//! One service answers, and its answer streams through.

pub(in crate::pipeline) mod events;
mod place;
mod trailers;

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};

use crate::alarm::within;
use crate::body::Body;
use crate::error::{InternalError, Refusal, Refused};
use crate::exchange::{Exchange, Step};
use crate::pipeline::Worker;
use crate::pipeline::call_span::CallSpan;
use crate::pipeline::calls::{self, CallContext, Called};
use crate::pipeline::forward::DeadlineExceeded;
use crate::routing::canary::Canary;
use crate::security_headers;
use crate::site::{Proxy, Service, Site};
use crate::transform::Values;
use crate::upstream::{self, Answer, CallFailed};

/// Passes the request on, and the answer back.
pub(super) async fn pass_through(
    worker: &Worker,
    site: &Arc<Site>,
    proxy: &Proxy,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    let service = service_of(site, proxy, exchange)?;
    exchange.steps.take(Step::TransformRequest);
    let deadline = exchange.deadline;
    let time_left = || deadline.since(worker.core.clock.now());
    let request = {
        let made = pin!(request(site, proxy, exchange, body));
        within(made, time_left).await.ok_or(DeadlineExceeded)??
    };
    exchange.record.upstream_service = Some(Arc::clone(&service.name));

    exchange.steps.take(Step::Call);
    let context = CallContext::of(exchange);
    // A canary may be in a mesh where the route's own service is not.
    let retry = proxy.retry.as_ref().filter(|_| !service.is_mesh);
    let span = CallSpan::of_service(&context.trace, service, &request);
    let called = calls::call((worker, site), service, (&context, &span), retry, request).await;
    span.end(&called.outcome);
    let Called { outcome, attempts, began, took } = called;
    exchange.record.upstream = took;
    exchange.record.attempts = attempts;
    let answer = outcome?;

    exchange.steps.take(Step::TransformResponse);
    let mut response = {
        let made = pin!(response(site, proxy, service, answer));
        within(made, time_left).await.unwrap_or_else(|| Err(DeadlineExceeded.into()))
    };
    if let Some(name) = proxy.canary.as_ref().and_then(|canary| canary.header())
        && let Ok(response) = &mut response
    {
        // What it says is part of what was asked.
        response.headers_mut().append(header::VARY, HeaderValue::from(name.clone()));
    }
    let idle_timeout = proxy.stream_idle_timeout;
    let response = response
        .map(|response| events::enter(response, &worker.core.streams, exchange, idle_timeout));
    if !matches!(&response, Ok(response) if events::streams(response)) {
        // Its body was waited for as well, and that too was the service's time.
        exchange.record.upstream = worker.core.clock.now().since(began);
    }
    response
}

/// Where this request goes: to the route's service, or its canary.
pub(super) fn service_of<'a>(
    site: &'a Site,
    proxy: &Proxy,
    exchange: &Exchange,
) -> Result<&'a Service, InternalError> {
    let principal = exchange.principal.as_deref();
    let takes = |canary: &&Canary| canary.takes(&exchange.head.headers, principal, exchange.client);
    let canary = proxy.canary.as_deref().filter(takes);
    site.service(canary.map_or(proxy.service, |canary| canary.service))
}

/// About so many fields are added to a request: room for them is made once.
const FIELDS_ADDED: usize = 10;

/// Step 9: the request as the service wants it. Credentials stay with the gateway.
pub(super) async fn request(
    site: &Arc<Site>,
    proxy: &Proxy,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Request<Body>, Refused> {
    let origin = exchange.head.headers.get(header::ORIGIN).cloned();
    let mut headers = std::mem::take(&mut exchange.head.headers);
    headers.reserve(FIELDS_ADDED);
    // Kept for the answer's CORS headers.
    exchange.head.headers.extend(origin.map(|origin| (header::ORIGIN, origin)));
    let trailers = trailers::Rules::of(&headers, &site.spoofed_headers);
    site.spoofed_headers.strip(&mut headers);
    // The client has been told to go on by the time its body is read.
    headers.remove(header::EXPECT);
    let values = Values {
        params: &exchange.params,
        principal: exchange.principal.as_deref(),
        query: exchange.head.uri.query(),
    };
    let path = exchange.path.get(proxy.prefix.len()..).unwrap_or(&exchange.path);
    let target = proxy.request.apply_head(path, &mut headers, &values)?;
    let body = if proxy.request.needs_body() {
        let whole = upstream::collect(body, proxy.body_size_max).await.map_err(of_client)?;
        Body::from(proxy.request.apply_body(&mut headers, whole)?)
    } else {
        trailers.announce(&mut headers);
        let body = trailers::Filtered::of_client(body, site, &trailers);
        // A body that is kept to be sent again would lose its trailers.
        if trailers.has_own { body } else { at_hand(proxy, exchange, &headers, body).await? }
    };
    proxy.response.prepare_request(&mut headers);
    trailers.ask_for(&mut headers);
    let mut request = Request::new(body);
    *request.method_mut() = exchange.head.method.clone();
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(request)
}

/// The body, read as far as it may be kept where it is to be sent again if need be.
async fn at_hand(
    proxy: &Proxy,
    exchange: &Exchange,
    headers: &HeaderMap,
    body: Body,
) -> Result<Body, CallFailed> {
    match &proxy.retry {
        Some(retry) if retry.may_repeat(&exchange.head.method, headers) => {
            upstream::read_ahead(body, retry.replay_size_max).await.map_err(of_client)
        }
        _ => Ok(body),
    }
}

/// A body that breaks off on its way in is the client's, and no service's failure.
pub(in crate::pipeline) fn of_client(failed: CallFailed) -> CallFailed {
    match failed {
        CallFailed::Broken(error) => CallFailed::BodyBroken(error),
        other => other,
    }
}

/// Step 12: the answer as the consumer wants it. What the service says about itself, or about
/// identities, stays inside.
pub(super) async fn response(
    site: &Site,
    proxy: &Proxy,
    service: &Service,
    answer: Answer,
) -> Result<Response<Body>, Refused> {
    let (mut head, body) = answer.response.into_parts();
    if head.status.is_server_error() && !is_problem(&head.headers) {
        let retry_after = head.headers.remove(header::RETRY_AFTER);
        return Err(ServiceFailed { status: head.status, retry_after }.into());
    }
    let trailers = trailers::announced(&head.headers, site);
    clean(site, proxy, service, &mut head.headers);
    let body = if proxy.response.needs_body(&head.headers) {
        let whole = upstream::collect(body, service.body_size_max).await?;
        if !whole.is_empty() {
            // The body is at hand now, and says itself how long it is.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        Body::from(proxy.response.apply(&mut head.headers, whole)?)
    } else {
        proxy.response.apply(&mut head.headers, Bytes::new())?;
        head.headers.extend(trailers.map(|names| (header::TRAILER, names)));
        body
    };
    Ok(Response::from_parts(head, body))
}

/// Takes from an answer what is not for consumers.
pub(super) fn clean(site: &Site, proxy: &Proxy, service: &Service, headers: &mut HeaderMap) {
    security_headers::strip_internal(headers);
    for name in &site.reserved_headers {
        headers.remove(name);
    }
    // What a service knows of how to log in holds between it and the gateway.
    headers.remove(header::WWW_AUTHENTICATE);
    place::translate(headers, proxy, &service.targets);
    // Cookies are between the browser and the gateway.
    headers.remove(header::SET_COOKIE);
}

/// A service failed, in words that are not for clients: a stack trace, as often as not.
#[derive(Debug, thiserror::Error)]
#[error("the service answered {status}, and with no problem")]
struct ServiceFailed {
    status: StatusCode,
    retry_after: Option<HeaderValue>,
}

impl Refusal for ServiceFailed {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn code(&self) -> &'static str {
        "upstream_failed"
    }
    fn detail(&self) -> Cow<'static, str> {
        "The service failed to serve this request.".into()
    }
    fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(when) = &self.retry_after {
            headers.insert(header::RETRY_AFTER, when.clone());
        }
    }
}

/// A problem is written for clients; other JSON may be a framework's dump.
fn is_problem(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/problem+json")
}
