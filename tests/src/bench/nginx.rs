//! nginx: where this machine has it, and how one of the peers starts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::process::{Process, find, pinned};

/// nginx, wherever this machine has it.
pub(super) fn find_nginx() -> Result<PathBuf> {
    find("nginx", "apt-get install nginx-light")
}

/// `nginx/1.22.1`, as it says itself.
pub(super) fn version() -> String {
    let said = find_nginx().and_then(|nginx| Ok(Command::new(nginx).arg("-v").output()?));
    let said = said.map(|said| String::from_utf8_lossy(&said.stderr).into_owned());
    said.ok().and_then(|said| said.split_whitespace().nth(2).map(str::to_owned)).unwrap_or_default()
}

/// Starts nginx in a folder of its own.
pub(super) fn start(
    home: &Path,
    name: &str,
    configuration: &str,
    address: SocketAddr,
) -> Result<Process> {
    fs::create_dir(home)?;
    fs::write(home.join("nginx.conf"), configuration)?;
    let mut command = pinned(&find_nginx()?);
    command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(home);
    let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()), "nginx")?;
    process.wait_for(address, name)?;
    Ok(process)
}
