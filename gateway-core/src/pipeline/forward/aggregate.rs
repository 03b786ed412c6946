//! Several services answer, and one answer is composed of theirs: whole, or part by part.

mod call;
mod negotiate;
mod note;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use self::call::SiteCaller;
use self::note::note;
use crate::aggregation::Composed;
use crate::aggregation::bindings::Inputs;
use crate::aggregation::failure::AggregateFailed;
use crate::aggregation::run::Environment;
use crate::body::Body;
use crate::error::Refused;
use crate::exchange::{Exchange, Step};
use crate::header::vary_on;
use crate::pipeline::Worker;
use crate::pipeline::forward::pass_through::of_client;
use crate::site::{Aggregate, Site};
use crate::upstream;

/// Composes the answer of a view.
pub(super) async fn compose(
    worker: &Arc<Worker>,
    site: &Arc<Site>,
    aggregate: &Arc<Aggregate>,
    exchange: &mut Exchange,
    body: Body,
) -> Result<Response<Body>, Refused> {
    exchange.steps.take(Step::TransformRequest);
    // A part may name a header of the request; what clients may not say is not among them.
    site.spoofed_headers.strip(&mut exchange.head.headers);
    let body = match aggregate.view.plan().reads_body() {
        true => Some(whole(aggregate, body).await?),
        false => None,
    };
    let caller = SiteCaller::new(worker, site, exchange);
    exchange.record.more_attempts = Some(caller.attempts());
    let environment = Environment {
        caller,
        clock: worker.core.clock.clone(),
        cache: Arc::clone(&worker.core.part_cache),
        due: exchange.deadline,
    };
    exchange.steps.take(Step::Call);
    if let Some(format) = negotiate::format(&exchange.head.headers) {
        let stream = stream::Answering { worker, site, aggregate, format };
        return stream.answer(environment, exchange, body).await;
    }
    let inputs = Inputs {
        principal: exchange.principal.as_deref(),
        params: &exchange.params,
        query: exchange.head.uri.query(),
        headers: &exchange.head.headers,
        body: body.as_ref(),
    };
    let outcome = aggregate.view.answer(&environment, &inputs).await;
    let report = match &outcome {
        Ok(composed) => Some(&composed.report),
        Err(failed) => failed.report(),
    };
    if let Some(report) = report {
        let facts = note(worker, site, aggregate, report);
        let record = &mut exchange.record;
        record.upstream_service = facts.upstream_service;
        record.upstream = facts.upstream;
        record.completeness = facts.completeness;
        record.cache = facts.cache;
    }
    exchange.steps.take(Step::TransformResponse);
    Ok(response(site, exchange, outcome?))
}

/// The request's body, where calls read it: one JSON value.
async fn whole(aggregate: &Aggregate, body: Body) -> Result<Bytes, Refused> {
    let body = upstream::collect(body, aggregate.body_size_max).await.map_err(of_client)?;
    let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok();
    if is_json { Ok(body) } else { Err(AggregateFailed::InvalidBody.into()) }
}

/// A whole answer that the client already has is a 304.
fn response(site: &Site, exchange: &Exchange, composed: Composed) -> Response<Body> {
    let mut headers = HeaderMap::new();
    composed.add_headers(&mut headers);
    vary_on(&mut headers, "Accept");
    let salt = exchange.principal.as_ref().map(|principal| principal.user_id.as_str());
    let is_read = exchange.head.method.is_safe();
    let tag = composed.etag(&site.etag_salt(salt.unwrap_or_default())).filter(|_| is_read);
    let is_known = tag.as_ref().is_some_and(|tag| is_listed(&exchange.head.headers, tag));
    match tag {
        Some(tag) => drop(headers.insert(header::ETAG, tag)),
        None => drop(headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))),
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
