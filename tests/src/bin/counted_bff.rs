//! mobile-bff with an allocator that counts, for the benchmark: at its end it says how often memory
//! was asked for, and how much.

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let code = gateway_core::command::run(&mobile_bff::app::MobileBff);
    let counted = ALLOCATOR.stats();
    let allocations = counted.allocations + counted.reallocations;
    println!("allocations={allocations} bytes={}", counted.bytes_allocated);
    code
}
