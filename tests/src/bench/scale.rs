//! The workload `scale`: what many connections, many routes and large bodies cost the gateway.
//!
//! Memory is what the kernel says is resident (`VmRSS`, `VmHWM`), before and after.

mod connections;
mod large;
mod memory;
mod routes;

use anyhow::Result;

use super::gateway::Gateway;
use super::report::Report;
use super::rounds::Pace;
use super::upstream;

/// Open files of this program and of the gateway: each idle connection is one of both.
pub(super) const FILES: u32 = 16_384;

pub(super) async fn measure(pace: Pace) -> Result<Report> {
    let directory = tempfile::tempdir()?;
    let (small, large) = (upstream::start().await?, large::start().await?);
    let mut report = Report::new("scale");
    let with_few = routes::configuration(routes::FEW);
    let more = format!("{with_few}\n{}", large::configuration(large));
    let home = directory.path().join("few");
    std::fs::create_dir(&home)?;
    let gateway = Gateway::configure(&home, small, &more).await?;
    let process = gateway.start()?;
    let token = gateway.log_in().await?;
    eprintln!("bench-gateways: {} idle connections …", connections::COUNT);
    report.add(connections::section(&gateway, process.id(), &token).await?);
    eprintln!("bench-gateways: bodies of 1 GiB …");
    report.add(large::section(&gateway, process.id(), &token).await?);
    drop(process);
    report.add(routes::section(pace, directory.path(), small).await?);
    Ok(report)
}
