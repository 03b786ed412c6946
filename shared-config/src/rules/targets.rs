//! Rules of a service's targets: that there are some, and what a mesh leaves to its sidecar.

use super::{Node, Report};
use crate::units::Duration;

/// More than this is no list that people keep.
const TARGETS_MAX: usize = 64;

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    let upstream = root.get("upstream");
    lengths(&upstream, &upstream, report);
    for (_, service) in root.get("services").entries() {
        places(&service, report);
        mesh(&service, report);
        lengths(&service, &upstream, report);
        let path = service.find(["health", "path"]);
        if path.text().is_some_and(|text| !text.starts_with('/') || text.contains(['#', ' '])) {
            report.add(&path, "must be a path, such as \"/healthz\"");
        }
    }
}

fn places(service: &Node<'_>, report: &mut Report<'_>) {
    let targets = service.get("targets");
    if !service.get("url").is_set() && !targets.is_written() && service.is_table() {
        let reason =
            "must say where it is: `url = \"http://host:port\"`, or `targets = [{ url = … }]`";
        report.add_without_value(service, reason);
    }
    let mut known = Vec::new();
    for target in targets.elements() {
        let url = target.get("url");
        super::services::check_origin(&url, report);
        if let Some(text) = url.text() {
            if known.contains(&text) {
                report.add(&url, "stands here twice; give it a `weight` instead");
            }
            known.push(text);
        }
    }
    if targets.elements().count() > TARGETS_MAX {
        report.add_without_value(&targets, format!("has more than {TARGETS_MAX} targets"));
    }
}

/// The sidecar does all of this, and whoever does it twice multiplies attempts.
fn mesh(service: &Node<'_>, report: &mut Report<'_>) {
    let mesh = service.get("mesh");
    if !mesh.is_true() {
        return;
    }
    if service.get("targets").elements().count() > 1 {
        report.add(&mesh, "goes with one target: the sidecar knows the others; keep `url` alone");
    }
    for key in ["balance", "breaker", "ejection", "health", "retry", "retry_budget"] {
        let key = service.get(key);
        if key.is_set() {
            let reason =
                "stands beside `mesh = true`, which leaves this to the sidecar; remove one";
            report.add_without_value(&key, reason);
        }
    }
}

/// A pause, a window or an interval of nothing would be a loop without rest.
fn lengths(table: &Node<'_>, defaults: &Node<'_>, report: &mut Report<'_>) {
    for [section, key] in [
        ["breaker", "window"],
        ["breaker", "open_time"],
        ["ejection", "time"],
        ["health", "interval"],
        ["health", "timeout"],
    ] {
        let node = table.find([section, key]);
        if node.parsed().is_some_and(|length: Duration| length < Duration::from_millis(10)) {
            report.add(&node, "must be at least \"10ms\"");
        }
    }
    for keys in [["breaker", "open_time", "open_time_max"], ["ejection", "time", "time_max"]] {
        order(table, defaults, keys, report);
    }
    let interval = table.get("resolve_interval");
    if interval.parsed().is_some_and(|length: Duration| length < Duration::from_secs(1)) {
        report.add(&interval, "must be at least \"1s\"");
    }
}

/// The first pause is no longer than the longest; a service that sets one of the two inherits the
/// other.
fn order(
    table: &Node<'_>,
    defaults: &Node<'_>,
    [section, first_key, longest_key]: [&str; 3],
    report: &mut Report<'_>,
) {
    let written = |key| table.find([section, key]);
    let in_force = |key| {
        let inherited = || defaults.find([section, key]).parsed::<Duration>();
        written(key).parsed::<Duration>().or_else(inherited)
    };
    let (Some(first), Some(longest)) = (in_force(first_key), in_force(longest_key)) else { return };
    if first <= longest {
        return;
    }
    if written(first_key).is_set() {
        let reason = format!("must be at most `{section}.{longest_key}`, which is \"{longest}\"");
        report.add(&written(first_key), reason);
    } else if written(longest_key).is_set() {
        let reason = format!("must be at least `{section}.{first_key}`, which is \"{first}\"");
        report.add(&written(longest_key), reason);
    }
}
