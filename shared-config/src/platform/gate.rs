//! What is decided at the gate, before a service hears of a request: `maintenance`, `decide`,
//! `body_schema`, `canary`, and routes that the gateway answers by itself (`respond`, `redirect`).
//!
//! `maintenance` and `decide` stand at the levels of policy, service and route (or view); the
//! nearest counts. `require` is a text, and stands beside them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::units::Duration;

/// `maintenance`: every request is answered 503 until this is gone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// When clients are to try again.
    pub retry_after: Duration,
    /// What they are told, beyond that.
    #[schemars(length(min = 1, max = 1_000))]
    pub detail: Option<String>,
}

/// `decide`: a service says whether a request may go on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Service and path: `POST policy-service:/v1/decide`.
    pub call: String,
    /// Time for its answer; without one in time the request is refused.
    #[serde(default = "decision_deadline")]
    pub deadline: Duration,
    /// How long an answer holds for the same question; absent: every request asks.
    pub cache: Option<Duration>,
}

const fn decision_deadline() -> Duration {
    Duration::from_millis(50)
}

/// `body_schema`: what a request's body must be. Exactly one of `file`, `schema` and `openapi`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodySchema {
    /// A file that holds a JSON Schema, beside the configuration.
    #[schemars(extend("x-json-file" = true))]
    pub file: Option<String>,
    /// The JSON Schema itself.
    pub schema: Option<BTreeMap<String, Value>>,
    /// A file that holds an OpenAPI document in JSON, beside the configuration.
    #[schemars(extend("x-json-file" = true))]
    pub openapi: Option<String>,
    /// The operation of that document, by its `operationId`.
    pub operation: Option<String>,
}

/// `canary`: some of a route's requests go to another service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The other service.
    pub service: String,
    /// How many of a hundred callers are sent there; parts of one count.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
    /// A request header field by which a caller chooses: `always` or `never`.
    pub header: Option<String>,
    /// What keeps a caller on one side.
    #[serde(default)]
    pub by: CanaryKey,
}

/// What keeps a caller on one side of a canary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CanaryKey {
    /// The user, at every gateway the same; where nobody is identified, the address.
    #[default]
    Identity,
    /// The client's address (IPv6: its /64).
    Address,
}

/// `respond`: the gateway answers with a constant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The status.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body; absent: none.
    pub body: Option<String>,
    /// The body's media type.
    #[serde(default = "plain_text")]
    #[schemars(length(min = 1))]
    pub content_type: String,
}

const fn ok() -> u16 {
    200
}

fn plain_text() -> String {
    "text/plain; charset=utf-8".to_owned()
}

/// `redirect`: the gateway answers with another place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// A path, with the parameters of `match`; or a URL whose host `policy.redirect_hosts` lists.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "temporary")]
    pub status: u16,
    /// Whether the client's query goes with it.
    #[serde(default = "yes")]
    pub keep_query: bool,
}

const fn temporary() -> u16 {
    307
}

const fn yes() -> bool {
    true
}
