//! Step 13: every answer, refusals included, gets the same finish.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;

use super::closing::LateClosing;
use super::forward::events;
use super::{InFlight, RecordedBody, Worker};
use crate::body::Body;
use crate::error::Refused;
use crate::exchange::{Exchange, RequestId, Step};
use crate::header::X_REQUEST_ID;
use crate::metric::RefusalCode;
use crate::security_headers;
use crate::site::{Route, Site};

/// Turns an outcome into the answer, with its record ready to be closed.
pub(super) fn respond(
    mut in_flight: InFlight,
    outcome: Result<Response<Body>, Refused>,
) -> Response<RecordedBody> {
    let (worker, site) = (Arc::clone(&in_flight.worker), Arc::clone(&in_flight.site));
    let exchange = &mut in_flight.exchange;
    exchange.steps.take(Step::Respond);
    if let Some(observer) = &worker.core.observer {
        observer.see(exchange);
    }
    let route = exchange.route.and_then(|index| site.routes.get(index));
    let streams = matches!(&outcome, Ok(response) if events::streams(response));
    let mut response = match outcome {
        Ok(response) => response,
        Err(refused) => refuse(&worker, exchange, &refused),
    };
    finish(&site, route, exchange, &mut response);
    if exchange.head.method == Method::HEAD {
        leave_body(&mut response);
    }
    exchange.record.status = response.status().as_u16();
    // Only now: whatever fails before this still leaves a record.
    let mut closing = in_flight.answered();
    closing.streams_since = streams.then(|| worker.core.clock.now());
    let closing = Box::new(closing);
    if let Some(late) = response.extensions_mut().remove::<LateClosing>() {
        late.keep(closing);
        return response.map(RecordedBody::unrecorded);
    }
    response.map(|body| RecordedBody::new(body, closing))
}

/// Counts a refusal and logs it; that is done here and nowhere else.
pub(super) fn note_refusal(worker: &Worker, request_id: &RequestId, refused: &Refused) {
    let refusal = refused.refusal();
    let code = refusal.code();
    worker.core.metrics.refusals.get_or_create(&RefusalCode { code }).inc();
    let request_id = request_id.as_str();
    let is_warning = refusal.status().is_server_error() && !refusal.is_mass();
    let written = is_warning.then(|| worker.warnings.take(worker.core.clock.now())).flatten();
    match written {
        Some(0) => tracing::warn!(request_id, code, reason = %refused, "refused"),
        Some(left_out) => {
            tracing::warn!(request_id, code, reason = %refused, left_out, "refused");
        }
        None => tracing::debug!(request_id, code, reason = %refused, "refused"),
    }
}

/// Renders a refusal.
fn refuse(worker: &Worker, exchange: &mut Exchange, refused: &Refused) -> Response<Body> {
    let refusal = refused.refusal();
    exchange.record.code = Some(refusal.code());
    note_refusal(worker, &exchange.request_id, refused);
    let mut response = refused.to_response(&exchange.request_id).map(Body::from);
    let is_cut_off =
        matches!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT);
    if is_cut_off || exchange.may_have_unread_body {
        // The rest of the body is never read, so no further request can follow it; a client that
        // is not told would send one into a closed connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A `HEAD` has the head of a `GET`, the length of its body included, and no body.
fn leave_body(response: &mut Response<Body>) {
    let length = response.body().size_hint().exact();
    *response.body_mut() = Body::empty();
    let headers = response.headers_mut();
    if let Some(length) = length.filter(|&length| length > 0) {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// At least so many fields are added here to an answer: room for them is made once.
const FIELDS_ADDED: usize = 10;

fn finish(
    site: &Site,
    route: Option<&Route>,
    exchange: &mut Exchange,
    response: &mut Response<Body>,
) {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_public = route.is_some_and(|route| route.scheme.is_none());
    let headers = response.headers_mut();
    headers.reserve(FIELDS_ADDED);
    if status == StatusCode::UNAUTHORIZED
        && let Some(scheme) = route.and_then(|route| route.scheme)
        && let Some(challenge) = site.challenges.of_scheme(scheme)
    {
        headers.entry(header::WWW_AUTHENTICATE).or_insert_with(|| challenge.clone());
    }
    headers.insert(X_REQUEST_ID, exchange.request_id.to_header());
    for (name, value) in exchange.answer_headers.drain(..) {
        if name == header::SET_COOKIE {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }
    if is_error || (is_public && !exchange.head.method.is_safe()) {
        // An error holds for one request; what a public route makes may be a credential.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(scheme) = route.and_then(|route| route.scheme) {
        security_headers::vary(headers, scheme);
        security_headers::keep_private(headers);
    } else if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    site.cors.apply(exchange.head.headers.get(header::ORIGIN), headers);
    site.security_headers.apply(headers, exchange.is_https);
}
