//! One service answers, and its answer streams through.

pub(in crate::pipeline) mod events;
mod place;
mod trailers;

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, Ready, ready};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use smallvec::SmallVec;

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
use crate::upstream::retry::RetryPolicy;
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
    let span;
    let context = CallContext::of(exchange);
    // In a block, so that the request is not kept beside the call that it has become.
    let called = {
        let request = {
            let made = pin!(request(site, proxy, exchange, body));
            within(made, time_left).await.ok_or(DeadlineExceeded)??
        };
        exchange.record.upstream_service = Some(Arc::clone(&service.name));

        exchange.steps.take(Step::Call);
        span = CallSpan::of_service(&context.trace, service, &request);
        // A canary may be in a mesh where the route's own service is not.
        let retry = proxy.retry.as_ref().filter(|_| !service.is_mesh);
        let behalf = (&context, &span, &exchange.record.attempts);
        calls::call((worker, site), service, behalf, retry, request)
    }
    .await;
    span.end(&called.outcome);
    let Called { outcome, began, took, .. } = called;
    exchange.record.upstream = took;
    let answer = outcome?;

    exchange.steps.take(Step::TransformResponse);
    let response = {
        let made = pin!(response(site, proxy, service, answer));
        within(made, time_left).await.unwrap_or_else(|| Err(DeadlineExceeded.into()))
    };
    let response = response.map(|response| entered(worker, proxy, exchange, response));
    if !matches!(&response, Ok(response) if events::streams(response)) {
        // Its body was waited for as well, and that too was the service's time.
        exchange.record.upstream = worker.core.clock.now().since(began);
    }
    response
}

/// The answer with what its route adds; a stream of events is entered among the open ones.
pub(super) fn entered(
    worker: &Worker,
    proxy: &Proxy,
    exchange: &mut Exchange,
    mut response: Response<Body>,
) -> Response<Body> {
    if let Some(name) = proxy.canary.as_ref().and_then(|canary| canary.header()) {
        // What it says is part of what was asked.
        response.headers_mut().append(header::VARY, HeaderValue::from(name.clone()));
    }
    events::enter(response, &worker.core.streams, exchange, proxy.stream_idle_timeout)
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

/// What is there already, or comes with a body. Few wait for one, so that is boxed: all futures are
/// as large as the largest.
type Soon<'a, T> = Either<Ready<Result<T, Refused>>, BoxFuture<'a, Result<T, Refused>>>;

fn already<'a, T>(made: Result<T, Refused>) -> Soon<'a, T> {
    Either::Left(ready(made))
}

/// Step 9: the request as the service wants it. Credentials stay with the gateway.
pub(super) fn request<'a>(
    site: &Arc<Site>,
    proxy: &'a Proxy,
    exchange: &mut Exchange,
    body: Body,
) -> Soon<'a, Request<Body>> {
    let (mut head, trailers) = match head(site, proxy, exchange) {
        Ok(made) => made,
        Err(refused) => return already(Err(refused)),
    };
    if proxy.request.needs_body() {
        let whole = async move {
            let whole = upstream::collect(body, proxy.body_size_max).await.map_err(of_client)?;
            let body = Body::from(proxy.request.apply_body(&mut head.headers, whole)?);
            Ok(Request::from_parts(head, body))
        };
        return Either::Right(whole.boxed());
    }
    trailers.announce(&mut head.headers);
    let body = trailers::Filtered::of_client(body, site, &trailers);
    let may_repeat = |retry: &&RetryPolicy| retry.may_repeat(&head.method, &head.headers);
    match proxy.retry.as_ref().filter(may_repeat) {
        // A body that is kept to be sent again would lose its trailers.
        Some(retry) if !trailers.has_own && !body.is_at_hand() => {
            let size_max = retry.replay_size_max;
            let ahead = async move {
                let body = upstream::read_ahead(body, size_max).await.map_err(of_client)?;
                Ok(Request::from_parts(head, body))
            };
            Either::Right(ahead.boxed())
        }
        _ => already(Ok(Request::from_parts(head, body))),
    }
}

/// The request but for its body.
fn head(
    site: &Arc<Site>,
    proxy: &Proxy,
    exchange: &mut Exchange,
) -> Result<(Parts, trailers::Rules), Refused> {
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
    proxy.response.prepare_request(&mut headers);
    trailers.ask_for(&mut headers);
    let (mut head, ()) = Request::new(()).into_parts();
    (head.method, head.uri) = (exchange.head.method.clone(), Uri::from(target));
    head.headers = headers;
    Ok((head, trailers))
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
pub(super) fn response<'a>(
    site: &Site,
    proxy: &'a Proxy,
    service: &'a Service,
    answer: Answer,
) -> Soon<'a, Response<Body>> {
    let (mut head, body) = answer.response.into_parts();
    if head.status.is_server_error() && !is_problem(&head.headers) {
        let retry_after = head.headers.remove(header::RETRY_AFTER);
        return already(Err(ServiceFailed { status: head.status, retry_after }.into()));
    }
    let trailers = trailers::announced(&head.headers, site);
    clean(site, proxy, service, &mut head.headers);
    if proxy.response.needs_body(&head.headers) {
        let whole = async move {
            let whole = upstream::collect(body, service.body_size_max).await?;
            if !whole.is_empty() {
                // The body is at hand now, and says itself how long it is.
                head.headers.remove(header::CONTENT_LENGTH);
            }
            let body = Body::from(proxy.response.apply(&mut head.headers, whole)?);
            Ok(Response::from_parts(head, body))
        };
        return Either::Right(whole.boxed());
    }
    let applied = proxy.response.apply(&mut head.headers, Bytes::new());
    already(applied.map_err(Into::into).map(|_| {
        head.headers.extend(trailers.map(|names| (header::TRAILER, names)));
        Response::from_parts(head, body)
    }))
}

/// Takes from an answer what is not for consumers.
pub(super) fn clean(site: &Site, proxy: &Proxy, service: &Service, headers: &mut HeaderMap) {
    security_headers::strip_internal(headers);
    // An answer has few fields: one look at each is less than one for each name.
    let is_inside = |name: &&HeaderName| {
        INSIDE.contains(name) || site.reserved_headers.iter().any(|reserved| reserved == *name)
    };
    let dropped: SmallVec<[HeaderName; 2]> = headers.keys().filter(is_inside).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
    place::translate(headers, proxy, &service.targets);
}

/// What stays inside beside the gateway's own names: what a service knows of how to log in holds
/// between it and the gateway, and cookies are between the browser and the gateway.
const INSIDE: [HeaderName; 2] = [header::WWW_AUTHENTICATE, header::SET_COOKIE];

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
