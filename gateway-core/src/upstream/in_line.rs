//! A call's wait for one of the gateway's own connections.
//!
//! Until its turn comes nothing speaks against the target, and nothing of the request is written
//! down: what it says of its time is then said when it is sent.
//!
//! Not here: whose turn it is (`slots`).

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http::Request;

use crate::body::Body;
use crate::permit::Permit;
use crate::upstream::failed::CallFailed;
use crate::upstream::slots::Slot;
use crate::upstream::target::Target;

/// A call for which there is no connection yet. Its turn comes once there may be one, or it hears
/// that there may not.
pub(crate) type InLine = BoxFuture<'static, Result<Turn, CallFailed>>;

/// A call that has waited, and may have a connection now.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(super) target: Arc<Target>,
    pub(super) request: Request<Body>,
    pub(super) permit: Permit,
    pub(super) slot: Option<Slot>,
}

impl Turn {
    /// What is to be sent.
    pub(crate) const fn request(&self) -> &Request<Body> {
        &self.request
    }
}

/// There is no use in waiting.
pub(super) fn refused(failed: CallFailed) -> InLine {
    ready(Err(failed)).boxed()
}

/// The wait of a call that has so much time left.
pub(super) fn wait(
    target: &Arc<Target>,
    request: Request<Body>,
    permit: Permit,
    time_left: Duration,
) -> InLine {
    let target = Arc::clone(target);
    let line = async move {
        let slot = target.slot(time_left).await?;
        Ok(Turn { target, request, permit, slot })
    };
    line.boxed()
}
