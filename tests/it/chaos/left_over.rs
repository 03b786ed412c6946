//! What may be left over: whatever one request takes while it is served.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::harness::{GatewayUnderTest, Harness, json_of};
use tests::platform::Service;

use super::PATIENCE;

/// Counted of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    gateway: &'static str,
    active_requests: u64,
    open_connections: u64,
    open_streams: u64,
    core_tasks: u64,
    background_tasks: u64,
    /// The permits of all targets that are taken.
    in_flight: u64,
    pending: u64,
    /// The places of all services whose calls are counted.
    places: u64,
}

/// Counted of all of them, of the services, and of the process that they are all in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOver {
    gateways: [Counts; 3],
    connections_of_services: Vec<usize>,
    descriptors: usize,
}

impl LeftOver {
    /// What there is once nobody calls and connections that nobody uses have ended.
    pub(super) async fn of(harness: &mut Harness) -> Self {
        harness.hang_up();
        let begun = Instant::now();
        loop {
            let now = Self::now(harness).await;
            if now.holds_nothing() || begun.elapsed() > PATIENCE {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same, once it is no more than it was.
    pub(super) async fn at_most(harness: &mut Harness, before: &Self) -> Self {
        harness.hang_up();
        let begun = Instant::now();
        loop {
            let now = Self::now(harness).await;
            if now.holds_nothing() && now.is_within(before) {
                return now;
            }
            assert!(begun.elapsed() < PATIENCE, "left over: {now:#?}\nbefore: {before:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn now(harness: &Harness) -> Self {
        Self {
            gateways: [
                counts(&harness.web, harness).await,
                counts(&harness.mobile, harness).await,
                counts(&harness.partner, harness).await,
            ],
            connections_of_services: Service::ALL.map(|one| harness.connections(one)).into(),
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        }
    }

    /// Whether no request, no permit and no connection is left. The keys of tokens are fetched from
    /// the user service over a connection of its own, which is kept.
    pub(super) fn holds_nothing(&self) -> bool {
        let is_idle = |counts: &Counts| {
            let permits = counts.in_flight + counts.pending + counts.places;
            let requests = counts.active_requests + permits;
            requests + counts.open_connections + counts.open_streams == 0
        };
        let services = Service::ALL.iter().zip(&self.connections_of_services);
        self.gateways.iter().all(is_idle)
            && services.into_iter().all(|(one, &count)| count <= usize::from(*one == Service::User))
    }

    fn is_within(&self, before: &Self) -> bool {
        let gateways = self.gateways.iter().zip(&before.gateways).all(|(now, before)| {
            now.core_tasks <= before.core_tasks && now.background_tasks <= before.background_tasks
        });
        gateways && self.descriptors <= before.descriptors
    }
}

async fn counts(gateway: &GatewayUnderTest, harness: &Harness) -> Counts {
    let page = gateway.metrics().await;
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{name} is missing in\n{page}"))
    };
    let services = services_of(gateway, harness).await;
    let places = services.iter().filter_map(|one| one["concurrency"]["in_flight"].as_u64()).sum();
    let targets = targets_in(&services);
    let sum = |name: &str| targets.iter().filter_map(|target| target[name].as_u64()).sum();
    Counts {
        gateway: gateway.name,
        active_requests: value("http_server_active_requests"),
        open_connections: value("gateway_open_connections"),
        open_streams: value("gateway_open_streams"),
        core_tasks: value(r#"gateway_tasks{runtime="core"}"#),
        background_tasks: value(r#"gateway_tasks{runtime="background"}"#),
        in_flight: sum("in_flight"),
        pending: sum("pending"),
        places,
    }
}

async fn services_of(gateway: &GatewayUnderTest, harness: &Harness) -> Vec<Value> {
    let answer = harness.client.get(format!("{}/targets", gateway.admin)).send().await;
    let page = json_of(answer.expect("an answer")).await;
    page["services"].as_array().expect("services").clone()
}

fn targets_in(services: &[Value]) -> Vec<Value> {
    let targets = |one: &Value| one["targets"].as_array().expect("targets").clone();
    services.iter().flat_map(targets).collect()
}

/// How the targets of all gateways do.
pub(super) async fn targets(harness: &Harness) -> Vec<Value> {
    let mut targets = Vec::new();
    for gateway in [&harness.web, &harness.mobile, &harness.partner] {
        targets.extend(targets_in(&services_of(gateway, harness).await));
    }
    targets
}

/// Bytes of memory that this process holds now; 0 where nobody says.
pub(super) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
