//! The runtime for everything beside the hot path: stores, key sets, probes, telemetry.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Enough that one slow task does not hold up the others.
const WORKERS: usize = 2;

/// The work on the background runtime panicked, or the runtime is being shut down.
#[derive(Debug, thiserror::Error)]
#[error("the background work ended without a result")]
pub struct Stopped(#[source] tokio::task::JoinError);

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

/// Runs `work` in the background, and waits for its result on the caller's own runtime.
///
/// The work goes on when the caller no longer waits.
///
/// # Errors
///
/// [`Stopped`] when the work panicked or the runtime is being shut down.
pub async fn run_on<F>(background: &Handle, work: F) -> Result<F::Output, Stopped>
where
    F: Future<Output: Send> + Send + 'static,
{
    background.spawn(work).await.map_err(Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_a_thread_of_the_background_and_a_panic_there_is_an_error_here() {
        let background = build().expect("a runtime");
        let here = Builder::new_current_thread().build().expect("a runtime");
        let name = async { std::thread::current().name().map(str::to_owned) };
        let name = here.block_on(run_on(background.handle(), name)).expect("a result");
        assert_eq!(name.as_deref(), Some("background"));
        let panicking = run_on(background.handle(), async { panic!("as the test wants") });
        assert!(here.block_on(panicking).is_err());
    }
}
