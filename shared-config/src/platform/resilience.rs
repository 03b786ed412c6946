//! `retry`, `retry_budget`, `concurrency` and `priority`: what is done about services that fail or
//! have too much to do. Each level says what it wants to differ; the rest is inherited.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::{ByteSize, Duration, Rate};

/// `[policy.retry]`: how calls are repeated that say nothing else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryDefaults {
    /// Attempts at one call, the first included; 1 repeats nothing.
    #[schemars(range(min = 1, max = 10))]
    pub attempts_max: u32,
    /// Statuses that are worth another attempt.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// Methods that are repeated, as far as they may be; absent: all of those.
    pub methods: Option<Vec<String>>,
    /// The longest wait before the second attempt; it doubles with each further one.
    #[schemars(extend("format" = "duration_or_zero"))]
    pub backoff_base: Duration,
    /// The longest wait before any attempt.
    #[schemars(extend("format" = "duration_or_zero"))]
    pub backoff_max: Duration,
    /// Time for one attempt; what takes longer is repeated. Absent: it is not.
    pub per_try_timeout: Option<Duration>,
    /// Longest request body that is kept for another attempt.
    pub replay_size_max: ByteSize,
}

/// `[services.*.retry]` and `[routes.*.retry]`: as in [`RetryDefaults`], key by key.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// As in [`RetryDefaults`].
    #[schemars(range(min = 1, max = 10))]
    pub attempts_max: Option<u32>,
    /// As in [`RetryDefaults`].
    #[schemars(inner(range(min = 400, max = 599)))]
    pub statuses: Option<Vec<u16>>,
    /// As in [`RetryDefaults`].
    pub methods: Option<Vec<String>>,
    /// As in [`RetryDefaults`].
    #[schemars(extend("format" = "duration_or_zero"))]
    pub backoff_base: Option<Duration>,
    /// As in [`RetryDefaults`].
    #[schemars(extend("format" = "duration_or_zero"))]
    pub backoff_max: Option<Duration>,
    /// As in [`RetryDefaults`].
    pub per_try_timeout: Option<Duration>,
    /// As in [`RetryDefaults`].
    pub replay_size_max: Option<ByteSize>,
}

impl RetryDefaults {
    /// The same where `level` says nothing else.
    #[must_use]
    pub fn with(&self, level: Option<&Retry>) -> Self {
        let Some(level) = level else { return self.clone() };
        Self {
            attempts_max: level.attempts_max.unwrap_or(self.attempts_max),
            statuses: level.statuses.as_ref().unwrap_or(&self.statuses).clone(),
            methods: level.methods.as_ref().or(self.methods.as_ref()).cloned(),
            backoff_base: level.backoff_base.unwrap_or(self.backoff_base),
            backoff_max: level.backoff_max.unwrap_or(self.backoff_max),
            per_try_timeout: level.per_try_timeout.or(self.per_try_timeout),
            replay_size_max: level.replay_size_max.unwrap_or(self.replay_size_max),
        }
    }
}

/// `[policy.retry_budget]` and `[services.*.retry_budget]`: what retries may add to a service's
/// load, all calls and all cores together.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryBudget {
    /// Retries for each hundred requests of the last ten seconds.
    #[schemars(range(max = 100))]
    pub percent: u32,
    /// Retries that there may be besides, whatever the requests.
    pub floor: Rate,
}

/// `[upstream.concurrency]` and `[services.*.concurrency]`: how many calls a service is given at a
/// time, found out from how long it takes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// An answer that begins later is too late; absent on all levels: the limit does not adapt, and
    /// there is none but `requests_in_flight_max`.
    pub latency_max: Option<Duration>,
    /// The limit never falls below.
    #[schemars(range(min = 1))]
    pub min: Option<u32>,
    /// The limit never grows above; absent: `requests_in_flight_max`.
    #[schemars(range(min = 1))]
    pub max: Option<u32>,
    /// Calls in flight, in percent of the limit, up to which partners' are let in.
    #[schemars(range(min = 1, max = 100))]
    pub partner_percent: Option<u32>,
    /// The same for batch calls.
    #[schemars(range(min = 1, max = 100))]
    pub batch_percent: Option<u32>,
    /// The same for parts that an answer can do without.
    #[schemars(range(min = 1, max = 100))]
    pub spare_percent: Option<u32>,
}

impl Concurrency {
    /// What `self` says, and what `above` says of the rest.
    #[must_use]
    pub fn or(&self, above: &Self) -> Self {
        Self {
            latency_max: self.latency_max.or(above.latency_max),
            min: self.min.or(above.min),
            max: self.max.or(above.max),
            partner_percent: self.partner_percent.or(above.partner_percent),
            batch_percent: self.batch_percent.or(above.batch_percent),
            spare_percent: self.spare_percent.or(above.spare_percent),
        }
    }
}

/// Who goes first where there is not room for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A person waits.
    Interactive,
    /// Integrators' programs.
    Partner,
    /// Programs that come again when they are refused.
    Batch,
}
