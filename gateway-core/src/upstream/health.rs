//! Active checks: each endpoint is asked now and then whether it does well.
//!
//! A check is an ordinary request through this module's own client, so it meets the same time-outs
//! and the same bound on requests in flight. What it finds only decides whom the balance chooses;
//! the gateway's own readiness never depends on it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, header};
use tokio::time::{sleep, timeout};

use crate::body::Body;
use crate::upstream::client::Client;
use crate::upstream::connect::Connect;
use crate::upstream::failed::CallFailed;
use crate::upstream::target::Target;
use crate::upstream::targets::Targets;

/// How the endpoints of a service are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRules {
    /// What is asked for, with GET.
    pub path: PathAndQuery,
    /// From the end of one round to the next; up to a quarter more.
    pub interval: Duration,
    /// The whole time for one check.
    pub timeout: Duration,
    /// Checks in a row that make an endpoint good.
    pub healthy_after: u32,
    /// Checks in a row that make it bad.
    pub unhealthy_after: u32,
    /// The status that passes; `None`: any from 200 to 299.
    pub status: Option<u16>,
}

/// Checks of one service that are under way at once.
const CHECKS_MAX: usize = 8;

/// Checks until the targets are gone.
pub(super) async fn keep_checked<C: Connect>(targets: Weak<Targets>, client: Arc<Client<C>>) {
    loop {
        let Some(pause) = check_all(&targets, &client).await else { return };
        sleep(pause).await;
    }
}

/// One round; says when the next is due.
async fn check_all<C: Connect>(targets: &Weak<Targets>, client: &Client<C>) -> Option<Duration> {
    let targets = targets.upgrade()?;
    let rules = targets.settings().health.as_ref()?;
    let endpoints = stream::iter(targets.endpoints());
    let checks = endpoints.for_each_concurrent(CHECKS_MAX, |target| {
        let targets = &targets;
        async move {
            if let Some(has_passed) = check(client, &target, rules).await {
                note(targets, &target, has_passed, rules);
            }
        }
    });
    checks.await;
    Some(targets.dice().stretch(rules.interval))
}

/// Whether the endpoint does well; `None` when it was too busy to be asked, which its own calls
/// show better.
async fn check<C: Connect>(
    client: &Client<C>,
    target: &Arc<Target>,
    rules: &HealthRules,
) -> Option<bool> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = Uri::from(rules.path.clone());
    let name = HeaderValue::from_static("gateway-health-check");
    request.headers_mut().insert(header::USER_AGENT, name);
    match timeout(rules.timeout, client.call(target, request, rules.timeout)).await {
        Ok(Ok(answer)) => {
            let status = answer.response.status();
            Some(rules.status.map_or(status.is_success(), |due| status.as_u16() == due))
        }
        Ok(Err(CallFailed::Busy(_))) => None,
        Ok(Err(_)) | Err(_) => Some(false),
    }
}

fn note(targets: &Targets, target: &Target, has_passed: bool, rules: &HealthRules) {
    targets.count(target, if has_passed { "check_passed" } else { "check_failed" });
    let in_a_row = if has_passed { rules.healthy_after } else { rules.unhealthy_after };
    if !target.condition().health.note(has_passed, in_a_row) {
        return;
    }
    let (service, target_name) = (target.name(), target.label());
    if has_passed {
        targets.count(target, "became_healthy");
        tracing::info!(%service, target = target_name, "a target passes its checks again");
    } else {
        targets.count(target, "became_unhealthy");
        tracing::warn!(%service, target = target_name, "a target fails its checks");
    }
}
