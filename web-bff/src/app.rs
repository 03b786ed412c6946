//! The gateway as the core sees it: its name, its own section, its own endpoints.

use std::sync::Arc;

use gateway_core::auth::session::{SessionLifetime, SessionPolicy};
use gateway_core::command::{Gateway, Kit};
use gateway_core::endpoint::Endpoints;
use shared_config::{Diagnostic, Diagnostics, Section};

use crate::config;
use crate::login;
use crate::page;
use crate::session::Sessions;

/// The browser's gateway.
#[derive(Debug)]
pub struct WebBff;

impl Gateway for WebBff {
    fn name(&self) -> &'static str {
        "web-bff"
    }

    fn sections(&self) -> Vec<Section> {
        config::sections()
    }

    fn endpoints(&self, kit: &Kit<'_>) -> Result<Endpoints, Diagnostics> {
        let sessions = Sessions::new(kit.vault.clone(), Arc::new(policy(kit)?), kit.clock.clone());
        let login = config::login(kit.loaded)?;
        Ok(page::add_to(login::endpoints(login, sessions)))
    }
}

/// The sessions that this gateway begins are those that the core finds: one policy for both.
fn policy(kit: &Kit<'_>) -> Result<SessionPolicy, Diagnostics> {
    let wrong = |path: &[&str], value: &str, reason: String| {
        Diagnostics::from_iter([Diagnostic::at(kit.loaded, path, value, reason)])
    };
    let Some(written) = &kit.loaded.platform.auth.session else {
        let reason = "is missing: the gateway's own endpoints need sessions".to_owned();
        return Err(wrong(&["auth", "session"], "", reason));
    };
    let lifetime = SessionLifetime {
        idle_timeout: written.idle_timeout.get(),
        lifetime: written.lifetime.get(),
    };
    SessionPolicy::build(&written.cookie, lifetime)
        .map_err(|error| wrong(&["auth", "session", "cookie"], &written.cookie, error.to_string()))
}
