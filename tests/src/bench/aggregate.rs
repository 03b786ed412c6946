//! The workload `aggregate`: one answer of five parts, composed by the gateway and by what a team
//! would otherwise run.
//!
//! Read in this order: `services` stand behind everybody, `configuration` is what ours adds to the
//! sample's, `peers` are the others, `agreement` sees that all of them answer the same. Then what
//! is measured: the peers' costs here, and `by_parts`, `delay`, `first_frame` and `allocations`, ours
//! alone.

mod agreement;
mod allocations;
mod by_parts;
mod configuration;
mod delay;
pub(super) mod fastify;
mod first_frame;
mod peers;
mod services;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;

use self::services::Services;
use super::costs::{Costs, OURS};
use super::gateway::Gateway;
use super::load::Connection;
use super::pass::NOT_PROFILED;
use super::process::Process;
use super::proxies::{self, Proxy, request};
use super::report::Report;
use super::rounds::Pace;

const NAME: &str = "aggregate";
const COMPACT: &str = "mobile-bff (compact)";
const COSTS: Costs = Costs {
    unit: "answer",
    goals: &[("nginx-lua", 1.2), ("fastify", 1.0 / 3.0), ("axum-naive", 0.5)],
};

pub(super) async fn measure(pace: Pace, is_profiled: bool) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let services = Services::start().await?;
    let more = configuration::layer(&services);
    let gateway = Gateway::configure(directory.path(), services.first(), &more).await?;
    let gateway = if is_profiled { gateway.profiled() } else { gateway };
    let (mut peers, mut processes) = peers::start(directory.path(), &services)?;
    let process = gateway.start()?;
    let token = gateway.log_in().await?;
    agreement::check_policies(&gateway, &token).await?;
    for peer in &mut peers {
        peer.request = request("/answer", &token);
    }
    peers.push(ours(OURS, &gateway, &process).asked(request("/answer", &token)));
    peers.push(ours(COMPACT, &gateway, &process).asked(request("/answer/compact", &token)));
    let other = if is_profiled { Some(NotProfiled::start(&services).await?) } else { None };
    peers.extend(other.as_ref().map(|other| other.peer.clone()));
    for peer in &mut peers {
        let answer = answer_of(peer).await?;
        let agrees = if peer.name == COMPACT { agreement::is_a_third } else { agreement::is_whole };
        agrees(&answer).with_context(|| peer.name.clone())?;
    }
    let mut report = Report::new(NAME);
    report.depends_on(fastify::version()?);
    report.add(COSTS.section(NAME, &pace.measure("round", &mut peers).await?));

    let token = gateway.log_in().await?;
    let mut by_parts = by_parts::peers(&ours("", &gateway, &process), &token);
    report.add(by_parts::section(pace, &mut by_parts).await?);

    let token = gateway.log_in().await?;
    let ours = ours(OURS, &gateway, &process);
    let mut delayed = delay::peers(&services, [&peers[0], &ours], &token);
    report.add(delay::section(pace, &mut delayed).await?);
    let asked = request("/answer/slow", &token).replace("application/json", "application/x-ndjson");
    let mut framed = ours.clone().asked(asked);
    report.add(first_frame::section(pace, &mut framed).await?);

    processes.push(process);
    // Its folder has its access log, which is looked at in the end.
    let (process, _kept) = other.map(|other| (other.process, other.kept)).unzip();
    processes.extend(process);
    let all = peers.iter().chain(&by_parts).chain(&delayed).chain([&framed]);
    proxies::end(processes, all)?;
    report.add(allocations::section(&gateway).await?);
    Ok(report)
}

/// Ours as `cargo build` leaves it, beside the one that is profiled.
struct NotProfiled {
    peer: Proxy,
    process: Process,
    kept: (Gateway, TempDir),
}

impl NotProfiled {
    async fn start(services: &Services) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let more = configuration::layer(services);
        let gateway = Gateway::configure(directory.path(), services.first(), &more).await?;
        let process = gateway.start()?;
        let asked = request("/answer", &gateway.log_in().await?);
        let peer = ours(NOT_PROFILED, &gateway, &process).asked(asked);
        Ok(Self { peer, process, kept: (gateway, directory) })
    }
}

/// The gateway's process under a name; what is asked decides what is measured.
fn ours(name: &str, gateway: &Gateway, process: &Process) -> Proxy {
    Proxy::new(name, process, gateway.address).logging_to(gateway.access_log.clone())
}

/// What a peer answers to the very bytes that it is measured with.
async fn answer_of(peer: &mut Proxy) -> Result<Value> {
    let mut connection = Connection::open(peer.address).await?;
    let body = connection.ask(&peer.request).await;
    let body = body.with_context(|| format!("a call to {}", peer.name))?;
    peer.served += 1;
    serde_json::from_slice(body).with_context(|| format!("{} sends no JSON", peer.name))
}
