//! What goes on beside the calls: names are looked up again, endpoints are checked.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::upstream::client::Client;
use crate::upstream::connect::Connect;
use crate::upstream::health::keep_checked;
use crate::upstream::resolve::{SystemLookup, keep_resolved};
use crate::upstream::targets::Targets;

/// Watches over the targets of a service until they are gone, on `runtime`, over connections of
/// `client`. A service whose targets are addresses and that has no checks costs nothing.
pub fn watch<C: Connect>(runtime: &Handle, targets: &Arc<Targets>, client: &Arc<Client<C>>) {
    if targets.settings().resolve_interval.is_some() && !targets.names().is_empty() {
        runtime.spawn(keep_resolved(Arc::downgrade(targets), SystemLookup));
    }
    if targets.settings().health.is_some() {
        runtime.spawn(keep_checked(Arc::downgrade(targets), Arc::clone(client)));
    }
}
