//! The BFF written by hand for Node.js: its sources are copied and its packages installed below
//! target, never beside the sources.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bench::process::find;
use crate::verify::repository;

const SOURCES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../../bench/fastify/package.json")),
    ("package-lock.json", include_str!("../../../bench/fastify/package-lock.json")),
    ("server.mjs", include_str!("../../../bench/fastify/server.mjs")),
];
/// Written when the packages are complete: the lock file they were installed by.
const INSTALLED: &str = "installed.json";
/// The major version that the packages need.
const NODE_MIN: u32 = 20;
const REMEDY: &str = "apt-get install nodejs npm";

/// Where it runs.
pub(super) fn home() -> PathBuf {
    repository().join("target/bench-fastify")
}

/// Node.js, wherever this machine has it.
pub(super) fn find_node() -> Result<PathBuf> {
    find("node", REMEDY)
}

/// Copies the sources, and has npm install the packages where they are missing.
pub(in crate::bench) fn install() -> Result<()> {
    let (node, npm) = (version()?, find("npm", REMEDY)?);
    let is_good = major_of(&node).is_some_and(|major| major >= NODE_MIN);
    ensure!(is_good, "{node} is too old: the Fastify peer needs {NODE_MIN} or newer");
    let home = home();
    fs::create_dir_all(&home)?;
    for (name, text) in SOURCES {
        fs::write(home.join(name), text)?;
    }
    let installed = fs::read_to_string(home.join(INSTALLED)).unwrap_or_default();
    let [_, (_, lock), _] = SOURCES;
    if installed == lock {
        return Ok(());
    }
    eprintln!("bench-gateways: installing the packages of the Fastify peer with npm …");
    let mut ci = Command::new(npm);
    ci.args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
    let status = ci.status().context("cannot run npm")?;
    ensure!(status.success(), "npm cannot install the Fastify peer; see its words above");
    Ok(fs::write(home.join(INSTALLED), lock)?)
}

/// `Node.js 20.20.2`, as it says itself.
pub(super) fn version() -> Result<String> {
    let said = Command::new(find_node()?).arg("--version").output()?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(format!("Node.js {}", said.trim().trim_start_matches('v')))
}

fn major_of(version: &str) -> Option<u32> {
    version.strip_prefix("Node.js ")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major_of("Node.js 20.20.2"), Some(20));
        assert_eq!(major_of("Node.js "), None);
    }
}
