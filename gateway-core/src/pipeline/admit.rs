//! Steps 3 to 8: everything that must hold before the platform hears of the request.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode, header};

use super::{at_once, authorize, decide, identify, members, shed};
use crate::body::Body;
use crate::clock::Moment;
use crate::error::Refused;
use crate::exchange::{Exchange, Step};
use crate::guard::{ceilings, framing, path};
use crate::pipeline::{Core, Worker};
use crate::rate_limit::headers::Applied;
use crate::site::limits::{self, Limit, Subject};
use crate::site::{Route, Site};

/// What admission came to.
pub(super) enum Admitted<'a> {
    /// The request goes to this route.
    To(&'a Route),
    /// The gateway has answered it already: a preflight, a constant.
    Answered(Box<Response<Body>>),
}

/// Lets the request in, or says why not.
pub(super) async fn admit<'a>(
    worker: &Worker,
    site: &'a Arc<Site>,
    exchange: &mut Exchange,
    body: &mut Body,
) -> Result<Admitted<'a>, Refused> {
    let core = &worker.core;
    exchange.steps.take(Step::Guard);
    guard(site, exchange)?;

    // First: scheme, limits, deadline and transforms are all properties of the route.
    exchange.steps.take(Step::Match);
    if let Some(headers) = site.cors.preflight(&exchange.head.method, &exchange.head.headers) {
        return Ok(Admitted::Answered(Box::new(preflight(headers?))));
    }
    let found = find(site, exchange);
    if let Ok(route) = &found {
        if let Some(answer) = at_once::answer(route, exchange) {
            return answer.map(|answer| Admitted::Answered(Box::new(answer)));
        }
        shed::check(worker, exchange.priority)?;
    }

    // Before `identify`, so that a flood cannot make us check signatures; a 404 pays too.
    exchange.steps.take(Step::LimitAddress);
    let by_address = found.as_ref().map_or(&site.limits_by_address, |at| &at.limits_by_address);
    let mut applied = Vec::with_capacity(4);
    // Nothing has been waited for yet: it is the moment at which the request arrived.
    charge(core, by_address, (exchange, &[]), exchange.started, &mut applied)?;
    let route = found?;

    exchange.steps.take(Step::Identify);
    identify::identify(core, site, route, exchange).await?;

    // Before the consumer's limits: a refusal costs nothing of them.
    exchange.steps.take(Step::Authorize);
    authorize::authorize(site, route, exchange)?;
    decide::decide(worker, site, route, exchange).await?;

    exchange.steps.take(Step::LimitConsumer);
    let said = members::read(worker, site, route, exchange, body).await?;
    let now = core.clock.now();
    charge(core, &route.limits_by_consumer, (exchange, &said), now, &mut applied)?;
    limits::report(&applied, &mut exchange.answer_headers);
    Ok(Admitted::To(route))
}

/// Step 3. The path is settled here: matching, limits and upstream use this one.
fn guard(site: &Site, exchange: &mut Exchange) -> Result<(), Refused> {
    site.addresses.check(exchange.client)?;
    site.ceilings.check(&exchange.head)?;
    framing::check(&exchange.head)?;
    framing::settle(&mut exchange.head);
    let path = path::normalise(exchange.head.uri.path())?;
    exchange.path = path.into();
    exchange.record.path.clone_from(&exchange.path);
    Ok(())
}

/// Step 4.
fn find<'a>(site: &'a Site, exchange: &mut Exchange) -> Result<&'a Route, Refused> {
    let head = &exchange.head;
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let found = site.table.find(&head.method, host, &exchange.path)?;
    let route = site.route(found.route)?;
    exchange.route = Some(found.route);
    exchange.params = found.params;
    exchange.deadline = exchange.started.after(route.deadline);
    exchange.priority = route.priority;
    exchange.record.route = Some(Arc::clone(&route.name));
    // The route may allow less than the listener.
    ceilings::check_body(&exchange.head, route.body_size_max)?;
    Ok(route)
}

/// Steps 5 and 8: all of `limits`, or none.
fn charge<'a>(
    core: &Core,
    limits: &'a [Limit],
    (exchange, members): (&Exchange, &[(Box<str>, String)]),
    now: Moment,
    applied: &mut Vec<Applied<'a>>,
) -> Result<(), Refused> {
    let principal = exchange.principal.as_deref();
    let subject = Subject { client: exchange.client, principal, members };
    Ok(core.rate_limits.charge(limits, subject, now, applied)?)
}

/// The answer to a preflight: it has no body, and cost nobody anything.
fn preflight(headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    response
}
