//! `cargo bench-gateways`: what a request costs, next to nginx and others on the same machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tests::bench::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-gateways: {error:#}");
            ExitCode::FAILURE
        }
    }
}
