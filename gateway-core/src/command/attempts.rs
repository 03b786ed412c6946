//! What `check` adds to the configuration: how many calls one request may make at worst.

use std::fmt::Write as _;

use crate::site::Site;

/// One comment line for each service. A connection that had died before it was used does not count:
/// nothing was asked over it.
pub(super) fn worst_case(site: &Site) -> String {
    let mut out = String::from("\n# One call to a service is at most so many attempts:\n");
    for service in &site.services {
        let name = &service.name;
        let attempts = service.attempts_max();
        let who_else =
            if service.is_mesh { ", and what the mesh's sidecar makes of each" } else { "" };
        let _ = writeln!(out, "# {name}: {attempts}{who_else}");
    }
    out
}
