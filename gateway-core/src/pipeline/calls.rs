//! Calls to services on a request's behalf: one place says what a service learns of it.
//!
//! Pass-through, the parts of aggregates and a gateway's own endpoints all call through here, so
//! that identity headers, the assertion, the request id and the trace are the same everywhere.
//! `dress` is what each of them says, `attempts` makes a call more than once where it may be
//! repeated, `of_endpoints` is for a gateway's own endpoints.

mod attempts;
mod dress;
mod of_endpoints;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::Either;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::Full;

use self::attempts::Attempt;
pub(super) use self::dress::Common;
use self::dress::dress;
pub use self::of_endpoints::ServiceCalls;
use crate::aggregation::call::Call;
use crate::assertion;
use crate::body::Body;
use crate::clock::Moment;
use crate::exchange::{Exchange, RequestId};
use crate::header::TRACEPARENT;
use crate::json_object::{Digits, decimal};
use crate::metric::Shed;
use crate::pipeline::Worker;
use crate::pipeline::call_span::{self, CallSpan};
use crate::principal::Principal;
use crate::priority::Priority;
use crate::record::Attempts;
use crate::site::{Service, Site};
use crate::trace_context::{OpenSpan, TraceContext};
use crate::upstream::concurrency::{Place, Sample};
use crate::upstream::retry::RetryPolicy;
use crate::upstream::{Answer, AnswerFields, CallFailed, OwnFields, Room, Upgraded};

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
    /// Who goes first where there is not room for everybody.
    pub priority: Priority,
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
            priority: exchange.priority,
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
/// context's deadline. Its target is the path and query as the service will see it. The span is
/// the call's, and the caller's to [end](CallSpan::end).
pub(super) fn call<'a>(
    through: (&'a Worker, &'a Site),
    service: &'a Service,
    behalf: Behalf<'a>,
    retry: Option<&'a RetryPolicy>,
    request: Request<Body>,
) -> impl Future<Output = Called> + Send + use<'a> {
    Calling { retry, ..Calling::of(through, service, behalf) }.send(request)
}

/// The same for a request that asks for the service's bare connection. It is sent once.
pub(super) async fn upgrade(
    (worker, site): (&Worker, &Site),
    service: &Service,
    (context, attempts): (&CallContext, &Attempts),
    mut request: Request<Body>,
) -> Result<Upgraded, CallFailed> {
    let clock = &worker.core.clock;
    let started = clock.now();
    let span = CallSpan::of_service(&context.trace, service, &request);
    let calling = Calling::of((worker, site), service, (context, &span, attempts));
    dress(site, context, request.headers_mut());
    let (answer, io) = match calling.upgraded(request, started).await {
        Ok(Upgraded { answer, io }) => (Ok(answer), io),
        Err(failed) => (Err(failed), None),
    };
    service.observe(&worker.core.metrics, &answer, clock.now().since(started));
    span.end(&answer);
    answer.map(|answer| Upgraded { answer, io })
}

/// On whose behalf a call is made: the request's context, the call's span, and where its attempts are
/// counted.
pub(super) type Behalf<'a> = (&'a CallContext, &'a CallSpan, &'a Attempts);

/// A call to a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calling<'a> {
    pub(super) worker: &'a Worker,
    pub(super) site: &'a Site,
    pub(super) service: &'a Service,
    pub(super) context: &'a CallContext,
    /// What it says beside what is its own, where that is written down already.
    pub(super) common: Option<&'a Common>,
    /// What each attempt's span is within.
    pub(super) span: &'a CallSpan,
    /// Where attempts are counted, each when it begins.
    pub(super) attempts: &'a Attempts,
    /// How it is repeated; `None`: it is not.
    pub(super) retry: Option<&'a RetryPolicy>,
    /// When its answer is due.
    pub(super) due: Moment,
    /// Who goes first where there is not room for everybody.
    pub(super) priority: Priority,
    /// What of the answer's fields is looked at.
    pub(super) wants: AnswerFields,
}

/// Makes one request as often as it has to be sent.
pub(super) type Remake<'a> = &'a (dyn Fn() -> Request<Body> + Send + Sync);

/// What came of a call.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) outcome: Result<Answer, CallFailed>,
    /// How often the request was sent.
    pub(super) attempts: u32,
    pub(super) began: Moment,
    /// Until the head of the answer, or until it failed.
    pub(super) took: Duration,
}

