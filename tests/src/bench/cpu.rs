//! How much CPU a process and its children have used.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// CPU time of every thread of a process and of its children, user and system together.
///
/// By the scheduler's own account, in nanoseconds: the counters of `stat` tick at 10 ms.
pub(super) fn of_process(process: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    let tasks = format!("/proc/{process}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        let task = task?.path();
        // A thread may end between being listed and being read.
        if let Ok(line) = fs::read_to_string(task.join("schedstat")) {
            total += on_cpu(&line).unwrap_or_default();
        }
        let children = fs::read_to_string(task.join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            total += of_process(child).unwrap_or_default();
        }
    }
    Ok(total)
}

/// The first figure of a `schedstat` line: nanoseconds on a processor.
fn on_cpu(line: &str) -> Option<Duration> {
    line.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_a_processor_is_the_first_figure() {
        assert_eq!(on_cpu("1500 200 3\n"), Some(Duration::from_nanos(1_500)));
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn a_process_that_works_uses_more_and_more() {
        let before = of_process(std::process::id()).expect("this process");
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        assert!(of_process(std::process::id()).expect("this process") > before);
    }
}
