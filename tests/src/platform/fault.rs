//! Faults: what tests make a service do wrong.

use std::time::Duration;

use serde::Deserialize;

/// What the next requests meet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// How many requests.
    pub next: u32,
    /// Only requests for this path.
    pub path: Option<String>,
    /// Wait before answering.
    pub delay_ms: u64,
    /// Wait until the test releases the service.
    pub hold: bool,
    /// Answer with this status.
    pub status: Option<u16>,
    /// … pointing there.
    pub location: Option<String>,
    /// Never answer.
    pub hang: bool,
    /// Break the connection without an answer.
    pub reset: bool,
    /// Answer 200 with what is no JSON.
    pub garbage: bool,
    /// Answer 200 with a body that never ends.
    pub endless: bool,
}

impl Fault {
    pub(super) fn concerns(&self, path: &str) -> bool {
        self.next > 0 && self.path.as_deref().is_none_or(|only| only == path)
    }

    pub(super) const fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}
