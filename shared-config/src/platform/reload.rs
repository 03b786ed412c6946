//! `[reload]`: noticing that the configuration has changed.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Duration;

/// `[reload]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Whether the files are looked at. SIGHUP and `POST /reload` work either way.
    pub watch: bool,
    /// Time between two looks at them.
    pub watch_interval: Duration,
}
