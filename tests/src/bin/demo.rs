//! `cargo demo`: the sample platform and the three gateways, as real processes on this machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tests::demo::run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
