//! What of the old site goes on in the new one.

use std::sync::Arc;

use shared_config::Changes;

use crate::site::Site;

/// What tokens are verified by. Another key of these, and what was verified is verified again.
const OF_TOKENS: [&[&str]; 3] =
    [&["auth", "jwt"], &["identity", "claims"], &["identity", "default_tier"]];

/// Gives `new` what it has in common with `old`.
pub(super) fn carry_over(old: &Site, new: &mut Site, changes: &Changes) {
    keep_services(old, new);
    if !OF_TOKENS.iter().any(|path| changes.touch(path)) {
        new.jwt.clone_from(&old.jwt);
    }
    // Entity tags that browsers hold stay good.
    new.etag_secret = old.etag_secret;
}

/// A target that is still in the same place, under the same bounds, goes on: connections, requests
/// in flight, and what is known about its health. So do the WebSockets that are open to a service,
/// and what its load has taught: what is left of its retry budget, and how many calls it is given at
/// a time.
fn keep_services(old: &Site, new: &mut Site) {
    for service in &mut new.services {
        if let Some(before) = old.services.iter().find(|before| before.name == service.name) {
            service.targets.adopt(&before.targets);
            service.adopt_load(before);
            if service.websockets.max() == before.websockets.max() {
                service.websockets = Arc::clone(&before.websockets);
            }
        }
    }
}
