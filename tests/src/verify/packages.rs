//! Programs of the system's that tests run: found, or unpacked below `target/tools`.
//!
//! A Debian package is downloaded and unpacked, and not installed: that takes no rights, starts no
//! service, and leaves nothing behind but files below `target/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use super::repository;

/// A program, and where the libraries are that came with it.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Program {
    /// A command that runs it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Ok(libraries) = std::env::join_paths(&self.libraries)
            && !libraries.is_empty()
        {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// HAProxy, as a balancer in front of several gateways.
///
/// # Errors
///
/// When it is not there and cannot be had: no apt, no network.
pub fn haproxy() -> Result<Program> {
    found_or_unpacked("haproxy", "usr/sbin/haproxy", &["-v"])
}

fn found_or_unpacked(package: &str, inside: &str, version: &[&str]) -> Result<Program> {
    /// Two tests that need it do not unpack it twice at the same time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let home = repository().join("target/tools").join(package);
    let unpacked = || Program { path: home.join(inside), libraries: libraries(&home) };
    let name = Path::new(inside).file_name().unwrap_or_default();
    let installed = [PathBuf::from(name), Path::new("/").join(inside)];
    let installed = installed.map(|path| Program { path, libraries: Vec::new() });
    for program in installed.into_iter().chain([unpacked()]) {
        if runs(&program, version) {
            return Ok(program);
        }
    }
    println!("verify: unpacking {package} into {}", home.display());
    unpack(package, &home).with_context(|| {
        format!("{package} is missing and cannot be downloaded; install it with your packages")
    })?;
    let program = unpacked();
    if runs(&program, version) { Ok(program) } else { bail!("{package} does not run as unpacked") }
}

fn runs(program: &Program, arguments: &[&str]) -> bool {
    let mut command = program.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Downloads the package and what it needs that is not installed, and unpacks all of it.
fn unpack(package: &str, home: &Path) -> Result<()> {
    std::fs::create_dir_all(home)?;
    let missing = match missing(package) {
        Ok(missing) => missing,
        // Perhaps there are no lists of packages yet; who may not fetch them is told below.
        Err(_) => {
            let _ = output(home, "apt-get", &["update"]);
            missing(package)?
        }
    };
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    output(home, "apt-get", &[&["download"], &names[..]].concat())?;
    for file in std::fs::read_dir(home)? {
        let path = file?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            output(home, "dpkg", &["-x", &path.to_string_lossy(), "."])?;
        }
    }
    Ok(())
}

/// What an installation would install.
fn missing(package: &str) -> Result<Vec<String>> {
    let arguments = ["--simulate", "--no-install-recommends", "install", package];
    let said = output(Path::new("."), "apt-get", &arguments)?;
    let lines = said.lines().filter_map(|line| line.strip_prefix("Inst "));
    Ok(lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

fn output(directory: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folders of libraries below an unpacked package: one for each kind of processor.
fn libraries(home: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(home.join("usr/lib")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path()).filter(|path| path.is_dir()).collect()
}
