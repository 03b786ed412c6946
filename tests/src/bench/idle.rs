//! The workload `idle`: what each feature costs a request that it has nothing to do for.
//!
//! Read in this order: `features` are what is configured, each at a gateway of its own;
//! `instructions` counts what is too little to be timed, `table` is what is said.
//!
//! A round is long, and a machine drifts within it: the base has a turn before that of each peer, and
//! a peer is compared with that one.

mod features;
mod instructions;
mod table;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

use self::features::{BASE, Feature, Services};
use super::gateway::Gateway;
use super::pass;
use super::proxies::{self, Proxy, request};
use super::report::Report;
use super::rounds::Pace;
use super::upstream;

const PATH: &str = "/links/x7Kp2";
const NGINX: &str = "nginx";

pub(super) async fn measure(pace: Pace) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let services = Services { first: upstream::start().await?, second: upstream::start().await? };
    let (nginx, process) =
        pass::start_nginx(directory.path(), NGINX, "access.log", services.first)?;
    let (mut peers, mut processes) = (vec![nginx.asked(request(PATH, ""))], vec![process]);
    let (features, mut gateways) = (features::all(), Vec::new());
    for (number, feature) in features.iter().enumerate() {
        let home = directory.path().join(number.to_string());
        fs::create_dir_all(home.join("platform.d"))?;
        fs::write(home.join("platform.d/idle.toml"), feature.configuration(services))?;
        let gateway = Gateway::configure(&home, services.first, "").await?;
        let process = gateway.start().with_context(|| feature.name)?;
        let token = gateway.log_in().await?;
        gateway.check_policies(&token).await.with_context(|| feature.name)?;
        let peer = Proxy::new(feature.name, &process, gateway.address);
        peers.push(peer.logging_to(gateway.access_log.clone()).asked(request(PATH, &token)));
        processes.push(process);
        gateways.push(gateway);
    }
    let mut turns = turns(&peers)?;
    let rounds = pace.measure("round", &mut turns).await?;
    proxies::end(processes, &turns)?;
    let counts = count(&features, &gateways).await?;
    let mut report = Report::new("idle");
    report.add(table::section(&features, &rounds, &counts));
    Ok(report)
}

/// The base before each of the peers, itself among them.
fn turns(peers: &[Proxy]) -> Result<Vec<Proxy>> {
    let base = peers.iter().find(|peer| peer.name == BASE).context("no base")?;
    let before = |peer: &Proxy| Proxy { name: base_before(&peer.name), ..base.clone() };
    Ok(peers.iter().flat_map(|peer| [before(peer), peer.clone()]).collect())
}

/// What the base is called in its turn before a peer's.
fn base_before(peer: &str) -> String {
    format!("{BASE}, before {peer}")
}

/// Instructions of a request, by the feature; none where they cannot be counted.
async fn count(features: &[Feature], gateways: &[Gateway]) -> Result<BTreeMap<&'static str, f64>> {
    let mut counts = BTreeMap::new();
    if !instructions::can_be_counted() {
        return Ok(counts);
    }
    for (feature, gateway) in features.iter().zip(gateways) {
        eprintln!("bench-gateways: counting instructions, {} …", feature.name);
        let count = instructions::of_request(gateway, PATH).await;
        counts.insert(feature.name, count.with_context(|| feature.name)?);
    }
    Ok(counts)
}
