//! The benchmark: CPU per request of the gateway and of nginx, in one interleaved run.
//!
//! Read in this order: [`run`] is the run, `proxies` what is measured, `upstream` what stands
//! behind them, `load` who calls, `cpu` how CPU is read, `report` what is said about it.
//!
//! The proxies run on processor 0, one at a time under load; the load, the upstream and this
//! program on processor 1. Machines drift, so only ratios within one run count: rounds alternate
//! between the peers, and each ratio is the median of the rounds' ratios.

mod cpu;
mod load;
mod proxies;
mod report;
mod upstream;

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use self::proxies::Proxies;
use self::report::{Report, Sample};
use crate::verify::repository;

/// Set in the child that runs on its own processor.
const PINNED: &str = "BENCH_GATEWAYS_PINNED";

/// What a request costs, next to nginx on the same machine.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-gateways --")]
struct Options {
    /// What is measured.
    #[arg(value_enum, default_value_t = Workload::Pass)]
    workload: Workload,
    /// Measured rounds of each peer.
    // The longest run of all peers fits into the 15 minutes that its token lives.
    #[arg(long, value_name = "1-20", default_value_t = 7, value_parser = value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each round.
    #[arg(long, value_name = "2-10", default_value_t = 2, value_parser = value_parser!(u64).range(2..=10))]
    seconds: u64,
    /// Connections that call, each as soon as it has its answer.
    // Every peer keeps as many to the service.
    #[arg(long, value_name = "1-64", default_value_t = 32, value_parser = value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Write the table into docs/performance.md.
    #[arg(long)]
    write_docs: bool,
}

/// A workload by its name in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// One service, passed through.
    Pass,
}

impl Workload {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
        }
    }
}

/// Builds what is measured, measures it, and prints the table.
///
/// # Errors
///
/// A program that is missing, cannot be built or started, or answers anything but 200.
pub fn run() -> Result<()> {
    let options = Options::parse();
    if std::env::var_os(PINNED).is_none() {
        return pin();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = measure(&options) => outcome,
            outcome = told_to_stop() => outcome.and_then(|()| bail!("stopped before its end")),
        }
    })
}

/// Ctrl-C or SIGTERM: the peers must end with this program.
async fn told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Starts this program again: optimised, and on processor 1.
fn pin() -> Result<()> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("needs two processors: one for the proxy, one for the load");
    }
    proxies::find("taskset", "apt-get install util-linux")?;
    proxies::find_nginx()?;
    eprintln!("bench-gateways: building the gateway and this program with optimisation …");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--package", "mobile-bff", "--bin", "mobile-bff"])
        .args(["--package", "tests", "--bin", "bench_gateways"])
        .current_dir(repository())
        .status()
        .context("cannot run cargo")?;
    if !built.success() {
        bail!("the gateway cannot be built; see cargo's words above");
    }
    let program = repository().join("target/release/bench_gateways");
    let error = Command::new("taskset")
        .args(["-c", "1"])
        .arg(program)
        .args(std::env::args().skip(1))
        .env(PINNED, "1")
        .exec();
    Err(error).context("cannot run taskset")
}

async fn measure(options: &Options) -> Result<()> {
    let proxies = Proxies::start().await?;
    let length = Duration::from_secs(options.seconds);
    let mut served = Vec::new();
    for proxy in proxies.all() {
        // Connections, caches and branch predictors get warm; not measured.
        served.push(load::run(proxy, options.connections, Duration::from_secs(1)).await?);
    }
    let mut report = Report::new(options.workload.name());
    for round in 1..=options.rounds {
        eprintln!("bench-gateways: round {round} of {} …", options.rounds);
        for (proxy, served_so_far) in proxies.all().iter().zip(&mut served) {
            let before = cpu::of_process(proxy.process)?;
            let served = load::run(proxy, options.connections, length).await?;
            let spent = cpu::of_process(proxy.process)?.saturating_sub(before);
            report.add(proxy.name, Sample::new(spent, served, length));
            *served_so_far += served;
        }
    }
    proxies.stop(&served)?;
    report.finish(options.write_docs)
}
