//! A view's calls, made as the gateway makes all calls.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, header};

use crate::aggregation::call::Call;
use crate::aggregation::caller::{Caller, PartAnswer, PartCall, PartFailure};
use crate::aggregation::part_cache::CacheUse;
use crate::aggregation::status::Reason;
use crate::body::Body;
use crate::clock::Moment;
use crate::exchange::Exchange;
use crate::header::IDEMPOTENCY_KEY;
use crate::pipeline::Worker;
use crate::pipeline::call_span::{self, CallSpan};
use crate::pipeline::calls::{self, CallContext, Called, Calling, Common};
use crate::priority::Priority;
use crate::record::Attempts;
use crate::site::{Service, Site};
use crate::upstream::{self, AnswerFields, CallFailed};

/// Calls services on one request's behalf.
#[derive(Debug, Clone)]
pub(super) struct SiteCaller(Arc<Asking>);

/// What is the same for all calls of a request: made and written down once. One allocation, since
/// each call holds on to it.
#[derive(Debug)]
struct Asking {
    worker: Arc<Worker>,
    site: Arc<Site>,
    context: CallContext,
    common: Common,
    /// How often services were asked, for all of one answer together.
    attempts: Arc<Attempts>,
}

impl SiteCaller {
    pub(super) fn new(worker: &Arc<Worker>, site: &Arc<Site>, exchange: &Exchange) -> Self {
        Self::of((worker, site), CallContext::of(exchange), Arc::default())
    }

    fn of(
        (worker, site): (&Arc<Worker>, &Arc<Site>),
        context: CallContext,
        attempts: Arc<Attempts>,
    ) -> Self {
        let common = Common::of(site, &context);
        let (worker, site) = (Arc::clone(worker), Arc::clone(site));
        Self(Arc::new(Asking { worker, site, context, common, attempts }))
    }

    /// How often services were asked; more while they are.
    pub(super) fn attempts(&self) -> Arc<Attempts> {
        Arc::clone(&self.0.attempts)
    }

    /// The same for calls that say nothing of who asks.
    fn of_nobody(&self) -> Self {
        let Asking { worker, site, context, attempts, .. } = &*self.0;
        Self::of((worker, site), context.of_nobody(), Arc::clone(attempts))
    }
}

impl Caller for SiteCaller {
    fn call(&self, call: PartCall) -> BoxFuture<'static, Result<PartAnswer, PartFailure>> {
        let caller = if call.says_who { self.clone() } else { self.of_nobody() };
        // Boxed: what waits for it is moved about, and this is large.
        async move { caller.0.make(&call).await }.boxed()
    }

    fn kept(&self, part: &Arc<str>, cache: CacheUse, since: Moment) {
        call_span::part_without_call(&self.0.context.trace, part, cache, since);
    }
}

impl Asking {
    async fn make(&self, call: &PartCall) -> Result<PartAnswer, PartFailure> {
        let none = |reason: Reason| PartFailure { was_called: false, ..reason.into() };
        let service = self.site.service(call.service).map_err(|_| none(Reason::Unavailable))?;
        if let Some(maintenance) = &service.maintenance {
            let retry_after = Some(maintenance.retry_after);
            return Err(PartFailure { retry_after, ..none(Reason::Maintenance) });
        }
        let called = (&call.call.method, call.call.target.path());
        let trace = &self.context.trace;
        let span = CallSpan::of_part(trace, &call.part, service, called);
        let outcome = self.answer(service, &span, call).await;
        span.end_part(&outcome);
        outcome
    }

    async fn answer(
        &self,
        service: &Service,
        span: &CallSpan,
        part: &PartCall,
    ) -> Result<PartAnswer, PartFailure> {
        let PartCall { call, size_max, is_spare, .. } = part;
        let common = self.common(call);
        let request = || self.request(call, common.is_some());
        let failure = |failed| failure(&failed, *is_spare);
        let unrecorded = Attempts::default();
        let calling = {
            // The record of whoever has been answered already does not wait for a refresh.
            let attempts = if part.is_refresh { &unrecorded } else { &*self.attempts };
            let calling = Calling { common, ..self.calling(service, (span, attempts), part) };
            // A write is never repeated unless its service can tell that it has had it before.
            let may_repeat = call.method.is_safe()
                || call.headers.iter().any(|(name, _)| *name == IDEMPOTENCY_KEY);
            calling.send_made(&request, may_repeat, (&call.method, part.began))
        };
        let Called { outcome, attempts, began, took } = calling.await;
        let was_called = attempts > 0;
        let answer = outcome.map_err(|failed| PartFailure { was_called, ..failure(failed) })?;
        let (head, body) = answer.response.into_parts();
        let mut body = pin!(upstream::collect(body, *size_max));
        // Most bodies come with their heads, whose time is known.
        let (body, landed) = match body.as_mut().now_or_never() {
            Some(body) => (body, began.after(took)),
            None => (body.await, self.worker.core.clock.now()),
        };
        let (body, waited) = (body.map_err(failure)?, landed.since(part.began));
        let retry_after = retry_after(&head.headers);
        Ok(PartAnswer { status: head.status, headers: head.headers, retry_after, body, waited })
    }

    fn calling<'a>(
        &'a self,
        service: &'a Service,
        (span, attempts): (&'a CallSpan, &'a Attempts),
        part: &PartCall,
    ) -> Calling<'a> {
        let context = &self.context;
        Calling {
            retry: service.retry.as_ref(),
            due: part.began.after(part.time_left),
            priority: if part.is_spare { Priority::Spare } else { context.priority },
            wants: if part.reads_fields { AnswerFields::All } else { AnswerFields::RetryAfter },
            ..Calling::of((&self.worker, &self.site), service, (context, span, attempts))
        }
    }

    /// What a call says beside its own; `None` where it says one of that otherwise: a part has the
    /// last word.
    fn common(&self, call: &Call) -> Option<&Common> {
        let common = &self.common;
        let is_own = call.headers.iter().any(|(name, _)| common.fields.contains(name));
        (!is_own).then_some(common)
    }

    /// The request, which has what is common only where that is not beside it.
    fn request(&self, call: &Call, is_common_beside: bool) -> Request<Body> {
        let dressed = match is_common_beside {
            true => HeaderMap::new(),
            false => self.common.fields.fields().clone(),
        };
        calls::request_of(call, dressed)
    }
}

/// `Retry-After` in seconds; the other form, a date, is not worth a clock comparison here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

fn failure(failed: &CallFailed, is_spare: bool) -> PartFailure {
    match failed {
        CallFailed::Overloaded if is_spare => Reason::Brownout,
        CallFailed::Overloaded => Reason::Overloaded,
        CallFailed::Unreachable(_) => Reason::Refused,
        CallFailed::ConnectTimedOut(_)
        | CallFailed::ResponseTimedOut(_)
        | CallFailed::WriteTimedOut(_)
        | CallFailed::ReadTimedOut(_) => Reason::Timeout,
        CallFailed::TooLarge(_) => Reason::TooLarge,
        CallFailed::Busy(_) => Reason::Busy,
        CallFailed::Unavailable(wait) => {
            let retry_after = Some(*wait);
            return PartFailure { retry_after, ..Reason::Unavailable.into() };
        }
        CallFailed::Broken(_) | CallFailed::BodyRefused(_) | CallFailed::BodyBroken(_) => {
            Reason::Reset
        }
    }
    .into()
}
