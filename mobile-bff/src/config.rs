//! The sections of configuration that only this gateway knows.

use schemars::JsonSchema;
use serde::Deserialize;
use shared_config::Section;

/// The section's key.
pub const PUSH_TOKENS: &str = "push_tokens";

/// `[push_tokens]`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushTokenLimits {
    /// Installations of one user; a further one takes the place of the one unused for longest.
    /// Too low logs tablets out of their notifications, too high keeps those of sold phones.
    #[serde(default = "per_user_max")]
    #[schemars(range(min = 1))]
    pub per_user_max: usize,
    /// Push tokens in memory, all users together; above this a new one is refused.
    #[serde(default = "total_max")]
    #[schemars(range(min = 1))]
    pub total_max: usize,
}

const fn per_user_max() -> usize {
    20
}

const fn total_max() -> usize {
    100_000
}

impl Default for PushTokenLimits {
    fn default() -> Self {
        Self { per_user_max: per_user_max(), total_max: total_max() }
    }
}

/// Every section that belongs to this gateway.
#[must_use]
pub fn sections() -> Vec<Section> {
    vec![Section::of::<PushTokenLimits>(PUSH_TOKENS)]
}
