//! Rules of what is decided at the gate: constants and redirects, canaries, decisions, schemas.

use serde_json::Value;

use super::{Node, Report};

/// What answers a route, one of these.
const ANSWERERS: [&str; 4] = ["service", "local", "respond", "redirect"];

/// What is never looked at where the gateway answers before anybody is identified.
const UNUSED: [&str; 14] = [
    "scheme",
    "scopes",
    "require",
    "decide",
    "limits",
    "unlimited",
    "maintenance",
    "canary",
    "body_schema",
    "rewrite",
    "request",
    "response",
    "deadline",
    "body_size_max",
];

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    decision(root, &root.find(["policy", "decide"]), report);
    for (name, service) in root.get("services").entries() {
        decision(root, &service.get("decide"), report);
        canary(root, &service.get("canary"), Some(name), report);
    }
    for (_, route) in root.get("routes").entries() {
        let service = route.get("service");
        decision(root, &route.get("decide"), report);
        canary(root, &route.get("canary"), service.text(), report);
        body_schema(&route.get("body_schema"), report);
        constant(&route, report);
        requirement(&route, report);
    }
    for (_, view) in root.get("views").entries() {
        decision(root, &view.get("decide"), report);
        requirement(&view, report);
    }
}

/// Whether the gateway answers a route by itself.
pub(super) fn answers_itself(route: &Node<'_>) -> bool {
    route.get("local").is_written() || is_constant(route)
}

/// Whether a route is answered as soon as it is found.
pub(super) fn is_constant(route: &Node<'_>) -> bool {
    ["respond", "redirect"].iter().any(|key| route.get(key).is_written())
}

/// A service, or the gateway itself, and only one of them.
pub(super) fn answerer(route: &Node<'_>, report: &mut Report<'_>) {
    let mut written = ANSWERERS.iter().filter(|key| route.get(key).is_written());
    match (written.next(), written.next()) {
        (None, _) if route.is_table() => {
            let reason = "must say what answers: `service`, `local`, `respond` or `redirect`";
            report.add(route, reason);
        }
        (Some(first), Some(second)) => {
            let reason = format!("stands beside `{first}`; a route has one of the two");
            report.add(&route.get(second), reason);
        }
        _ => {}
    }
}

/// A constant is for everybody, so whoever declares one says so.
fn constant(route: &Node<'_>, report: &mut Report<'_>) {
    let Some(kind) = ["respond", "redirect"].into_iter().find(|kind| route.get(kind).is_written())
    else {
        return;
    };
    if !route.get("public").is_written() {
        let reason = format!(
            "has `{kind}`, which is answered before anybody is identified, and no `public = \
             \"reason\"`"
        );
        report.add(route, reason);
    }
    for key in UNUSED {
        let node = route.get(key);
        if node.is_written() {
            report.add(&node, format!("is never used beside `{kind}`, which is answered at once"));
        }
    }
    let respond = route.get("respond");
    let status = respond.number("status");
    if matches!(status, Some(204 | 205 | 304)) && respond.get("body").is_written() {
        report.add(&respond.get("body"), "must be absent: answers of this status have no body");
    }
    let redirect = route.get("redirect");
    let is_redirect = |status| matches!(status, 301 | 302 | 303 | 307 | 308);
    if redirect.number("status").is_some_and(|status| !is_redirect(status)) {
        report.add(&redirect.get("status"), "must be 301, 302, 303, 307 or 308");
    }
}

/// Where nobody is identified, nothing can be required of anybody.
fn requirement(route: &Node<'_>, report: &mut Report<'_>) {
    let require = route.get("require");
    if require.is_written() && route.get("public").is_written() && !is_constant(route) {
        report.add(&require, "stands beside `public`: nobody is identified, so nobody could pass");
    }
}

fn decision(root: &Node<'_>, decide: &Node<'_>, report: &mut Report<'_>) {
    let call = decide.get("call");
    let Some(text) = call.text() else { return };
    let target = text.strip_prefix("POST ").and_then(|target| target.split_once(':'));
    match target {
        Some((service, path)) if path.starts_with('/') => {
            report.require_known(&call, service, &root.get("services"), "service");
        }
        _ => report.add(&call, "must read \"POST service:/path\""),
    }
}

fn canary(root: &Node<'_>, canary: &Node<'_>, service: Option<&str>, report: &mut Report<'_>) {
    if !canary.is_written() {
        return;
    }
    let other = canary.get("service");
    match (service, other.text()) {
        (None, _) => report.add(canary, "needs a `service` beside it that the others go to"),
        (Some(service), Some(other_name)) if service == other_name => {
            report.add(&other, "is the service that all the others go to");
        }
        (_, Some(other_name)) => {
            report.require_known(&other, other_name, &root.get("services"), "service");
        }
        (_, None) => {}
    }
    let nobody = canary.get("percent").value().and_then(Value::as_f64).is_none_or(|all| all == 0.0);
    if canary.is_table() && nobody && !canary.get("header").is_written() {
        report.add(canary, "sends nobody anywhere: set `percent`, `header` or both");
    }
}

fn body_schema(schema: &Node<'_>, report: &mut Report<'_>) {
    if !schema.is_table() {
        return;
    }
    let sources = ["file", "schema", "openapi"];
    if sources.iter().filter(|key| schema.get(key).is_written()).count() != 1 {
        report.add(schema, "must have one of `file`, `schema` and `openapi`");
    }
    if schema.get("openapi").is_written() != schema.get("operation").is_written() {
        report.add(schema, "must have `openapi` and `operation` together, or neither");
    }
}
