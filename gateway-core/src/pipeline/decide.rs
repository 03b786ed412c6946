//! Step 7, its last part: a service decides whether the request may go on.
//!
//! It is asked as every service is: signed, with the request's id and trace, within a deadline. No
//! answer, or one that is none, is a refusal.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};

use super::Worker;
use super::call_span::CallSpan;
use super::calls::{self, CallContext, Called};
use crate::authorization::decision::{
    Asked, DecisionPoint, DecisionUnavailable, Question, Verdict,
};
use crate::body::Body;
use crate::error::Refused;
use crate::exchange::Exchange;
use crate::metric::DecisionOutcome;
use crate::site::{Route, Site};
use crate::upstream;

/// The longest answer that is read.
const ANSWER_SIZE_MAX: usize = 16 * 1024;

/// Lets the request go on, or refuses it as the service says.
pub(super) async fn decide(
    worker: &Worker,
    site: &Site,
    route: &Route,
    exchange: &mut Exchange,
) -> Result<(), Refused> {
    let Some(point) = &route.gate.decide else { return Ok(()) };
    let question = Question::of(&Asked {
        principal: exchange.principal.as_deref(),
        method: &exchange.head.method,
        path: &exchange.path,
        route: &route.name,
        names: &route.gate.params,
        params: &exchange.params,
    });
    let now = worker.core.clock.now();
    if let Some(verdict) = point.kept(&question, now) {
        count(worker, &verdict, "kept");
        return Ok(verdict.apply()?);
    }
    // Boxed: most requests ask nobody, and this is large.
    match Box::pin(ask(worker, site, point, &question, exchange)).await {
        Ok(verdict) => {
            point.keep(&question, &verdict, worker.core.clock.now());
            count(worker, &verdict, "call");
            Ok(verdict.apply()?)
        }
        Err(unavailable) => {
            let labels = DecisionOutcome { outcome: "unavailable", source: "call" };
            worker.core.metrics.decisions.get_or_create(&labels).inc();
            Err(unavailable.into())
        }
    }
}

async fn ask(
    worker: &Worker,
    site: &Site,
    point: &DecisionPoint,
    question: &Question,
    exchange: &mut Exchange,
) -> Result<Verdict, DecisionUnavailable> {
    let service = site.service(point.service).map_err(|error| unavailable(&error))?;
    if let Some(maintenance) = &service.maintenance {
        return Err(unavailable(&**maintenance));
    }
    let clock = &worker.core.clock;
    let started = clock.now();
    let time_left = exchange.deadline.since(started).min(point.deadline);
    let context = CallContext { deadline: started.after(time_left), ..CallContext::of(exchange) };
    exchange.record.upstream_service = Some(Arc::clone(&service.name));
    let made = request(point, question.0.clone());
    let called = async {
        // Asked once: its deadline is short, and a POST may not be repeated.
        let through = (worker, site);
        let span = CallSpan::of_service(&context.trace, service, &made);
        let behalf = (&context, &span, &exchange.record.attempts);
        let Called { outcome, .. } = calls::call(through, service, behalf, None, made).await;
        span.end(&outcome);
        let (head, body) = outcome?.response.into_parts();
        let body = upstream::collect(body, ANSWER_SIZE_MAX).await?;
        Ok::<_, upstream::CallFailed>((head.status, body))
    };
    let outcome = tokio::time::timeout(time_left, called).await;
    exchange.record.upstream += clock.now().since(started);
    let answered = outcome.map_err(|_| DecisionUnavailable("no answer in time".into()))?;
    let (status, body) = answered.map_err(|failed| unavailable(&failed))?;
    let none = || DecisionUnavailable(format!("a {status} that is no decision").into());
    Verdict::parse(status, &body).ok_or_else(none)
}

fn unavailable(error: &dyn std::error::Error) -> DecisionUnavailable {
    DecisionUnavailable(Cow::Owned(error.to_string()))
}

fn request(point: &DecisionPoint, question: Bytes) -> Request<Body> {
    let length = HeaderValue::from(question.len());
    let mut request = Request::new(Body::from(question));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from(point.target.clone());
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length);
    request
}

fn count(worker: &Worker, verdict: &Verdict, source: &'static str) {
    let outcome = match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny(_) => "denied",
    };
    worker.core.metrics.decisions.get_or_create(&DecisionOutcome { outcome, source }).inc();
}
