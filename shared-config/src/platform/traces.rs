//! `[traces]`: which requests leave spans behind, and where those go.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Secret;
use crate::units::Duration;

/// `[traces]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where spans are posted to, as OTLP in protobuf; without one, none are recorded.
    pub endpoint: Option<String>,
    /// The share of requests that are recorded, where nobody has decided before.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// Whether the decision of a listed proxy holds.
    pub respect_parent: bool,
    /// Spans that wait for their export; above this they are dropped and counted.
    #[schemars(range(min = 1))]
    pub queue_max: usize,
    /// Spans of one export.
    #[schemars(range(min = 1))]
    pub batch_max: usize,
    /// How long spans wait for others.
    pub interval: Duration,
    /// Time for one export.
    pub timeout: Duration,
    /// Header fields of each export.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What else is known of this process.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}
