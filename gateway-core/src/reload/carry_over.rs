//! What of the old site goes on in the new one.

use std::collections::HashMap;
use std::sync::Arc;

use shared_config::Changes;

use crate::authorization::decision::DecisionPoint;
use crate::site::Site;

/// What tokens are verified by. Another key of these, and what was verified is verified again.
const OF_TOKENS: [&[&str]; 3] =
    [&["auth", "jwt"], &["identity", "claims"], &["identity", "default_tier"]];

/// Gives `new` what it has in common with `old`.
pub(super) fn carry_over(old: &Site, new: &mut Site, changes: &Changes) {
    keep_services(old, new);
    keep_decisions(old, new, changes);
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

/// What a service has decided holds on, as long as nothing about the service has changed.
fn keep_decisions(old: &Site, new: &Site, changes: &Changes) {
    let points = old.routes.iter().filter_map(|one| Some((&one.name, one.gate.decide.as_ref()?)));
    let points: HashMap<_, _> = points.collect();
    let of = |site: &Site, point: &DecisionPoint| {
        site.services.get(point.service).map(|service| service.name.clone())
    };
    for route in &new.routes {
        let Some(point) = &route.gate.decide else { continue };
        let (Some(before), Some(service)) = (points.get(&route.name), of(new, point)) else {
            continue;
        };
        let is_same = of(old, before).is_some_and(|name| name == service);
        if is_same && !changes.touch(&["services", &service]) {
            point.adopt(before);
        }
    }
}
