//! The runtime for everything beside the hot path: key sets, probes, the admin listener.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Enough that one slow task does not hold up the others.
const WORKERS: usize = 2;

/// Makes the background runtime. Keep it until the cores have drained.
///
/// # Errors
///
/// What the operating system says when threads or event queues cannot be made.
pub fn build() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("background")
        .enable_all()
        .build()
}
