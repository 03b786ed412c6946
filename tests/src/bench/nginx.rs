//! nginx: where this machine has it and its Lua module, and how one of the peers starts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::process::{Process, find, pinned};

/// nginx, wherever this machine has it.
pub(super) fn find_nginx() -> Result<PathBuf> {
    find("nginx", "apt-get install nginx-light")
}

/// The folder of nginx's modules, with the one for Lua in it.
pub(super) fn find_lua() -> Result<PathBuf> {
    let said = Command::new(find_nginx()?).arg("-V").output()?;
    let folder = modules_folder(&String::from_utf8_lossy(&said.stderr)).map(PathBuf::from);
    folder
        .filter(|folder| folder.join("ngx_http_lua_module.so").exists())
        .context("nginx has no Lua module; try `apt-get install libnginx-mod-http-lua`")
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

/// What follows `--modules-path=` in what nginx says of how it was built.
fn modules_folder(built: &str) -> Option<&str> {
    built.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_are_where_nginx_was_told_when_it_was_built() {
        let built = "configure arguments: --prefix=/usr --modules-path=/usr/lib/nginx --with-pcre";
        assert_eq!(modules_folder(built), Some("/usr/lib/nginx"));
        assert_eq!(modules_folder("configure arguments: --prefix=/usr"), None);
    }
}
