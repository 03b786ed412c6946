//! The binary: `partner-gateway serve`, `partner-gateway check`, `partner-gateway keys issue`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway_core::command::run(&partner_gateway::app::PartnerGateway)
}