impl<'a> Calling<'a> {
    /// A call that is made once, and takes as long as its request has.
    pub(super) const fn of(
        (worker, site): (&'a Worker, &'a Site),
        service: &'a Service,
        (context, span, attempts): Behalf<'a>,
    ) -> Self {
        let CallContext { deadline: due, priority, .. } = *context;
        let (common, retry, wants) = (None, None, AnswerFields::All);
        Self { worker, site, service, context, common, span, attempts, retry, due, priority, wants }
    }

    /// Sends a request, dressed with who asks and signed.
    fn send(self, mut request: Request<Body>) -> impl Future<Output = Called> + Send + use<'a> {
        dress(self.site, self.context, request.headers_mut());
        let may_repeat =
            |policy: &&RetryPolicy| policy.may_repeat(request.method(), request.headers());
        let retry = self.retry.filter(may_repeat);
        let repeated =
            retry.and_then(|policy| Some((policy, kept(request.body(), policy.replay_size_max)?)));
        let Some((policy, body)) = repeated else {
            let started = self.worker.core.clock.now();
            return Either::Left(self.attempt((1, started), (request, true), None));
        };
        let original = request.map(|_| body);
        let repeated =
            async move { self.repeated(policy, &|| original.clone().map(Body::Full)).await };
        // Boxed: all calls are as large as the largest.
        Either::Right(repeated.boxed())
    }

    /// Sends what `make` makes, dressed already; the call has just begun.
    pub(super) fn send_made(
        self,
        make: Remake<'a>,
        may_repeat: bool,
        (method, began): (&Method, Moment),
    ) -> impl Future<Output = Called> + Send + use<'a> {
        match self.retry.filter(|policy| may_repeat && policy.repeats(method)) {
            Some(policy) => Either::Right(self.repeated(policy, make).boxed()),
            None => Either::Left(self.attempt((1, began), (make(), may_repeat), None)),
        }
    }

    /// Asks for the bare connection. Its place is one of a call's, until the head of the answer: a
    /// connection that stays open is no work.
    async fn upgraded(
        &self,
        mut request: Request<Body>,
        started: Moment,
    ) -> Result<Upgraded, CallFailed> {
        let Self { worker, service, .. } = *self;
        let clock = &worker.core.clock;
        let place = self.enter()?.map(Place::mute);
        let target = service.targets.pick(clock, started)?;
        let room = Room::at(&target, self.due.since(started)).await?;
        // Until now it was the gateway that had it wait.
        let (began, place) = (clock.now(), place.map(Place::from_now));
        let time_left = self.due.since(began);
        let target = target.from(began).within(time_left);
        self.attempts.add(1);
        let span = self.span.attempt(1, &target);
        self.own_fields(&request, &span, time_left).settle_in(request.headers_mut());
        let upgraded = worker.client.upgrade(&target, (request, room), time_left).await;
        let (answer, io) = match upgraded {
            Ok(Upgraded { answer, io }) => (Ok(answer), io),
            Err(failed) => (Err(failed), None),
        };
        self.told(Attempt { target, place, span }, &answer, began);
        Ok(Upgraded { answer: answer?, io })
    }

    /// What came of an attempt that went its way.
    fn ended(&self, attempt: Attempt<'_>, outcome: Result<Answer, CallFailed>) -> Called {
        let began = attempt.target.started();
        self.recount(&outcome);
        let now = self.told(attempt, &outcome, began);
        self.observed(outcome, began, now)
    }

    /// Says of an attempt what it came to, to all who learn from it.
    fn told(
        &self,
        Attempt { target, place, span }: Attempt<'_>,
        outcome: &Result<Answer, CallFailed>,
        began: Moment,
    ) -> Moment {
        let now = self.worker.core.clock.now();
        target.report(outcome, now);
        leave(place, outcome, now.since(began));
        call_span::end_attempt(span, outcome);
        now
    }

    /// The attempt was counted as one when it began.
    fn recount(&self, outcome: &Result<Answer, CallFailed>) {
        match attempts(outcome) {
            0 => self.attempts.take_back(),
            sent => self.attempts.add(sent - 1),
        }
    }

    fn observed(
        &self,
        outcome: Result<Answer, CallFailed>,
        began: Moment,
        ended: Moment,
    ) -> Called {
        let took = ended.since(began);
        self.service.observe(&self.worker.core.metrics, &outcome, took);
        Called { attempts: attempts(&outcome), outcome, began, took }
    }

    /// A place among the calls to the service, where their number is found out.
    fn enter(&self) -> Result<Option<Place>, CallFailed> {
        let is_spare = self.priority == Priority::Spare;
        if is_spare && self.worker.lag.turns_away(Priority::Spare) {
            return Err(self.turned_away("lag"));
        }
        let Some(limit) = &self.service.concurrency else { return Ok(None) };
        limit.enter(self.priority).map(Some).ok_or_else(|| self.turned_away("concurrency"))
    }

    fn turned_away(&self, by: &'static str) -> CallFailed {
        let shed = Shed { by, priority: self.priority.as_str() };
        self.worker.core.metrics.shed.get_or_create(&shed).inc();
        CallFailed::Overloaded
    }

    /// What is each attempt's own: a span, the time that is left, and the proof that the gateway
    /// makes it.
    fn own_fields(
        &self,
        request: &Request<Body>,
        attempt: &OpenSpan,
        time_left: Duration,
    ) -> OwnFields {
        let Self { site, service, context, .. } = self;
        let proof = service.assertion_key.as_ref().map(|key| {
            let claims = assertion::Claims {
                audience: &service.name,
                method: request.method().as_str(),
                target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
            };
            let now = self.worker.core.clock.wall();
            match self.common {
                Some(common) => site.signer.sign(key, &common.claims, &claims, now),
                None => site.signer.sign(key, &dress::claims_of(site, context), &claims, now),
            }
        });
        let mut own = OwnFields::default();
        own.set(TRACEPARENT, attempt.traceparent(&context.trace));
        if let Some(name) = &site.time_left_header {
            let millis = u64::try_from(time_left.as_millis()).unwrap_or(u64::MAX);
            own.set(name.clone(), digits(millis));
        }
        match proof {
            Some(proof) => own.set(site.assertion_header.clone(), proof),
            None => own.leave_out(site.assertion_header.clone()),
        }
        own
    }
}

