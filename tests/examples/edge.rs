//! edge: one gateway for all consumers, on the same core. config/examples/edge.toml is what makes it
//! one; `cargo demo -- --edge` runs it beside the three, and a test calls it there.

use std::process::ExitCode;

use gateway_core::command::{self, Gateway};

struct Edge;

impl Gateway for Edge {
    fn name(&self) -> &'static str {
        "edge"
    }
}

fn main() -> ExitCode {
    command::run(&Edge)
}
