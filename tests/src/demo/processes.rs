//! Who is started and stopped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::configuration::Configuration;
use super::layout::Layout;
use crate::platform::Service;
use crate::profiled::GATEWAYS;
use crate::verify::repository;

/// How long processes get to become ready, and to end when told.
const READY_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(5);

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    gateways: PathBuf,
    services: PathBuf,
}

/// Builds the program that runs the sample services, beside this one, and the gateways too unless
/// they were `built` before.
pub(super) fn build(built: Option<&Path>) -> Result<Programs> {
    let here = std::env::current_exe().context("cannot find my own program")?;
    let directory = here.parent().context("my own program has no folder")?.to_path_buf();
    let mut cargo = std::process::Command::new("cargo");
    cargo.current_dir(repository()).stdin(Stdio::null()).args(["build", "--quiet", "--locked"]);
    cargo.args(["--package", "tests", "--bin", "node"]);
    if built.is_none() {
        for gateway in GATEWAYS {
            cargo.args(["--package", gateway, "--bin", gateway]);
        }
        cargo.args(["--example", "edge"]);
    }
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("the gateways cannot be built; see cargo's words above");
    }
    let gateways = built.map_or_else(|| directory.clone(), Path::to_path_buf);
    for gateway in GATEWAYS.iter().map(|gateway| gateways.join(gateway)) {
        ensure!(gateway.is_file(), "{} is missing; `cargo build-gateways`", gateway.display());
    }
    Ok(Programs { gateways, services: directory })
}

/// The processes that run.
#[derive(Debug, Default)]
pub(super) struct Processes(Vec<(String, Child)>);

impl Processes {
    pub(super) fn start_services(
        &mut self,
        programs: &Programs,
        layout: &Layout,
        configuration: &Configuration,
        without: &[String],
    ) -> Result<()> {
        for service in Service::ALL {
            if without.iter().any(|name| name == service.name()) {
                continue;
            }
            let mut command = Command::new(programs.services.join("node"));
            let port = layout.service_port(service).to_string();
            command.args([service.name(), "--port", &port, "--faults"]);
            self.start(service.name(), command, configuration)?;
        }
        Ok(())
    }

    pub(super) fn start_gateways(
        &mut self,
        programs: &Programs,
        layout: &Layout,
        configuration: &Configuration,
    ) -> Result<()> {
        for &gateway in layout.gateways() {
            let mut command = Command::new(programs.gateways.join(gateway.program()));
            command.args(["serve", "--stop-with-parent", "--environment", "demo", "--config"]);
            command.arg(&configuration.directory);
            self.start(gateway.name(), command, configuration)?;
        }
        Ok(())
    }

    /// What a process says goes to a file of its own: the terminal is for the user's commands.
    fn start(
        &mut self,
        name: &str,
        mut command: Command,
        configuration: &Configuration,
    ) -> Result<()> {
        let log = std::fs::File::create(log_of(&configuration.directory, name))?;
        command
            .envs(&configuration.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C is for the demo, which then stops them in order.
            .process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        self.0.push((name.to_owned(), child));
        Ok(())
    }

    pub(super) async fn wait_until_ready(
        &mut self,
        layout: &Layout,
        without: &[String],
        progress: fn(&str),
    ) -> Result<()> {
        let mut waiting: Vec<(String, String)> = Service::ALL
            .iter()
            .filter(|service| !without.iter().any(|name| name == service.name()))
            .map(|&service| {
                (service.name().to_owned(), format!("{}/health", layout.service_url(service)))
            })
            .collect();
        // Without the user service mobile-bff never gets the issuer's keys: it lives, and is not
        // ready; that is worth seeing, so it is not waited for.
        let keys_missing = without.iter().any(|name| name == Service::User.name());
        waiting.extend(layout.gateways().iter().map(|&gateway| {
            let probe = if keys_missing && gateway.takes_tokens() { "livez" } else { "readyz" };
            (gateway.name().to_owned(), format!("{}/{probe}", layout.admin_url(gateway)))
        }));
        let client = reqwest::Client::builder().no_proxy().timeout(END_WITHIN).build()?;
        let give_up_at = Instant::now() + READY_WITHIN;
        let mut told = 0;
        while !waiting.is_empty() {
            self.fail_if_one_ended()?;
            let mut still = Vec::new();
            for (name, url) in waiting {
                let answer = client.get(&url).send().await;
                if !answer.is_ok_and(|answer| answer.status().is_success()) {
                    still.push((name, url));
                }
            }
            waiting = still;
            if !waiting.is_empty() && waiting.len() != told {
                told = waiting.len();
                let names: Vec<_> = waiting.iter().map(|(name, _)| name.as_str()).collect();
                progress(&format!("waiting for {}", names.join(", ")));
            }
            if Instant::now() > give_up_at {
                bail!("not ready within {} s: {waiting:?}", READY_WITHIN.as_secs());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until one of the processes ends, which none should.
    pub(super) async fn first_to_end(&mut self) -> Result<()> {
        loop {
            self.fail_if_one_ended()?;
            sleep(Duration::from_millis(300)).await;
        }
    }

    fn fail_if_one_ended(&mut self) -> Result<()> {
        for (name, child) in &mut self.0 {
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended ({status}); its last words are in target/demo/*/{name}.log");
            }
        }
        Ok(())
    }

    /// Asks every process to end, then makes those end that did not.
    pub(super) async fn stop(&mut self) {
        for (_, child) in &self.0 {
            if let Some(id) = child.id() {
                let id = id.to_string();
                let _ = Command::new("kill").args(["-TERM", &id]).status().await;
            }
        }
        for (_, child) in &mut self.0 {
            if timeout(END_WITHIN, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
        self.0.clear();
    }
}

fn log_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.log"))
}
