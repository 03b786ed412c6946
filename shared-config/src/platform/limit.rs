//! `[limits.*]` and `[policy]`: how often a caller may call, and what every route inherits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{RetryBudget, RetryDefaults};
use crate::units::{Duration, Rate};

/// `[policy]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The whole time for one request, from its head to the end of the answer's head.
    pub deadline: Duration,
    /// Limits of every route; those of services and routes are added to them.
    pub limits: Vec<String>,
    /// How calls are repeated.
    pub retry: RetryDefaults,
    /// What retries may add to each service's load.
    pub retry_budget: RetryBudget,
}

/// `[rate_limit]`: bounds of all limits together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Buckets kept in memory.
    #[schemars(range(min = 1000))]
    pub buckets_max: usize,
}

/// `[limits.*]`: named once, used anywhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Whose bucket a request takes from.
    pub key: LimitKey,
    /// How often, for everybody or by tier.
    pub rate: LimitRate,
    /// Requests that may come at once; absent: as many as the rate allows in its period.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Whether routes share the bucket.
    #[serde(default)]
    pub scope: LimitScope,
}

/// Whose bucket a limit takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// The identified caller's.
    Consumer,
    /// The client address's, before anybody looks at credentials.
    Address,
    /// The client address's, when nobody is identified.
    Anonymous,
}

/// Which requests meet in one bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Those of all routes that name the limit.
    #[default]
    Shared,
    /// Those of one route.
    Route,
}

/// One rate for everybody, or one for each tier.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum LimitRate {
    /// `"100/min"`
    Same(Rate),
    /// `{ free = "100/min", pro = "1000/min" }`
    ByTier(BTreeMap<String, Rate>),
}

impl LimitRate {
    /// The tiers that have a rate of their own.
    pub fn tiers(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::Same(_) => None,
            Self::ByTier(rates) => Some(rates.keys()),
        }
        .into_iter()
        .flatten()
    }
}

impl JsonSchema for LimitRate {
    fn schema_name() -> Cow<'static, str> {
        "LimitRate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "format": "rate",
            "minProperties": 1,
            "additionalProperties": generator.subschema_for::<Rate>(),
        })
    }
}
