//! The other peers, each on processor 0: nginx with its Lua module, and two BFFs written by hand.

use std::path::Path;

use anyhow::Result;

use super::fastify;
use super::services::Services;
use crate::bench::nginx;
use crate::bench::process::{Process, free_address, pinned};
use crate::bench::proxies::Proxy;
use crate::verify::repository;

const NGINX_LUA: &str = include_str!("../../../bench/nginx-lua.conf");

/// Starts them. They are not asked anything yet.
pub(super) fn start(directory: &Path, services: &Services) -> Result<(Vec<Proxy>, Vec<Process>)> {
    let started = [
        start_nginx_lua(&directory.join("nginx-lua"), services)?,
        start_fastify(services)?,
        start_axum_naive(services)?,
    ];
    Ok(started.into_iter().unzip())
}

fn start_nginx_lua(home: &Path, services: &Services) -> Result<(Proxy, Process)> {
    let (name, address) = ("nginx-lua", free_address()?);
    let modules = nginx::find_lua()?;
    let configuration = services
        .fill(NGINX_LUA)
        .replace("{listen}", &address.to_string())
        .replace("{modules}", &modules.to_string_lossy());
    let process = nginx::start(home, name, &configuration, address)?;
    Ok((Proxy::new(name, &process, address).logging_to(home.join("access.log")), process))
}

fn start_fastify(services: &Services) -> Result<(Proxy, Process)> {
    let mut command = pinned(&fastify::find_node()?);
    command.arg("server.mjs").current_dir(fastify::home()).env("NODE_ENV", "production");
    start_hand_written("fastify", command, services)
}

fn start_axum_naive(services: &Services) -> Result<(Proxy, Process)> {
    let command = pinned(&repository().join("target/release/naive_bff"));
    start_hand_written("axum-naive", command, services)
}

/// Both take an address and the parts.
fn start_hand_written(
    name: &str,
    mut command: std::process::Command,
    services: &Services,
) -> Result<(Proxy, Process)> {
    let address = free_address()?;
    command.arg(address.to_string()).args(services.arguments());
    let mut process = Process::start(&mut command, name)?;
    process.wait_for(address, name)?;
    Ok((Proxy::new(name, &process, address), process))
}
