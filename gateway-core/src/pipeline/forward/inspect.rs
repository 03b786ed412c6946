//! Step 9 begins here where a route has a schema for bodies: the body is held whole, looked at, and
//! goes on byte by byte as it came.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use super::DeadlineExceeded;
use super::pass_through::of_client;
use crate::body::Body;
use crate::error::{InternalError, Refused};
use crate::exchange::Exchange;
use crate::inspection::{BodyRefused, BodySchema};
use crate::pipeline::Worker;
use crate::site::Route;
use crate::upstream;

/// From this size on, looking takes long enough to let other requests wait: it is done beside them.
const LARGE: usize = 64 * 1024;

/// The body, once it is known to fit the route's schema.
pub(super) async fn inspect(
    worker: &Worker,
    route: &Route,
    exchange: &Exchange,
    body: Body,
) -> Result<Body, Refused> {
    use http_body::Body as _;
    let Some(schema) = &route.gate.body_schema else { return Ok(body) };
    let may_be_absent = schema.may_be_absent() || exchange.head.method.is_safe();
    if may_be_absent && body.is_end_stream() {
        return Ok(body);
    }
    BodySchema::check_head(&exchange.head.headers)?;
    let time_left = exchange.deadline.since(worker.core.clock.now());
    let size_max = usize::try_from(route.body_size_max).unwrap_or(usize::MAX);
    let whole = timeout(time_left, upstream::collect(body, size_max)).await;
    let whole = whole.map_err(|_| DeadlineExceeded)?.map_err(of_client)?;
    check(schema, &whole).await?;
    Ok(Body::from(whole))
}

async fn check(schema: &Arc<BodySchema>, body: &Bytes) -> Result<(), Refused> {
    if body.len() < LARGE {
        return Ok(schema.check(body)?);
    }
    let (schema, body) = (Arc::clone(schema), body.clone());
    let looked: Result<Result<(), BodyRefused>, _> =
        tokio::task::spawn_blocking(move || schema.check(&body)).await;
    Ok(looked.map_err(|_| InternalError::of("a panic while inspecting a body"))??)
}
