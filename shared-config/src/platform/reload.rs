//! `[reload]`: noticing that the configuration has changed.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Duration;

/// `[reload]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Time between two looks at the files; `0s`: nobody looks.
    pub watch_interval: Duration,
}
