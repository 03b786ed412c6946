//! The end of step 4: what is answered as soon as its route is found. A route that is closed, a
//! constant, a redirect: none of them costs more than a refusal would, so none pays a limit.

use std::sync::Arc;

use http::{HeaderValue, Response, header};

use crate::body::Body;
use crate::error::Refused;
use crate::exchange::Exchange;
use crate::guard::framing;
use crate::site::gate::Closed;
use crate::site::{Action, Route};
use crate::transform::Values;

/// The answer, where there is one already.
pub(super) fn answer(
    route: &Route,
    exchange: &Exchange,
) -> Option<Result<Response<Body>, Refused>> {
    if let Some(maintenance) = &route.gate.maintenance {
        return Some(Err(Closed(Arc::clone(maintenance)).into()));
    }
    let Action::Constant(constant) = &route.action else { return None };
    if framing::is_extended_connect(&exchange.head) {
        // A constant opens no stream, and what refuses that stands behind the limits.
        return None;
    }
    let answer = constant.answer(&values(exchange)).map(|mut response| {
        if exchange.may_have_unread_body {
            // Nobody reads it, so no further request can follow on this connection.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    });
    Some(answer)
}

/// What a redirect takes its values from.
pub(super) fn values(exchange: &Exchange) -> Values<'_> {
    Values { params: &exchange.params, principal: None, query: exchange.head.uri.query() }
}
