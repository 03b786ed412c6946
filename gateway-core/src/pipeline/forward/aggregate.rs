//! Several services answer, and one answer is composed of theirs.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::aggregation::bindings::Inputs;
use crate::aggregation::parts::{Caller, PartAnswer, PartCall, PartFailure};
use crate::aggregation::status::{Reason, Report};
use crate::aggregation::{Composed, View};
use crate::body::Body;
use crate::error::Refused;
use crate::exchange::{Exchange, Step};
use crate::metric::PartOutcome;
use crate::pipeline::Worker;
use crate::pipeline::calls::{self, CallContext, joined};
use crate::site::{Aggregate, Site};
use crate::upstream::{self, CallFailed};

/// Composes the answer of a view.
pub(super) async fn compose(
    worker: &Worker,
    site: &Site,
    aggregate: &Aggregate,
    exchange: &mut Exchange,
) -> Result<Response<Body>, Refused> {
    exchange.steps.take(Step::TransformRequest);
    let view: &View = &aggregate.view;
    // A part may name a header of the request; what clients may not say is not among them.
    site.spoofed_headers.strip(&mut exchange.head.headers);
    let caller = SiteCaller { worker, site, context: CallContext::of(exchange) };
    let inputs = Inputs {
        principal: exchange.principal.as_deref(),
        params: &exchange.params,
        query: exchange.head.uri.query(),
        headers: &exchange.head.headers,
    };
    exchange.steps.take(Step::Call);
    let outcome = view.answer(&caller, &worker.core.clock, &inputs, exchange.deadline).await;
    let report = match &outcome {
        Ok(composed) => Some(&composed.report),
        Err(failed) => failed.report(),
    };
    if let Some(report) = report {
        note(worker, site, aggregate, exchange, report);
    }
    exchange.steps.take(Step::TransformResponse);
    Ok(response(site, exchange, outcome?))
}

/// A whole answer that the client already has is a 304.
fn response(site: &Site, exchange: &Exchange, composed: Composed) -> Response<Body> {
    let mut headers = HeaderMap::new();
    composed.add_headers(&mut headers);
    let salt = exchange.principal.as_ref().map(|principal| principal.user_id.as_str());
    let tag = composed.etag(&site.etag_salt(salt.unwrap_or_default()));
    let is_known = tag.as_ref().is_some_and(|tag| is_listed(&exchange.head.headers, tag));
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    let mut response = if is_known {
        headers.remove(header::CONTENT_TYPE);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(composed.body))
    };
    *response.headers_mut() = headers;
    response
}

/// Whether `If-None-Match` lists the tag, or `*` (RFC 9110 §13.1.2: weak comparison).
fn is_listed(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b','));
    tags.any(|listed| {
        let listed = listed.trim_ascii();
        let listed = listed.strip_prefix(b"W/").unwrap_or(listed);
        listed == tag.as_bytes() || listed == b"*"
    })
}

fn note(
    worker: &Worker,
    site: &Site,
    aggregate: &Aggregate,
    exchange: &mut Exchange,
    report: &Report,
) {
    let names: Vec<_> = report
        .services
        .iter()
        .filter_map(|&index| site.services.get(index))
        .map(|service| Arc::clone(&service.name))
        .collect();
    let record = &mut exchange.record;
    record.upstream_service = joined(&names);
    record.upstream = report.upstream;
    record.completeness = Some(report.completeness());
    let called = report.parts.iter().filter(|part| part.took.is_some()).count();
    record.attempts = u32::try_from(called).unwrap_or(u32::MAX);
    for part in &report.parts {
        let labels = PartOutcome {
            aggregate: aggregate.label.clone(),
            part: crate::metric::Label(Arc::clone(&part.part)),
            outcome: part.outcome.as_str(),
            reason: part.reason.map_or("", Reason::as_str),
        };
        worker.core.metrics.parts.get_or_create(&labels).inc();
    }
}

/// Makes a view's calls as the gateway makes all calls.
struct SiteCaller<'a> {
    worker: &'a Worker,
    site: &'a Site,
    context: CallContext,
}

impl Caller for SiteCaller<'_> {
    async fn call(&self, call: PartCall<'_>) -> Result<PartAnswer, PartFailure> {
        let service = self.site.service(call.service).map_err(|_| Reason::Unavailable)?;
        let clock = &self.worker.core.clock;
        let started = clock.now();
        let request = calls::request_of(call.method, call.path_and_query);
        let deadline = started.after(call.time_left);
        let context = CallContext { deadline, ..self.context.clone() };
        let answer = calls::call(self.worker, self.site, service, &context, request).await;
        let answer = answer.map_err(|failed| failure(&failed))?;
        let (head, body) = answer.response.into_parts();
        let retry_after = retry_after(&head.headers);
        let body = upstream::collect(body, call.size_max).await;
        let body = body.map_err(|failed| failure(&failed))?;
        let waited = clock.now().since(started);
        Ok(PartAnswer { status: head.status, retry_after, body, waited })
    }
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
