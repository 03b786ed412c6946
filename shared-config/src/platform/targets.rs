//! The targets of a service: where they are, how they take turns, and what failures lead to.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Duration;

/// `services.*.targets[]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where it is: scheme, host and port, or a UNIX socket.
    pub url: String,
    /// Its share of the calls, against the other targets' weights.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// How targets take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The less loaded of two that are drawn at random.
    LeastRequest,
    /// One after the other.
    RoundRobin,
}

/// `[upstream.breaker]`: when a target's breaker refuses calls.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Whether there is one.
    pub enabled: bool,
    /// Failures without a success between them that open it.
    #[schemars(range(min = 1))]
    pub consecutive_failures: u32,
    /// Failed calls of a hundred that open it.
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: u32,
    /// Fewer calls than this in the window never open it by their share.
    #[schemars(range(min = 1))]
    pub requests_min: u32,
    /// How far back calls count.
    pub window: Duration,
    /// The first pause; each further one is twice as long.
    pub open_time: Duration,
    /// The longest pause.
    pub open_time_max: Duration,
    /// Calls that may try at once after a pause, and that must succeed.
    #[schemars(range(min = 1, max = 100))]
    pub probes: u32,
    /// Statuses that count as failures, beside calls without an answer.
    pub statuses: Vec<u16>,
}

/// `[upstream.ejection]`: when a target leaves the balance for a while.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// Whether any ever does.
    pub enabled: bool,
    /// Calls in a row that brought a 5xx or no answer.
    #[schemars(range(min = 1))]
    pub consecutive_failures: u32,
    /// How long the first time; each further one is twice as long.
    pub time: Duration,
    /// The longest time.
    pub time_max: Duration,
    /// Targets of a hundred that may be ejected at once; of two or more, one always may.
    #[schemars(range(max = 100))]
    pub percent_max: u32,
}

/// `[upstream.health]`: what holds for every check that says nothing else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Between two rounds of checks; up to a quarter more.
    pub interval: Duration,
    /// The whole time for one check.
    pub timeout: Duration,
    /// Checks in a row that make a target good again.
    #[schemars(range(min = 1))]
    pub healthy_after: u32,
    /// Checks in a row that make it bad.
    #[schemars(range(min = 1))]
    pub unhealthy_after: u32,
}

/// `[services.*.breaker]`; each key as in [`Breaker`].
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerOverride {
    /// As in [`Breaker`].
    pub enabled: Option<bool>,
    /// As in [`Breaker`].
    #[schemars(range(min = 1))]
    pub consecutive_failures: Option<u32>,
    /// As in [`Breaker`].
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<u32>,
    /// As in [`Breaker`].
    #[schemars(range(min = 1))]
    pub requests_min: Option<u32>,
    /// As in [`Breaker`].
    pub window: Option<Duration>,
    /// As in [`Breaker`].
    pub open_time: Option<Duration>,
    /// As in [`Breaker`].
    pub open_time_max: Option<Duration>,
    /// As in [`Breaker`].
    #[schemars(range(min = 1, max = 100))]
    pub probes: Option<u32>,
    /// As in [`Breaker`].
    pub statuses: Option<Vec<u16>>,
}

/// `[services.*.ejection]`; each key as in [`Ejection`].
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EjectionOverride {
    /// As in [`Ejection`].
    pub enabled: Option<bool>,
    /// As in [`Ejection`].
    #[schemars(range(min = 1))]
    pub consecutive_failures: Option<u32>,
    /// As in [`Ejection`].
    pub time: Option<Duration>,
    /// As in [`Ejection`].
    pub time_max: Option<Duration>,
    /// As in [`Ejection`].
    #[schemars(range(max = 100))]
    pub percent_max: Option<u32>,
}

/// `[services.*.health]`: its targets are checked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What is asked for, with GET: a path, perhaps with a query.
    pub path: String,
    /// The status that passes; any 2xx without it.
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// As in [`Health`].
    pub interval: Option<Duration>,
    /// As in [`Health`].
    pub timeout: Option<Duration>,
    /// As in [`Health`].
    #[schemars(range(min = 1))]
    pub healthy_after: Option<u32>,
    /// As in [`Health`].
    #[schemars(range(min = 1))]
    pub unhealthy_after: Option<u32>,
}

impl Breaker {
    /// With what a service says otherwise.
    #[must_use]
    pub fn with(&self, service: Option<&BreakerOverride>) -> Self {
        let Some(service) = service else { return self.clone() };
        Self {
            enabled: service.enabled.unwrap_or(self.enabled),
            consecutive_failures: service.consecutive_failures.unwrap_or(self.consecutive_failures),
            failure_percent: service.failure_percent.unwrap_or(self.failure_percent),
            requests_min: service.requests_min.unwrap_or(self.requests_min),
            window: service.window.unwrap_or(self.window),
            open_time: service.open_time.unwrap_or(self.open_time),
            open_time_max: service.open_time_max.unwrap_or(self.open_time_max),
            probes: service.probes.unwrap_or(self.probes),
            statuses: service.statuses.clone().unwrap_or_else(|| self.statuses.clone()),
        }
    }
}

impl Ejection {
    /// With what a service says otherwise.
    #[must_use]
    pub fn with(&self, service: Option<&EjectionOverride>) -> Self {
        let Some(service) = service else { return self.clone() };
        Self {
            enabled: service.enabled.unwrap_or(self.enabled),
            consecutive_failures: service.consecutive_failures.unwrap_or(self.consecutive_failures),
            time: service.time.unwrap_or(self.time),
            time_max: service.time_max.unwrap_or(self.time_max),
            percent_max: service.percent_max.unwrap_or(self.percent_max),
        }
    }
}
