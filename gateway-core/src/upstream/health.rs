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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::metric::Named;
    use crate::upstream::targets::TargetsSettings;
    use crate::upstream::testing::{Service, settings, wired};

    fn checked() -> (Arc<Targets>, Arc<Client<crate::upstream::testing::Wires>>, Service) {
        let health = HealthRules {
            path: PathAndQuery::from_static("/healthz?deep=1"),
            interval: Duration::from_secs(8),
            timeout: Duration::from_secs(2),
            healthy_after: 1,
            unhealthy_after: 1,
            status: None,
        };
        let rules = TargetsSettings { health: Some(health), ..TargetsSettings::default() };
        let target = Target::parse("links", "http://links:8080", settings()).expect("a target");
        let targets = Targets::new(&"links".into(), rules, vec![(target, 1)], &Named::default());
        let (client, service) = wired();
        (targets, Arc::new(client), service)
    }

    fn is_good(targets: &Targets) -> bool {
        targets.endpoints().iter().all(|target| target.condition().health.is_good())
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_is_asked_again_and_again_and_one_that_hangs_fails_in_time() {
        let (targets, client, mut service) = checked();
        let task = tokio::spawn(keep_checked(Arc::downgrade(&targets), client));
        let mut connection = service.accept().await;
        let head = connection.request().await;
        assert_eq!(
            head,
            "GET /healthz?deep=1 HTTP/1.1\r\nhost: links:8080\r\n\
             user-agent: gateway-health-check\r\n\r\n"
        );
        let asked = Instant::now();
        connection.closed().await;
        assert_eq!(asked.elapsed().as_secs(), 2);
        tokio::task::yield_now().await;
        assert!(!is_good(&targets));
        let mut connection = service.accept().await;
        assert!((10..=12).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
        connection.request().await;
        connection.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
        let mut next = Box::pin(connection.request());
        tokio::select! {
            _ = &mut next => {}
            () = sleep(Duration::from_secs(60)) => panic!("asked once more, over what is open"),
        }
        assert!(is_good(&targets));
        drop((next, targets));
        sleep(Duration::from_secs(60)).await;
        assert!(task.is_finished(), "nobody is checked who is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_has_no_room_is_not_asked() {
        let (targets, client, service) = checked();
        let target = targets.endpoints().remove(0);
        let _all: Vec<_> = std::iter::from_fn(|| target.permit()).collect();
        check_all(&Arc::downgrade(&targets), &client).await.expect("a pause");
        assert_eq!(service.backlog(), 0);
        assert!(is_good(&targets));
    }
}
