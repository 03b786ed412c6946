//! Before step 8 where a limit is keyed by what a body says: the body is held whole, and read.

use tokio::time::timeout;

use super::Worker;
use super::forward::{DeadlineExceeded, of_client};
use crate::body::Body;
use crate::error::Refused;
use crate::exchange::Exchange;
use crate::guard::body::{LimitedBody, Pace};
use crate::inspection::members;
use crate::site::{Route, Site};
use crate::upstream;

/// The members that the route's limits are keyed by. `body` is what it was, and here.
pub(super) async fn read(
    worker: &Worker,
    site: &Site,
    route: &Route,
    exchange: &Exchange,
    body: &mut Body,
) -> Result<Vec<(Box<str>, String)>, Refused> {
    if route.limit_members.is_empty() {
        return Ok(Vec::new());
    }
    let time_left = exchange.deadline.since(worker.core.clock.now());
    let size_max = route.body_size_max;
    let taken = std::mem::take(body);
    let pace = Pace::Whole { timeout: site.body_timeout, time_left };
    let (limited, _) = LimitedBody::limit(taken, size_max, pace, false);
    let size_max = usize::try_from(size_max).unwrap_or(usize::MAX);
    let whole = timeout(time_left, upstream::collect(limited, size_max)).await;
    let whole = whole.map_err(|_| DeadlineExceeded)?.map_err(of_client)?;
    let members = members::read(&whole, &route.limit_members)?;
    *body = Body::from(whole);
    Ok(members)
}
