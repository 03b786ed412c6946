//! How much memory a process holds.

use std::fs;

use anyhow::{Context as _, Result};

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Now.
    pub(super) now_kib: u64,
    /// The most there has been.
    pub(super) most_kib: u64,
}

pub(super) fn of_process(process: u32) -> Result<Memory> {
    let file = format!("/proc/{process}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    parse(&status).with_context(|| format!("{file} says nothing of memory"))
}

/// From now on `most` counts anew.
pub(super) fn forget_most(process: u32) -> Result<()> {
    let file = format!("/proc/{process}/clear_refs");
    fs::write(&file, "5").with_context(|| format!("cannot write {file}"))
}

fn parse(status: &str) -> Option<Memory> {
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory { now_kib: figure("VmRSS:")?, most_kib: figure("VmHWM:")? })
}

pub(super) fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1_024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_read_by_its_name() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(status), Some(Memory { now_kib: 1_024, most_kib: 2_048 }));
        assert_eq!(parse("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = of_process(std::process::id()).expect("this process");
        assert!(memory.now_kib > 0 && memory.most_kib >= memory.now_kib, "{memory:?}");
    }
}
