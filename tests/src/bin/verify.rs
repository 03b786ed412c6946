//! `cargo verify`: every check of this repository, in one command.
//!
//! Installs the tools that are missing, at pinned versions and below `target/`; runs each check;
//! says at the end what ran and how long it took. Exit code 1 when any of them failed.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tests::verify::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("verify: {error:#}");
            ExitCode::FAILURE
        }
    }
}
