//! The gateway as the core sees it: its name, its own sections, its own endpoints.

use gateway_core::command::{Gateway, Kit};
use gateway_core::endpoint::Endpoints;
use shared_config::{Diagnostics, Section};

use crate::config;
use crate::push_tokens::{self, PushTokens};

/// The apps' gateway.
#[derive(Debug)]
pub struct MobileBff;

impl Gateway for MobileBff {
    fn name(&self) -> &'static str {
        "mobile-bff"
    }

    fn sections(&self) -> Vec<Section> {
        config::sections()
    }

    fn endpoints(&self, kit: &Kit<'_>) -> Result<Endpoints, Diagnostics> {
        let limits = kit.loaded.section(config::PUSH_TOKENS)?;
        Ok(push_tokens::endpoints(PushTokens::new(limits, kit.kept.get())))
    }
}
