//! The workload `pass`: one service, passed through by nginx and by the gateway.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::costs::{Costs, OURS};
use super::gateway::Gateway;
use super::process::{Process, free_address};
use super::proxies::{self, Proxy, request};
use super::report::Report;
use super::rounds::Pace;
use super::{nginx, upstream};

const PATH: &str = "/links/x7Kp2";
const NGINX: &str = include_str!("../../bench/nginx.conf");

/// Ours, as `cargo build` leaves it, beside the one that is profiled.
pub(super) const NOT_PROFILED: &str = "mobile-bff (not profiled)";

pub(super) async fn measure(pace: Pace, is_profiled: bool) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let upstream = upstream::start().await?;
    let (mut processes, mut peers, mut gateways) = (Vec::new(), Vec::new(), Vec::new());
    for (name, access_log) in [("nginx", "access.log"), ("nginx-log-off", "off")] {
        let (peer, process) = start_nginx(directory.path(), name, access_log, upstream)?;
        peers.push(peer);
        processes.push(process);
    }
    for (name, is_profiled) in builds(is_profiled) {
        let home = directory.path().join(name);
        fs::create_dir_all(&home)?;
        let gateway = Gateway::configure(&home, upstream, "").await?;
        let gateway = if is_profiled { gateway.profiled() } else { gateway };
        let process = gateway.start()?;
        let token = gateway.log_in().await?;
        gateway.check_policies(&token).await?;
        let peer = Proxy::new(name, &process, gateway.address);
        peers.push(peer.logging_to(gateway.access_log.clone()).asked(request(PATH, &token)));
        processes.push(process);
        gateways.push(gateway);
    }
    let bytes = peers.last().context("no peer")?.request.clone();
    for peer in peers.iter_mut().filter(|peer| peer.request.is_empty()) {
        peer.request.clone_from(&bytes);
    }
    let rounds = pace.measure("round", &mut peers).await?;
    proxies::end(processes, &peers)?;
    let mut report = Report::new("pass");
    report.add(Costs { unit: "request", goals: &[("nginx", 1.4)] }.section("pass", &rounds));
    Ok(report)
}

/// Ours by name, and whether it is profiled: both where it is asked for.
fn builds(is_profiled: bool) -> impl Iterator<Item = (&'static str, bool)> {
    let other = is_profiled.then_some((NOT_PROFILED, false));
    [(OURS, is_profiled)].into_iter().chain(other)
}

/// nginx that passes everything on. It is not asked anything yet.
pub(super) fn start_nginx(
    directory: &Path,
    name: &str,
    access_log: &str,
    upstream: SocketAddr,
) -> Result<(Proxy, Process)> {
    let (home, address) = (directory.join(name), free_address()?);
    let configuration = NGINX
        .replace("{access_log}", access_log)
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string());
    let process = nginx::start(&home, name, &configuration, address)?;
    let peer = Proxy::new(name, &process, address);
    let peer = if access_log == "off" { peer } else { peer.logging_to(home.join(access_log)) };
    Ok((peer, process))
}
