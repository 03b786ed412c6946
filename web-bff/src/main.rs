//! The binary: `web-bff serve`, `web-bff check`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway_core::command::run(&web_bff::app::WebBff)
}
