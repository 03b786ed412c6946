//! The binary: `mobile-bff serve`, `mobile-bff check`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway_core::command::run(&mobile_bff::app::MobileBff)
}
