//! The gateway as the core sees it: its name, its own sections, endpoints and commands.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use gateway_core::command::{Gateway, Kit};
use gateway_core::endpoint::Endpoints;
use gateway_core::stores::memory::MemoryKeys;
use shared_config::{Diagnostics, Loaded, Section};

use crate::webhook_endpoints::{self, WebhookEndpoints};
use crate::{config, keys};

/// The integrators' gateway.
#[derive(Debug)]
pub struct PartnerGateway;

impl Gateway for PartnerGateway {
    fn name(&self) -> &'static str {
        "partner-gateway"
    }

    fn sections(&self) -> Vec<Section> {
        config::sections()
    }

    fn keys(&self, loaded: &Loaded) -> Result<MemoryKeys, Diagnostics> {
        keys::records(loaded)
    }

    fn endpoints(&self, kit: &Kit<'_>) -> Result<Endpoints, Diagnostics> {
        let limits = kit.loaded.section(config::WEBHOOK_ENDPOINTS)?;
        Ok(webhook_endpoints::endpoints(WebhookEndpoints::new(limits, kit.kept.get())))
    }

    fn commands(&self) -> Vec<Command> {
        vec![keys::issue::command()]
    }

    fn run_command(&self, arguments: &ArgMatches, loaded: &Loaded) -> ExitCode {
        keys::issue::run(arguments, loaded)
    }
}
