//! Diagnostics: what the gateway says about itself, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

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

/// Writes this process's diagnostics to standard error from now on.
///
/// Only the first call counts: several gateways in one process share one subscriber, and a program
/// that has installed its own keeps it.
pub fn init(filter: EnvFilter, format: Format) {
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Fails only when there is a subscriber already.
    let _ = match format {
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
        Format::Text => builder.finish().try_init(),
    };
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
