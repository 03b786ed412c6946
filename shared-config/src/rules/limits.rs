//! Rules of limits: that they exist where they are named, and cover every tier.

use super::{Node, Report};
use crate::platform::LimitKeyPart;

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    for (_, limit) in root.get("limits").entries() {
        key(&limit.get("key"), report);
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

/// One thing, or a list of those that make a bucket together.
fn key(key: &Node<'_>, report: &mut Report<'_>) {
    const ONE: [&str; 3] = ["consumer", "address", "anonymous"];
    if let Some(text) = key.text().filter(|text| !ONE.contains(text)) {
        let reason = "must be one of \"consumer\", \"address\", \"anonymous\"";
        report.add_misnamed(key, reason, (text, ONE.into_iter()));
    }
    for (text, node) in key.texts() {
        if LimitKeyPart::try_from(text.to_owned()).is_err() {
            report.add(&node, "must be \"address\", \"consumer\" or \"body.\" and a member's name");
        }
    }
}

fn tiers(root: &Node<'_>, limit: &Node<'_>, report: &mut Report<'_>) {
    let rate = limit.get("rate");
    if !rate.is_table() {
        return;
    }
    let key = limit.get("key");
    let knows_tier = match key.text() {
        Some(text) => text == "consumer",
        None => key.texts().next().is_none() || key.texts().any(|(part, _)| part == "consumer"),
    };
    if !knows_tier {
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
