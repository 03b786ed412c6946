//! A view's calls, made as the gateway makes all calls.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};

use crate::aggregation::caller::{Caller, PartAnswer, PartCall, PartFailure};
use crate::aggregation::part_cache::CacheUse;
use crate::aggregation::status::Reason;
use crate::clock::Moment;
use crate::exchange::Exchange;
use crate::header::{IDEMPOTENCY_KEY, TRACEPARENT};
use crate::pipeline::Worker;
use crate::pipeline::call_span::{self, CallSpan};
use crate::pipeline::calls::{self, CallContext};
use crate::site::{Service, Site};
use crate::upstream::{self, CallFailed, Remake};

/// Calls services on one request's behalf.
#[derive(Debug, Clone)]
pub(super) struct SiteCaller {
    worker: Arc<Worker>,
    site: Arc<Site>,
    /// What is said of the request.
    said: Arc<Said>,
}

/// What is the same for all calls of a request: made once, and copied as a whole.
#[derive(Debug)]
struct Said {
    context: CallContext,
    headers: HeaderMap,
}

impl Said {
    fn of(context: CallContext, site: &Site) -> Self {
        let mut headers = HeaderMap::with_capacity(16);
        // Places for what each call has of its own, so that no copy has to grow.
        for name in [&header::HOST, &TRACEPARENT, &site.assertion_header] {
            headers.insert(name.clone(), HeaderValue::from_static(""));
        }
        calls::dress(site, &context, &mut headers);
        Self { context, headers }
    }
}

impl SiteCaller {
    pub(super) fn new(worker: &Arc<Worker>, site: &Arc<Site>, exchange: &Exchange) -> Self {
        let said = Arc::new(Said::of(CallContext::of(exchange), site));
        Self { worker: Arc::clone(worker), site: Arc::clone(site), said }
    }
}

impl Caller for SiteCaller {
    fn call(&self, call: PartCall) -> BoxFuture<'static, Result<PartAnswer, PartFailure>> {
        let Self { worker, site, said } = self.clone();
        let said =
            if call.says_who { said } else { Arc::new(Said::of(said.context.of_nobody(), &site)) };
        // Boxed: what waits for it is moved about, and this is large.
        async move { make(&worker, &site, &said, call).await }.boxed()
    }

    fn kept(&self, part: &Arc<str>, cache: CacheUse, since: Moment) {
        call_span::part_without_call(&self.said.context.trace, part, cache, since);
    }
}

async fn make(
    worker: &Worker,
    site: &Site,
    said: &Said,
    call: PartCall,
) -> Result<PartAnswer, PartFailure> {
    let service = site.service(call.service).map_err(|_| Reason::Unavailable)?;
    if service.is_closed {
        return Err(Reason::Unavailable.into());
    }
    let called = (&call.call.method, call.call.target.path());
    let span = CallSpan::of_part(&said.context.trace, &call.part, service, called);
    let outcome = answer(worker, (site, service), (said, &span), call).await;
    span.end_part(&outcome);
    outcome
}

async fn answer(
    worker: &Worker,
    (site, service): (&Site, &Service),
    (said, span): (&Said, &CallSpan),
    call: PartCall,
) -> Result<PartAnswer, PartFailure> {
    let PartCall { call, time_left, size_max, .. } = call;
    let clock = &worker.core.clock;
    let started = clock.now();
    let request = || {
        let mut request = calls::request_of(&call, said.headers.clone());
        if let Some(name) = &site.time_left_header {
            let millis = u64::try_from(time_left.as_millis()).unwrap_or(u64::MAX);
            request.headers_mut().insert(name.clone(), HeaderValue::from(millis));
        }
        request
    };
    // A write is never repeated unless its service can tell that it has had it before.
    let may_repeat =
        call.method.is_safe() || call.headers.iter().any(|(name, _)| *name == IDEMPOTENCY_KEY);
    let make = (&request as Remake<'_>, may_repeat);
    let context = (&said.context, span);
    let answer = calls::call_dressed(worker, (site, service), context, make, time_left).await;
    let (head, body) = answer.map_err(|failed| failure(&failed))?.response.into_parts();
    let body = upstream::collect(body, size_max).await.map_err(|failed| failure(&failed))?;
    let waited = clock.now().since(started);
    let retry_after = retry_after(&head.headers);
    Ok(PartAnswer { status: head.status, headers: head.headers, retry_after, body, waited })
}

/// `Retry-After` in seconds; the other form, a date, is not worth a clock comparison here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

fn failure(failed: &CallFailed) -> PartFailure {
    match failed {
        CallFailed::Unreachable(_) => Reason::Refused,
        CallFailed::ConnectTimedOut(_)
        | CallFailed::ResponseTimedOut(_)
        | CallFailed::ReadTimedOut(_) => Reason::Timeout,
        CallFailed::TooLarge(_) => Reason::TooLarge,
        CallFailed::Busy(_) => Reason::Unavailable,
        CallFailed::Unavailable(wait) => {
            return PartFailure { reason: Reason::Unavailable, retry_after: Some(*wait) };
        }
        CallFailed::Broken(_) | CallFailed::BodyRefused(_) | CallFailed::BodyBroken(_) => {
            Reason::Reset
        }
    }
    .into()
}
