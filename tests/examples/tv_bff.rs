//! tv-bff: the television's gateway. docs/fourth-gateway.md shows it; a test starts it.

use std::process::ExitCode;

use gateway_core::command::{self, Gateway};

struct TvBff;

impl Gateway for TvBff {
    fn name(&self) -> &'static str {
        "tv-bff"
    }
}

fn main() -> ExitCode {
    command::run(&TvBff)
}
