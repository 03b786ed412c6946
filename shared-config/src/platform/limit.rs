//! `[limits.*]` and `[policy]`: how often a caller may call, and what every route inherits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::gate::{Decide, Maintenance};
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
    /// What must hold of every identified caller.
    pub require: Option<String>,
    /// The service that decides whether requests may go on.
    pub decide: Option<Decide>,
    /// Whether everything is closed for now.
    pub maintenance: Option<Maintenance>,
    /// Hosts that redirects may lead to, beside the gateway's own.
    pub redirect_hosts: Vec<String>,
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
    pub key: LimitKeys,
    /// How often, for everybody or by tier.
    pub rate: LimitRate,
    /// Requests that may come at once; absent: as many as the rate allows in its period.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Whether routes share the bucket.
    #[serde(default)]
    pub scope: LimitScope,
}

/// Whose bucket a limit takes from: one thing, or several that make one bucket together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum LimitKeys {
    /// `"consumer"`
    One(LimitKey),
    /// `["address", "body.email"]`
    Several(Vec<LimitKeyPart>),
}

impl JsonSchema for LimitKeys {
    fn schema_name() -> Cow<'static, str> {
        "LimitKeys".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "minItems": 1,
            "items": { "type": "string" },
        })
    }
}

/// One of several things that make a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LimitKeyPart {
    /// `address`
    Address,
    /// `consumer`
    Consumer,
    /// `body.email`: a member of the request's JSON body.
    Body(String),
}

impl TryFrom<String> for LimitKeyPart {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "address" => Ok(Self::Address),
            "consumer" => Ok(Self::Consumer),
            other => match other.strip_prefix("body.").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Self::Body(name.to_owned())),
                None => Err("must be address, consumer, or body. and a member's name"),
            },
        }
    }
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
