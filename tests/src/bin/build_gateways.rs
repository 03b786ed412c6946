//! `cargo build-gateways`: the three gateways, optimised by a profile of their own work.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tests::profiled::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("build-gateways: {error:#}");
            ExitCode::FAILURE
        }
    }
}
