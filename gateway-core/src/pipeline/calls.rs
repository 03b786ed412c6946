//! Calls to services on a request's behalf: one place says what a service learns of it.
//!
//! Pass-through, the parts of aggregates and a gateway's own endpoints all call through here, so
//! that identity headers, the assertion, the request id and the trace are the same everywhere.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};

use crate::aggregation::call::Call;
use crate::aggregation::part_cache::Purge;
use crate::assertion;
use crate::body::Body;
use crate::clock::Moment;
use crate::error::{InternalError, Refused};
use crate::exchange::{Credential, Exchange, RequestId};
use crate::header::{BAGGAGE, TRACEPARENT, TRACESTATE, X_FORWARDED_FOR, X_REQUEST_ID};
use crate::pipeline::Worker;
use crate::pipeline::call_span::{self, CallSpan};
use crate::principal::Principal;
use crate::site::{Service, Site};
use crate::trace_context::{OpenSpan, TraceContext};
use crate::upstream::{self, Answer, CallFailed, Remake, Upgraded};

/// What a service learns of the request that a call is made for.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The request's public name.
    pub request_id: RequestId,
    /// Who asks; `None` for anonymous callers, and then no identity header is sent.
    pub principal: Option<Arc<Principal>>,
    /// The trace.
    pub trace: TraceContext,
    /// The client's address; `None` where a service is not to know for whom a call is made.
    pub client: Option<IpAddr>,
    /// When the answer is due.
    pub deadline: Moment,
}

impl CallContext {
    /// The context of an exchange.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Self {
        Self {
            request_id: exchange.request_id,
            principal: exchange.principal.clone(),
            trace: exchange.trace.clone(),
            client: Some(exchange.client),
            deadline: exchange.deadline,
        }
    }

    /// The same without a word about who asks.
    #[must_use]
    pub fn of_nobody(&self) -> Self {
        let trace = self.trace.without_state();
        Self { principal: None, client: None, trace, ..self.clone() }
    }
}

/// Sends one request to a service, dressed with who asks and signed; the answer is due at the
/// context's deadline.
///
/// `target` is the path and query as the service will see it.
pub(super) async fn call(
    worker: &Worker,
    site: &Site,
    service: &Service,
    context: &CallContext,
    mut request: Request<Body>,
) -> Result<Answer, CallFailed> {
    let clock = &worker.core.clock;
    let started = clock.now();
    let called = (request.method(), request.uri().path());
    let span = CallSpan::of_service(&context.trace, service, called);
    dress(site, context, request.headers_mut());
    let time_left = context.deadline.since(started);
    let is_at_hand = matches!(request.body(), Body::Full(_));
    let answer = match service.targets.pick(clock) {
        Ok(target) => {
            let target = if is_at_hand { target.within(time_left) } else { target };
            let attempt = span.attempt(1, &target);
            sign(worker, (site, service), (context, &attempt), &mut request);
            let answer = worker.client.call(&target, request, time_left).await;
            target.report(&answer);
            call_span::end_attempt(attempt, &answer);
            answer
        }
        Err(failed) => Err(failed),
    };
    service.observe(&worker.core.metrics, &answer, clock.now().since(started));
    span.end(&answer);
    answer
}

/// The same for a request that asks for the service's bare connection.
pub(super) async fn upgrade(
    worker: &Worker,
    site: &Site,
    service: &Service,
    context: &CallContext,
    mut request: Request<Body>,
) -> Result<Upgraded, CallFailed> {
    let clock = &worker.core.clock;
    let started = clock.now();
    let called = (request.method(), request.uri().path());
    let span = CallSpan::of_service(&context.trace, service, called);
    dress(site, context, request.headers_mut());
    let time_left = context.deadline.since(started);
    let (answer, io) = match service.targets.pick(clock) {
        Ok(target) => {
            let target = target.within(time_left);
            let attempt = span.attempt(1, &target);
            sign(worker, (site, service), (context, &attempt), &mut request);
            let upgraded = worker.client.upgrade(&target, request, time_left).await;
            let (answer, io) = match upgraded {
                Ok(Upgraded { answer, io }) => (Ok(answer), io),
                Err(failed) => (Err(failed), None),
            };
            target.report(&answer);
            call_span::end_attempt(attempt, &answer);
            (answer, io)
        }
        Err(failed) => (Err(failed), None),
    };
    service.observe(&worker.core.metrics, &answer, clock.now().since(started));
    span.end(&answer);
    answer.map(|answer| Upgraded { answer, io })
}

