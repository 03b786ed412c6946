//! The platform as written: one type for each section of the configuration, one field for each
//! key.
//!
//! Keys that every gateway needs have their value in config/defaults.toml, so their fields are
//! plain; an `Option` is a key that inherits or may be left out. Nothing here decides anything:
//! names are names, patterns and templates are text, until the gateway compiles them.
//!
//! Read in this order: [`Platform`], then `listener`, `service`, `route`, `aggregate`.
//!
//! Not here: sections that only one gateway knows (its own `config.rs`), what must hold between
//! keys (`rules`).

mod aggregate;
mod auth;
mod browser;
pub(crate) mod exposure;
mod gate;
mod identity;
mod limit;
mod listener;
mod reload;
mod route;
mod service;
mod targets;
mod tls;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::layers::places::Places;

pub use self::aggregate::{
    Aggregate, Aggregation, Batch, CacheScope, Conflict, HeaderRule, Merge, Need, Part, PartCache,
    View,
};
pub use self::auth::{
    ApiKeyAuth, Auth, CertificateName, ClientCertificateAuth, Issuer, JwtAuth, OneOrMore, Scheme,
    SessionAuth, SigningAlgorithm,
};
pub use self::browser::{Cors, SecurityHeaders};
pub use self::gate::{BodySchema, Canary, CanaryKey, Decide, Maintenance, Redirect, Respond};
pub use self::identity::{Assertion, Claims, ClaimsOverride, Identity};
pub use self::limit::{
    Limit, LimitKey, LimitKeyPart, LimitKeys, LimitRate, LimitScope, Policy, RateLimit,
};
pub use self::listener::{Admin, Gateway, Log, Server};
pub use self::reload::Reload;
pub use self::route::{BodyRule, RequestRules, ResponseRules, Route};
pub use self::service::{Service, ServiceProtocol, ServiceTls, Upstream};
pub use self::targets::{
    Balance, Breaker, BreakerOverride, Ejection, EjectionOverride, Health, HealthCheck, Target,
};
pub use self::tls::{
    Certificate, ClientCertificates, PlainListener, ProxyProtocol, Tls, TlsVersion,
};
pub use self::traces::Traces;

/// The configuration of one gateway, all layers merged.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Who this gateway is and what it offers.
    pub gateway: Gateway,
    /// The listener that clients reach.
    pub server: Server,
    /// The listener that operators reach.
    pub admin: Admin,
    /// Diagnostics and access lines.
    pub log: Log,
    /// Noticing that the configuration has changed.
    pub reload: Reload,
    /// Spans of some requests.
    pub traces: Traces,
    /// How services are told who calls.
    pub identity: Identity,
    /// How services are told that a request came through a gateway.
    pub assertion: Assertion,
    /// What holds for every service that says nothing else.
    pub upstream: Upstream,
    /// What holds for every route that says nothing else.
    pub policy: Policy,
    /// Bounds of all limits together.
    pub rate_limit: RateLimit,
    /// Pages of other origins.
    pub cors: Cors,
    /// What browsers are told about every answer.
    pub security_headers: SecurityHeaders,
    /// Ceilings of every aggregate.
    pub aggregation: Aggregation,
    /// How callers prove who they are, by scheme.
    #[serde(default)]
    pub auth: Auth,
    /// Limits, by name.
    #[serde(default)]
    pub limits: BTreeMap<String, Limit>,
    /// Services, by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// Routes, by name.
    #[serde(default)]
    pub routes: BTreeMap<String, Route>,
    /// Aggregates, by name.
    #[serde(default)]
    pub aggregates: BTreeMap<String, Aggregate>,
    /// Views of aggregates, by name.
    #[serde(default)]
    pub views: BTreeMap<String, View>,
}

impl Platform {
    /// Every tier that a limit has a rate of its own for.
    #[must_use]
    pub fn tiers(&self) -> BTreeSet<String> {
        self.limits.values().flat_map(|limit| limit.rate.tiers()).cloned().collect()
    }

    /// Puts the parts of each aggregate in the order in which they are declared.
    pub(crate) fn keep_order(&mut self, places: &Places) {
        for (name, aggregate) in &mut self.aggregates {
            aggregate.keep_order(name, places);
        }
    }
}
