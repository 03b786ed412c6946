//! The benchmark: CPU per request of the gateway and of its peers, in one interleaved run.
//!
//! Read in this order: [`run`] is the run, `pass`, `idle`, `aggregate` and `scale` the workloads,
//! `rounds` how peers are measured. Then what they share: `proxies` is a peer, `nginx` and `gateway`
//! start two of them as a `process`, `upstream` stands behind them with its `parts`, `load` calls,
//! `cpu` is how CPU is read, `costs` the table, `report` what is said, `machine` about where.
//!
//! The proxies run on processor 0, one at a time under load; the load, the upstream and this
//! program on processor 1. Machines drift, so only ratios within one run count: rounds alternate
//! between the peers, and each ratio is the median of the rounds' ratios.

mod aggregate;
mod costs;
mod cpu;
mod gateway;
mod idle;
mod load;
mod machine;
mod nginx;
mod parts;
mod pass;
mod process;
mod proxies;
mod report;
mod rounds;
mod scale;
mod upstream;

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use self::rounds::Pace;
use crate::profiled;
use crate::verify::repository;

/// Set in the child that runs on its own processor.
const PINNED: &str = "BENCH_GATEWAYS_PINNED";

/// What a request costs, next to nginx and others on the same machine.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-gateways --")]
struct Options {
    /// What is measured.
    #[arg(value_enum, default_value_t = Workload::Pass)]
    workload: Workload,
    /// Measured rounds of each peer.
    #[arg(long, value_name = "1-20", default_value_t = 7, value_parser = value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of each round.
    #[arg(long, value_name = "2-10", default_value_t = 2, value_parser = value_parser!(u64).range(2..=10))]
    seconds: u64,
    /// Connections that call, each as soon as it has its answer.
    // Every peer keeps as many to the service.
    #[arg(long, value_name = "1-64", default_value_t = 32, value_parser = value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Measure the gateway that `cargo build-gateways` makes, and the other beside it: pass and
    /// aggregate.
    #[arg(long)]
    profiled: bool,
    /// Write what is printed into docs/performance.md.
    #[arg(long)]
    write_docs: bool,
}

/// A workload by its name in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// One service, passed through.
    Pass,
    /// The same, beside each feature that has nothing to do for it.
    Idle,
    /// One answer of five parts.
    Aggregate,
    /// Many connections, many routes, large bodies.
    Scale,
}

impl Workload {
    /// Programs that must be on the machine.
    fn find_programs(self) -> Result<()> {
        process::find("taskset", "apt-get install util-linux")?;
        match self {
            Self::Pass | Self::Idle => nginx::find_nginx().map(drop),
            Self::Aggregate => {
                nginx::find_nginx()?;
                nginx::find_lua().and_then(|_| aggregate::fastify::install())
            }
            Self::Scale => process::find("prlimit", "apt-get install util-linux").map(drop),
        }
    }

    /// What cargo builds beside the gateway and this program.
    const fn built(self) -> &'static str {
        match self {
            Self::Pass | Self::Idle | Self::Scale => "",
            Self::Aggregate => {
                "--bin naive_bff --bin counted_bff --features tests/count-allocations"
            }
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
        return pin(&options);
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
fn pin(options: &Options) -> Result<()> {
    let workload = options.workload;
    if options.profiled && !matches!(workload, Workload::Pass | Workload::Aggregate) {
        bail!("--profiled goes with pass and aggregate only");
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("needs two processors: one for the proxy, one for the load");
    }
    workload.find_programs()?;
    if options.profiled {
        profiled::build(false)?;
    }
    eprintln!("bench-gateways: building the gateway and this program with optimisation …");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--package", "mobile-bff", "--bin", "mobile-bff"])
        .args(["--package", "tests", "--bin", "bench_gateways"])
        .args(workload.built().split_whitespace())
        .current_dir(repository())
        .status()
        .context("cannot run cargo")?;
    if !built.success() {
        bail!("the gateway cannot be built; see cargo's words above");
    }
    let program = repository().join("target/release/bench_gateways");
    let pinned = ["taskset", "-c", "1"];
    let files = format!("--nofile={}:", scale::FILES);
    let mut words: Vec<&str> = match workload {
        Workload::Scale => vec!["prlimit", &files],
        Workload::Pass | Workload::Idle | Workload::Aggregate => Vec::new(),
    };
    words.extend(pinned);
    let (first, rest) = words.split_first().context("no program")?;
    let error = Command::new(first)
        .args(rest)
        .arg(program)
        .args(std::env::args().skip(1))
        .env(PINNED, "1")
        .exec();
    Err(error).with_context(|| format!("cannot run {first}"))
}

async fn measure(options: &Options) -> Result<()> {
    let pace = Pace {
        rounds: options.rounds,
        length: Duration::from_secs(options.seconds),
        connections: options.connections,
    };
    let report = match options.workload {
        Workload::Pass => pass::measure(pace, options.profiled).await?,
        Workload::Idle => idle::measure(pace).await?,
        Workload::Aggregate => aggregate::measure(pace, options.profiled).await?,
        Workload::Scale => scale::measure(pace).await?,
    };
    report.finish(options.write_docs)
}
