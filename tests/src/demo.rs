//! The demo: five services and three gateways as real processes, and what to try with them.
//!
//! Read in this order: [`Options`] is what the user asked for, `layout` where everything listens,
//! `configuration` what is written for the gateways, `processes` who is started and stopped,
//! `introduction` what is printed.
//!
//! Invariants
//! - Whatever it starts it stops: on Ctrl-C, on an error, and when the process that started it
//!   has ended.
//! - Everything listens on 127.0.0.1, and every secret is made anew for each run.

mod configuration;
mod credentials;
mod introduction;
mod layout;
mod options;
mod processes;

use std::time::Duration;

use anyhow::{Context as _, Result};

use self::configuration::Configuration;
use self::credentials::Credentials;
use self::layout::Layout;
pub use self::options::Options;
use self::processes::Processes;

/// Runs the demo until it is told to stop.
///
/// # Errors
///
/// A port that is taken, a program that cannot be built or started, a process that ends early.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let Some(options) = Options::parse(arguments)? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(demonstrate(&options))
}

async fn demonstrate(options: &Options) -> Result<()> {
    let layout = Layout::new(options.port_offset, options.edge, options.tls)?;
    layout.check_ports(&options.without)?;
    progress("building the gateways and the sample services");
    let programs = processes::build(options.programs.as_deref())?;
    let configuration = Configuration::write(&layout, options)?;
    let mut processes = Processes::default();
    progress("starting");
    let outcome = tokio::select! {
        outcome = start_and_wait(options, &layout, &programs, &configuration, &mut processes) => outcome,
        () = told_to_stop() => Ok(()),
    };
    processes.stop().await;
    outcome
}

async fn start_and_wait(
    options: &Options,
    layout: &Layout,
    programs: &processes::Programs,
    configuration: &Configuration,
    processes: &mut Processes,
) -> Result<()> {
    processes.start_services(programs, layout, configuration, &options.without)?;
    processes.start_gateways(programs, layout, configuration)?;
    processes.wait_until_ready(layout, &options.without, progress).await?;
    let credentials =
        Credentials::obtain(layout, configuration).await.context("cannot log in for you")?;
    if options.json {
        introduction::print_json(layout, &credentials, configuration.authority.as_deref());
    } else {
        let authority = configuration.authority.as_deref();
        introduction::print(layout, &credentials, authority, &options.without);
    }
    processes.first_to_end().await
}

/// On stderr, so that the one line of `--json` stands alone on stdout.
fn progress(what: &str) {
    eprintln!("demo: {what} …");
}

/// Ctrl-C, SIGTERM, or the end of the process that started this one.
async fn told_to_stop() {
    let parent_ended = async {
        let parent = std::os::unix::process::parent_id();
        while std::os::unix::process::parent_id() == parent {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = parent_ended => {}
    }
}
