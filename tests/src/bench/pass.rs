//! The workload `pass`: one service, passed through by nginx and by the gateway.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::costs::{Costs, OURS};
use super::gateway::Gateway;
use super::process::{Process, free_address};
use super::proxies::{self, Proxy, request};
use super::report::Report;
use super::rounds::Pace;
use super::{nginx, upstream};

const NGINX: &str = include_str!("../../bench/nginx.conf");

pub(super) async fn measure(pace: Pace) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let upstream = upstream::start().await?;
    let (mut processes, mut peers) = (Vec::new(), Vec::new());
    for (name, access_log) in [("nginx", "access.log"), ("nginx-log-off", "off")] {
        let (peer, process) = start_nginx(directory.path(), name, access_log, upstream)?;
        peers.push(peer);
        processes.push(process);
    }
    let gateway = Gateway::configure(directory.path(), upstream, "").await?;
    let process = gateway.start()?;
    let token = gateway.log_in().await?;
    gateway.check_policies(&token).await?;
    peers.push(Proxy::new(OURS, &process, gateway.address).logging_to(gateway.access_log.clone()));
    processes.push(process);
    for peer in &mut peers {
        peer.request = request("/links/x7Kp2", &token);
    }
    let rounds = pace.measure("round", &mut peers).await?;
    proxies::end(processes, &peers)?;
    let mut report = Report::new("pass");
    report.add(Costs { unit: "request", goals: &[] }.section("pass", &rounds));
    Ok(report)
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
