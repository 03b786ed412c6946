//! A view's calls, made as the gateway makes all calls.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::aggregation::caller::{Caller, PartAnswer, PartCall, PartFailure};
use crate::aggregation::status::Reason;
use crate::exchange::Exchange;
use crate::pipeline::Worker;
use crate::pipeline::calls::{self, CallContext};
use crate::site::Site;
use crate::upstream::{self, CallFailed};

/// Calls services on one request's behalf.
#[derive(Debug, Clone)]
pub(super) struct SiteCaller {
    worker: Arc<Worker>,
    site: Arc<Site>,
    context: Arc<CallContext>,
}

impl SiteCaller {
    pub(super) fn new(worker: &Arc<Worker>, site: &Arc<Site>, exchange: &Exchange) -> Self {
        let context = Arc::new(CallContext::of(exchange));
        Self { worker: Arc::clone(worker), site: Arc::clone(site), context }
    }
}

impl Caller for SiteCaller {
    fn call(
        &self,
        call: PartCall,
    ) -> impl Future<Output = Result<PartAnswer, PartFailure>> + Send + 'static {
        let Self { worker, site, context } = self.clone();
        let context = if call.says_who { context } else { Arc::new(context.of_nobody()) };
        async move { make(&worker, &site, &context, call).await }
    }
}

async fn make(
    worker: &Worker,
    site: &Site,
    context: &CallContext,
    call: PartCall,
) -> Result<PartAnswer, PartFailure> {
    let service = site.service(call.service).map_err(|_| Reason::Unavailable)?;
    let clock = &worker.core.clock;
    let started = clock.now();
    let mut request = calls::request_of(call.call);
    if let Some(name) = &site.time_left_header {
        let millis = u64::try_from(call.time_left.as_millis()).unwrap_or(u64::MAX);
        request.headers_mut().insert(name.clone(), HeaderValue::from(millis));
    }
    let answer =
        calls::call_within(worker, (site, service), context, request, call.time_left).await;
    let answer = answer.map_err(|failed| failure(&failed))?;
    let (head, body) = answer.response.into_parts();
    let retry_after = retry_after(&head.headers);
    let body = upstream::collect(body, call.size_max).await;
    let body = body.map_err(|failed| failure(&failed))?;
    let waited = clock.now().since(started);
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
        CallFailed::Broken(_) | CallFailed::BodyRefused(_) | CallFailed::BodyBroken(_) => {
            Reason::Reset
        }
    }
    .into()
}