/// A number as a header's value: in one allocation, where the type's own conversion takes two.
fn digits(number: u64) -> HeaderValue {
    let value = HeaderValue::from_bytes(decimal(number, &mut Digits::default()));
    // Digits always are one.
    value.unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// What a call has told about its service. One that had no time to the end is dropped: for how
/// long it waited is the place's to know.
fn leave(place: Option<Place>, outcome: &Result<Answer, CallFailed>, took: Duration) {
    let Some(place) = place else { return };
    match outcome {
        Ok(answer) => place.leave(match answer.response.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Sample::Overloaded,
            status if status.is_server_error() => Sample::Nothing,
            _ => Sample::Answered(took),
        }),
        Err(CallFailed::ResponseTimedOut(_)) => drop(place),
        Err(_) => place.leave(Sample::Nothing),
    }
}

/// How often the service was asked.
const fn attempts(outcome: &Result<Answer, CallFailed>) -> u32 {
    match outcome {
        Ok(answer) => answer.attempts,
        Err(CallFailed::Busy(_) | CallFailed::Unavailable(_) | CallFailed::Overloaded) => 0,
        // There was no time for it.
        Err(CallFailed::ResponseTimedOut(limit)) if limit.is_zero() => 0,
        Err(_) => 1,
    }
}

/// What is kept of a body for another attempt: it must be at hand, and not too long.
fn kept(body: &Body, size_max: usize) -> Option<Full<Bytes>> {
    let Body::Full(body) = body else { return None };
    let size = body.size_hint().exact()?;
    usize::try_from(size).is_ok_and(|size| size <= size_max).then(|| body.clone())
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
    // Not `extend`, which would set them beside what is there.
    for (name, value) in headers {
        fields.insert(name, value);
    }
    request
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn a_part_s_own_field_stands_in_place_of_the_gateway_s() {
        let own = |name| (name, HeaderValue::from_static("own"));
        let call = Call {
            method: Method::POST,
            target: PathAndQuery::from_static("/"),
            headers: vec![own(header::CONTENT_TYPE), own(header::VIA)],
            body: Some(Bytes::from_static(b"{}")),
        };
        let dressed = HeaderMap::from_iter([(header::VIA, HeaderValue::from_static("gateway"))]);
        let request = request_of(&call, dressed);
        for name in [header::CONTENT_TYPE, header::VIA] {
            let said: Vec<_> = request.headers().get_all(&name).iter().collect();
            assert_eq!(said, ["own"], "{name}");
        }
    }
}
