//! What a running process cannot change: what it is bound to, and what its threads were born with.

use shared_config::{Changes, Diagnostics, Loaded, Section};

/// What can change, by the beginnings of the keys. Whatever is not listed takes a restart, so that
/// a key which nobody thought of here is refused and not ignored.
const MAY_CHANGE: [&[&str]; 28] = [
    &["gateway", "prefix"],
    &["gateway", "scheme"],
    &["gateway", "expose"],
    &["gateway", "priority"],
    &["gateway", "tier_priority"],
    &["server", "body_timeout"],
    &["server", "target_size_max"],
    &["server", "body_size_max"],
    &["server", "trusted_proxies"],
    &["server", "allow"],
    &["server", "deny"],
    &["server", "tls"],
    &["admin", "token"],
    &["log", "level"],
    &["identity"],
    &["assertion"],
    &["auth"],
    &["upstream"],
    &["services"],
    &["limits"],
    &["policy"],
    &["rate_limit"],
    &["routes"],
    &["aggregates"],
    &["views"],
    &["aggregation"],
    &["cors"],
    &["security_headers"],
];

const REASON: &str = "takes a restart: a running gateway cannot change it";

/// Whether all of the changes can be made. A gateway's own sections always can: its endpoints are
/// made anew.
///
/// # Errors
///
/// One for each key that takes a restart.
pub(super) fn none_needed(
    changes: &Changes,
    newer: &Loaded,
    own: &[Section],
) -> Result<(), Diagnostics> {
    let fixed = changes.iter().filter(|change| {
        let path = change.path();
        let is_own = own.iter().any(|section| path.first() == Some(&section.key()));
        // Certificates can change, but not whether a listener speaks TLS.
        let is_whole_tls = path == ["server", "tls"];
        !is_own && (is_whole_tls || !MAY_CHANGE.iter().any(|may| path.starts_with(may)))
    });
    Diagnostics::none_or(fixed.map(|change| change.diagnostic(newer, REASON)))
}
