//! From a configuration to what is served: everything that can be wrong with it is found here,
//! before anything is bound, and before anything that serves is changed.

use std::sync::Arc;
use std::time::Duration;

use shared_config::platform::Platform;
use shared_config::{Diagnostic, Diagnostics, Loaded};
use tracing_subscriber::EnvFilter;

use super::listeners::Listeners;
use super::{Gateway, Kept, Kit};
use crate::auth::session::SessionLifetime;
use crate::clock::Clock;
use crate::metric::Metrics;
use crate::observability::diagnostics;
use crate::site::Site;
use crate::site::compile::{Compiled, IssuerKeys};
use crate::stores::Vault;
use crate::stores::memory::{MemoryKeys, MemoryVault};

/// What outlives every configuration, and what each is compiled on.
#[derive(Debug, Clone)]
pub(crate) struct Foundation {
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) vault: Vault,
    pub(crate) kept: Kept,
}

impl Foundation {
    /// That of a process which begins with this configuration.
    pub(crate) fn new(platform: &Platform, clock: Clock) -> Self {
        let (sessions_max, lifetime) = session_bounds(platform);
        Self {
            clock,
            metrics: Arc::new(Metrics::new()),
            vault: Vault::Memory(Arc::new(MemoryVault::new(sessions_max, lifetime))),
            kept: Kept::default(),
        }
    }
}

/// What is made of a configuration.
pub(crate) struct Prepared {
    pub(crate) compiled: Compiled,
    pub(crate) listeners: Listeners,
    pub(crate) keys: MemoryKeys,
    pub(crate) log_level: EnvFilter,
}

impl Prepared {
    /// The site that would be served.
    pub(crate) const fn site(&self) -> &Site {
        &self.compiled.site
    }

    /// What is not wrong yet.
    pub(crate) fn warnings(&self) -> &[Diagnostic] {
        &self.listeners.warnings
    }
}

/// Compiles a configuration for a gateway. `issuers` are those of the configuration before it.
///
/// # Errors
///
/// Every error at once.
pub(crate) fn prepare(
    gateway: &dyn Gateway,
    loaded: &Loaded,
    foundation: &Foundation,
    issuers: &[IssuerKeys],
) -> Result<Prepared, Diagnostics> {
    let Foundation { clock, metrics, vault, kept } = foundation;
    let keys = gateway.keys(loaded)?;
    let endpoints = gateway.endpoints(&Kit { loaded, vault, clock, kept })?;
    let compiled = crate::site::compile(loaded, &endpoints, metrics, issuers);
    let (compiled, listeners) = both(compiled, Listeners::compile(loaded, clock))?;
    let level = &loaded.platform.log.level;
    let log_level = diagnostics::parse(level).map_err(|error| {
        let wrong = Diagnostic::at(loaded, &["log", "level"], &**level, error.to_string());
        Diagnostics::from_iter([wrong])
    })?;
    Ok(Prepared { compiled, listeners, keys, log_level })
}

/// Two outcomes as one, with the errors of both.
fn both<A, B>(
    first: Result<A, Diagnostics>,
    second: Result<B, Diagnostics>,
) -> Result<(A, B), Diagnostics> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => Err(first.err().into_iter().chain(second.err()).flatten().collect()),
    }
}

/// How many sessions, and how long they last. Without `[auth.session]` there are none.
pub(crate) fn session_bounds(platform: &Platform) -> (usize, SessionLifetime) {
    let none = SessionLifetime { idle_timeout: Duration::ZERO, lifetime: Duration::ZERO };
    platform.auth.session.as_ref().map_or((1, none), |session| {
        let (idle_timeout, lifetime) = (session.idle_timeout.get(), session.lifetime.get());
        (session.sessions_max, SessionLifetime { idle_timeout, lifetime })
    })
}