/// Sends what `make` makes, dressed already, with so much time. The call is within `span`.
pub(super) async fn call_dressed(
    worker: &Worker,
    (site, service): (&Site, &Service),
    (context, span): (&CallContext, &CallSpan),
    (make, may_repeat): (Remake<'_>, bool),
    time_left: Duration,
) -> Result<Answer, CallFailed> {
    let clock = &worker.core.clock;
    let started = clock.now();
    let answer = match service.targets.pick(clock) {
        Ok(target) => {
            let target = target.within(time_left);
            let attempt = span.attempt(1, &target);
            let signed = || {
                let mut request = make();
                sign(worker, (site, service), (context, &attempt), &mut request);
                request
            };
            let client = &worker.client;
            let answer = client.call_remade(&target, &signed, may_repeat, time_left).await;
            target.report(&answer);
            call_span::end_attempt(attempt, &answer);
            answer
        }
        Err(failed) => Err(failed),
    };
    service.observe(&worker.core.metrics, &answer, clock.now().since(started));
    answer
}

/// What every call of a request says of it.
pub(super) fn dress(site: &Site, context: &CallContext, headers: &mut HeaderMap) {
    headers.insert(X_REQUEST_ID, context.request_id.to_header());
    if let Some(client) = context.client {
        headers.insert(X_FORWARDED_FOR, address(client));
    }
    if let Some(state) = context.trace.state() {
        headers.insert(TRACESTATE, state.clone());
    }
    if let Some(baggage) = context.trace.baggage() {
        headers.insert(BAGGAGE, baggage.clone());
    }
    if let Some(principal) = &context.principal {
        site.identity_headers.write(principal, headers);
    }
}

/// What is each call's own: a span, and the proof that the gateway makes it.
fn sign(
    worker: &Worker,
    (site, service): (&Site, &Service),
    (context, attempt): (&CallContext, &OpenSpan),
    request: &mut Request<Body>,
) {
    let proof = service.assertion_key.as_ref().map(|key| {
        let claims = assertion::Claims {
            audience: &service.name,
            method: request.method().as_str(),
            target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
            request_id: context.request_id.as_str(),
            principal: context.principal.as_deref(),
        };
        site.signer.sign(key, &claims, worker.core.clock.wall())
    });
    let headers = request.headers_mut();
    headers.insert(TRACEPARENT, attempt.traceparent(&context.trace));
    match proof {
        Some(proof) => drop(headers.insert(site.assertion_header.clone(), proof)),
        None => drop(headers.remove(&site.assertion_header)),
    }
}

fn address(client: IpAddr) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(client.to_string()))
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// What the calls made on a request's behalf came to, for its record.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) services: Vec<Arc<str>>,
    pub(super) attempts: u32,
    pub(super) waited: Duration,
}

/// Lets an endpoint of the gateway's own call services by their names.
#[derive(Clone)]
pub struct ServiceCalls {
    worker: Arc<Worker>,
    site: Arc<Site>,
    context: CallContext,
    tally: Arc<Mutex<Tally>>,
    credential: Credential,
}

impl fmt::Debug for ServiceCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCalls").field("context", &self.context).finish_non_exhaustive()
    }
}

impl ServiceCalls {
    pub(super) fn new(worker: &Arc<Worker>, site: &Arc<Site>, exchange: &Exchange) -> Self {
        let (worker, site) = (Arc::clone(worker), Arc::clone(site));
        let (context, credential) = (CallContext::of(exchange), exchange.credential);
        Self { worker, site, context, tally: Arc::default(), credential }
    }

    /// Calls a service and takes its answer whole, within the request's deadline and the
    /// service's ceiling for bodies. The service sees the path, the headers and the body of
    /// `request`, and who asks.
    ///
    /// # Errors
    ///
    /// [`InternalError`] for a name that is not configured, and every [`CallFailed`].
    pub async fn call(
        &self,
        service: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Refused> {
        let service =
            self.site.services.iter().find(|known| &*known.name == service).ok_or_else(|| {
                InternalError(format!("no service named `{service}` is configured").into())
            })?;
        let started = self.worker.core.clock.now();
        let request = request.map(Body::from);
        let outcome = call(&self.worker, &self.site, service, &self.context, request).await;
        let outcome = match outcome {
            Ok(answer) => {
                let attempts = answer.attempts;
                whole(service, answer).await.map(|response| (response, attempts))
            }
            Err(failed) => Err(failed),
        };
        let waited = self.worker.core.clock.now().since(started);
        self.note(service, outcome.as_ref().map_or(1, |(_, attempts)| *attempts), waited);
        Ok(outcome?.0)
    }

    /// Forgets every answer that was kept for whom this request is from: what they were shown must
    /// not be shown again after a logout.
    pub fn forget_kept(&self) {
        if let Some(principal) = &self.context.principal {
            let user_id = principal.user_id.as_str();
            self.worker.core.part_cache.purge(Purge::Identity(user_id));
        }
    }

    /// Ends the streams that were opened with this request's credential: after a logout nothing
    /// more may come out of them.
    pub fn end_streams(&self) {
        self.worker.core.streams.end_of_credential(self.credential);
    }

    fn note(&self, service: &Service, attempts: u32, waited: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if !tally.services.contains(&service.name) {
            tally.services.push(Arc::clone(&service.name));
        }
        tally.attempts += attempts;
        tally.waited += waited;
    }

    pub(super) fn tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes an answer's body whole, below the service's ceiling.
pub(super) async fn whole(
    service: &Service,
    answer: Answer,
) -> Result<Response<Bytes>, CallFailed> {
    let (head, body) = answer.response.into_parts();
    let body = upstream::collect(body, service.body_size_max).await?;
    Ok(Response::from_parts(head, body))
}

/// Names of services as the record writes them.
pub(super) fn joined(services: &[Arc<str>]) -> Option<Arc<str>> {
    match services {
        [] => None,
        [only] => Some(Arc::clone(only)),
        several => Some(several.join(",").into()),
    }
}

/// A call that starts from nothing: an aggregate's part. `dressed` is what every call of the
/// request says of it.
pub(super) fn request_of(call: &Call, dressed: HeaderMap) -> Request<Body> {
    let Call { method, target, headers, body } = call.clone();
    let is_json = body.is_some();
    let mut request = Request::new(body.map_or_else(Body::empty, Body::from));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = dressed;
    let fields = request.headers_mut();
    if is_json {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    fields.extend(headers);
    request
}
