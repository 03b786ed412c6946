//! `[routes.*]`: which requests go where, and what is changed on the way.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Scheme;
use super::gate::{BodySchema, Canary, Decide, Maintenance, Redirect, Respond};
use crate::units::{ByteSize, Duration};

/// `[routes.*]`: exactly one of `service`, `local`, `respond` and `redirect` says what answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Method and path: `GET /links/{id}`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The service that answers.
    pub service: Option<String>,
    /// The gateway's own endpoint that answers.
    pub local: Option<String>,
    /// The constant that answers.
    pub respond: Option<Respond>,
    /// The other place that answers.
    pub redirect: Option<Redirect>,
    /// The path at the service, where it differs.
    pub rewrite: Option<String>,
    /// How callers prove who they are.
    pub scheme: Option<Scheme>,
    /// Why callers need not prove who they are.
    pub public: Option<String>,
    /// Scopes that a token or key must have, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What must hold of the caller, beside what the service and the policy require.
    pub require: Option<String>,
    /// The service that decides whether a request may go on.
    pub decide: Option<Decide>,
    /// Whether the route is closed for now.
    pub maintenance: Option<Maintenance>,
    /// The service that some of the requests go to.
    pub canary: Option<Canary>,
    /// What the body must be.
    pub body_schema: Option<BodySchema>,
    /// Why no limit applies, not even the inherited ones.
    pub unlimited: Option<String>,
    /// Limits, added to the inherited ones.
    #[serde(default)]
    pub limits: Vec<String>,
    /// The whole time for one request.
    pub deadline: Option<Duration>,
    /// Longest request body.
    pub body_size_max: Option<ByteSize>,
    /// Longest pause of a request body that may otherwise take its time.
    pub upload_idle_timeout: Option<Duration>,
    /// Longest silence of a stream.
    pub stream_idle_timeout: Option<Duration>,
    /// Whether WebSocket handshakes go to the service.
    pub websocket: Option<bool>,
    /// What is changed on the way to the service.
    #[serde(default)]
    pub request: RequestRules,
    /// What is changed on the way to the client.
    #[serde(default)]
    pub response: ResponseRules,
}

/// `[routes.*.request]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestRules {
    /// Header fields that replace what the client sent under their names.
    pub set_headers: BTreeMap<String, String>,
    /// Header fields that are added.
    pub append_headers: BTreeMap<String, String>,
    /// Header fields that the service does not see.
    pub remove_headers: Vec<String>,
    /// Query parameters that replace what the client sent under their names.
    pub query: BTreeMap<String, String>,
    /// Fields of a JSON body that the service does not see.
    pub remove_body_fields: Vec<String>,
}

/// `[routes.*.response]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseRules {
    /// Header fields that replace what the service sent under their names.
    pub set_headers: BTreeMap<String, String>,
    /// Header fields that are added.
    pub append_headers: BTreeMap<String, String>,
    /// Header fields that the client does not see.
    pub remove_headers: Vec<String>,
    /// Fields of a JSON body that the client does not see.
    pub remove_body_fields: Vec<String>,
    /// How the body is converted.
    pub body: Option<BodyRule>,
}

/// A conversion of a whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyRule {
    /// XML becomes JSON.
    XmlToJson,
}
