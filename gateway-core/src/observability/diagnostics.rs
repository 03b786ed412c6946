//! Diagnostics: what the gateway says about itself, on standard error.

use std::io;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

/// How diagnostics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line, for collectors.
    #[default]
    Json,
    /// One line of text, for people.
    Text,
}

/// A level or list of directives that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a level, or directives such as info,gateway_core::upstream=debug")]
pub struct InvalidDirectives;

/// Reads a level (`info`) or directives (`info,gateway_core::upstream=debug`).
///
/// # Errors
///
/// [`InvalidDirectives`] when any part of them is neither.
pub fn parse(directives: &str) -> Result<EnvFilter, InvalidDirectives> {
    // The library takes a misspelt level for a module's name, and would then show nothing else.
    let is_clear = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if !directives.split(',').all(is_clear) {
        return Err(InvalidDirectives);
    }
    EnvFilter::builder().parse(directives).map_err(|_| InvalidDirectives)
}

/// The filter in force, of whoever has begun this process's diagnostics.
static IN_FORCE: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Writes this process's diagnostics to standard error from now on.
///
/// Only the first call counts: several gateways in one process share one subscriber, and a program
/// that has installed its own keeps it.
pub fn init(filter: EnvFilter, format: Format) {
    let (filter, handle) = reload::Layer::new(filter);
    let (json, text) = match format {
        Format::Json => {
            (Some(fmt::layer().json().flatten_event(true).with_writer(io::stderr)), None)
        }
        Format::Text => (None, Some(fmt::layer().with_writer(io::stderr))),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(json).with(text);
    // Fails only when there is a subscriber already.
    if subscriber.try_init().is_ok() {
        let _ = IN_FORCE.set(handle);
    }
}

/// Writes down what this filter lets through from now on. Somebody else's subscriber stays as it is.
pub fn refilter(filter: EnvFilter) {
    // Fails only when the subscriber is gone.
    let _ = IN_FORCE.get().map(|handle| handle.reload(filter));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_levels_by_module() {
        for good in ["info", "off", "WARN", "info,gateway_core::upstream=debug"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["inof", "loud and clear", "gateway_core", "info,gateway_core=loud"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn diagnostics_may_be_started_twice() {
        for format in [Format::Json, Format::Text] {
            init(parse("off").expect("a level"), format);
        }
    }
}
