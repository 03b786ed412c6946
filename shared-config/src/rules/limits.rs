//! Rules of limits: that they exist where they are named, and cover every tier.

use super::{Node, Report};

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    for (_, limit) in root.get("limits").entries() {
        tiers(root, &limit, report);
    }
    let limits = root.get("limits");
    for names in naming_limits(root) {
        for (name, node) in names.texts() {
            report.require_known(&node, name, &limits, "limit");
        }
    }
}

/// Every key that names limits.
fn naming_limits<'a>(root: &Node<'a>) -> Vec<Node<'a>> {
    let tables = ["services", "routes", "views"].map(|table| root.get(table));
    let entries = tables.iter().flat_map(Node::entries);
    let named = entries.map(|(_, entry)| entry.get("limits"));
    std::iter::once(root.find(["policy", "limits"])).chain(named).collect()
}

fn tiers(root: &Node<'_>, limit: &Node<'_>, report: &mut Report<'_>) {
    let rate = limit.get("rate");
    if !rate.is_table() {
        return;
    }
    if limit.get("key").text().is_some_and(|key| key != "consumer") {
        let reason = "must be one rate: only a limit with `key = \"consumer\"` knows the tier";
        report.add(&rate, reason);
        return;
    }
    let default = root.find(["identity", "default_tier"]);
    if let Some(default) = default.text().filter(|tier| !rate.get(tier).is_written()) {
        let reason = format!("lacks a rate for {default:?}, the tier of whoever has no other");
        report.add(&rate, reason);
    }
}
