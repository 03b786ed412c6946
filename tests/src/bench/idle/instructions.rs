//! How many instructions a request costs the gateway outside the kernel, counted by valgrind.
//!
//! A count does not drift as time does. Requests come one after the other over one connection, so
//! that nothing depends on what meets what.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::bench::gateway::{Gateway, program};
use crate::bench::load::Connection;
use crate::bench::process::{Process, find, pinned};
use crate::bench::proxies::request;

/// Tokens are remembered and connections open; not counted.
const WARM_UP: u32 = 200;
const COUNTED: u32 = 2_000;

pub(super) fn can_be_counted() -> bool {
    find("valgrind", "apt-get install valgrind").is_ok()
}

/// Instructions of one request.
///
/// No process of the gateway may be left: the one that is counted takes its addresses.
pub(super) async fn of_request(gateway: &Gateway, path: &str) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("callgrind.out");
    let mut command = pinned(Path::new("valgrind"));
    command.args(["--quiet", "--tool=callgrind", "--instr-atstart=no"]);
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(program("mobile-bff"));
    let process = gateway.serve(command.stderr(Stdio::null()), "valgrind")?;
    let request = request(path, &gateway.log_in().await?);
    let mut connection = Connection::open(gateway.address).await?;
    ask(&mut connection, &request, WARM_UP).await?;
    switch(&process, "on")?;
    ask(&mut connection, &request, COUNTED).await?;
    switch(&process, "off")?;
    drop(connection);
    drop(process);
    let counted = fs::read_to_string(&file).context("valgrind has written nothing")?;
    let total = total(&counted).context("valgrind has counted nothing")?;
    Ok(total / f64::from(COUNTED))
}

async fn ask(connection: &mut Connection, request: &str, times: u32) -> Result<()> {
    for _ in 0..times {
        connection.ask(request).await?;
    }
    Ok(())
}

/// Begins or ends to count.
fn switch(process: &Process, state: &str) -> Result<()> {
    let mut command = Command::new("vgdb");
    command.arg(format!("--pid={}", process.id())).args(["instrumentation", state]);
    let said = command.stdin(Stdio::null()).output().context("cannot run vgdb")?;
    ensure!(said.status.success(), "vgdb: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// The line `totals:` of what callgrind writes at its end; of several events, the first.
fn total(counted: &str) -> Option<f64> {
    let totals = counted.lines().find_map(|line| line.strip_prefix("totals:"))?;
    totals.split_whitespace().next()?.parse().ok().filter(|&total| total > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_first_figure_of_its_line() {
        let text =
            "events: Ir\nsummary: 0\n\nfn=(1) main\n16 3\n+2 40\nsummary: 0\ntotals: 1200 7\n";
        assert_eq!(total(text), Some(1_200.0));
    }

    #[test]
    fn a_run_in_which_nothing_was_counted_has_no_total() {
        assert_eq!(total("events: Ir\nsummary: 0\ntotals: 0\n"), None);
        assert_eq!(total("events: Ir\n"), None);
    }
}
