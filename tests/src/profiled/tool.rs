//! `llvm-profdata`, which turns what was counted into a profile: that of the compiler's own LLVM, or
//! a later one, since older ones cannot read it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Where it is.
pub(super) fn find() -> Result<PathBuf> {
    let version = of_rustc("LLVM version")?;
    let major = major(&version).with_context(|| format!("LLVM version: {version}"))?;
    let found = candidates(major).into_iter().find(|tool| reads(tool, major));
    found.with_context(|| missing(major))
}

/// What `rustc -vV` says under this key.
pub(super) fn of_rustc(key: &str) -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    Ok(value.with_context(|| format!("rustc -vV does not say its {key}: {said}"))?.to_owned())
}

fn missing(major: u32) -> String {
    format!(
        "llvm-profdata of LLVM {major} or later is missing; \
         try `rustup component add llvm-tools` or `apt-get install llvm-{major}`"
    )
}

/// The toolchain's own, then those of the system.
fn candidates(major: u32) -> Vec<PathBuf> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir"]).output();
    let libraries = libraries.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let own = libraries.ok().and_then(|libraries| {
        let toolchain = Path::new(libraries.trim()).parent()?;
        Some(toolchain.join("bin/llvm-profdata"))
    });
    let system = [format!("llvm-profdata-{major}"), "llvm-profdata".to_owned()];
    own.into_iter().chain(system.map(PathBuf::from)).collect()
}

/// Whether the tool is there and new enough.
fn reads(tool: &Path, needed: u32) -> bool {
    // Of the sub-command, since the tool itself has no `--version` before LLVM 16.
    let mut command = Command::new(tool);
    let output = command.args(["merge", "--version"]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        version_in(&said).is_some_and(|found| found >= needed)
    })
}

/// The major version in `Debian LLVM version 22.1.2` and the like.
fn version_in(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("LLVM version ")?;
    major(version)
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_as_the_tools_say_it() {
        for (said, expected) in [
            ("Debian LLVM version 22.1.2\n  Optimized build.", Some(22)),
            ("LLVM (http://llvm.org/):\n  LLVM version 22.1.2-rust-1.95.0-stable\n", Some(22)),
            ("llvm-profdata: Unknown command!", None),
            ("LLVM version unknown", None),
        ] {
            assert_eq!(version_in(said), expected, "{said}");
        }
    }

    #[test]
    fn a_tool_that_is_missing_is_named_with_its_remedy() {
        assert!(!reads(Path::new("no-such-program"), 1));
        let said = missing(22);
        assert!(said.contains("rustup component add llvm-tools"), "{said}");
        assert!(said.contains("llvm-22"), "{said}");
    }

    #[test]
    fn the_compiler_says_its_host_and_its_llvm() {
        assert!(of_rustc("host").expect("its host").contains('-'));
        assert!(major(&of_rustc("LLVM version").expect("its LLVM")).is_some());
        assert!(of_rustc("colour").expect_err("no such key").to_string().contains("colour"));
    }
}
