//! Rules of routes and views: what answers, who may call, how often.

use super::{Node, Report, aggregates, gate};
use crate::platform::exposure;

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    for (_, route) in root.get("routes").entries() {
        answerer(root, &route, report);
    }
    for (name, view) in root.get("views").entries() {
        aggregate(root, name, &view, report);
        protection(root, &view, report);
        decision(root, name, &view, report);
    }
    for (_, route) in offered(root) {
        protection(root, &route, report);
    }
    exposed(root, report);
}

/// The routes that this gateway offers: those it answers itself, and the exposed ones to
/// services.
pub(super) fn offered<'a>(root: &Node<'a>) -> Vec<(&'a str, Node<'a>)> {
    let patterns: Vec<&str> =
        root.find(["gateway", "expose"]).texts().map(|(pattern, _)| pattern).collect();
    let is_offered = |name: &str, route: &Node<'_>| {
        gate::answers_itself(route) || exposure::is_exposed(patterns.iter().copied(), name)
    };
    root.get("routes").entries().filter(|(name, route)| is_offered(name, route)).collect()
}

/// A service or the gateway itself.
fn answerer(root: &Node<'_>, route: &Node<'_>, report: &mut Report<'_>) {
    gate::answerer(route, report);
    let service = route.get("service");
    if let Some(name) = service.text() {
        report.require_known(&service, name, &root.get("services"), "service");
    }
}

fn aggregate(root: &Node<'_>, name: &str, view: &Node<'_>, report: &mut Report<'_>) {
    let aggregates = root.get("aggregates");
    let written = view.get("aggregate");
    match written.text() {
        Some(name) => report.require_known(&written, name, &aggregates, "aggregate"),
        None if written.is_written() => {}
        None => report.require_known(view, name, &aggregates, "aggregate"),
    }
}

/// Nobody forgets who may call and how often: without a scheme or a limit, a route says why.
fn protection(root: &Node<'_>, route: &Node<'_>, report: &mut Report<'_>) {
    if gate::is_constant(route) {
        return;
    }
    let service = route.get("service").text().map(|name| root.find(["services", name]));
    let inherits = |key| service.as_ref().is_some_and(|service| service.get(key).is_written());
    let has_scheme = inherits("scheme") || root.find(["gateway", "scheme"]).is_written();
    let has_limit = inherits("limits") || root.find(["policy", "limits"]).is_written();
    exemption(route, "public", ("scheme", has_scheme), report);
    exemption(route, "unlimited", ("limits", has_limit), report);
}

/// A service that decides about a service's routes is not asked about a view of the same answers:
/// the view has a decision of its own, or says why not.
fn decision(root: &Node<'_>, name: &str, view: &Node<'_>, report: &mut Report<'_>) {
    // What it would inherit is seen to below.
    exemption(view, "undecided", ("decide", true), report);
    let is_said = ["decide", "undecided", "public"].iter().any(|key| view.get(key).is_written());
    if is_said || root.find(["policy", "decide"]).is_written() {
        return;
    }
    let aggregate = view.get("aggregate").text().unwrap_or(name);
    let parts = root.find(["aggregates", aggregate, "parts"]);
    let is_decided = |service: &&str| root.find(["services", service, "decide"]).is_written();
    let decided = parts.entries().filter_map(|(_, part)| aggregates::called(&part));
    if let Some(service) = decided.into_iter().find(is_decided) {
        let reason = format!(
            "shows what {service} says, whose `decide` is not asked here, and has no `decide` of its \
             own, and no `undecided = \"reason\"`"
        );
        report.add(view, reason);
    }
}

/// A route has what it needs, its own or inherited, or else a reason; and not a reason beside its
/// own.
fn exemption(
    route: &Node<'_>,
    exemption: &str,
    (needed, is_inherited): (&str, bool),
    report: &mut Report<'_>,
) {
    let (reason, own) = (route.get(exemption), route.get(needed));
    if reason.text().is_some_and(|reason| reason.trim().is_empty()) {
        report.add(&reason, "must say why");
    }
    if reason.is_written() && own.is_written() {
        report.add(&own, format!("stands beside `{exemption}`; a route has one of the two"));
    }
    if !reason.is_written() && !own.is_written() && !is_inherited && route.is_table() {
        report.add(route, format!("has no `{needed}`, and no `{exemption} = \"reason\"`"));
    }
}

/// An entry that names no route is a mistake in spelling; only `*` may wait for the first one.
fn exposed(root: &Node<'_>, report: &mut Report<'_>) {
    let routes = root.get("routes");
    let to_services = || {
        let routes = routes.entries().filter(|(_, route)| !gate::answers_itself(route));
        routes.map(|(name, _)| name)
    };
    for (entry, node) in root.find(["gateway", "expose"]).texts() {
        if entry != "*" && !to_services().any(|name| exposure::names(entry, name)) {
            let name = entry.trim_start_matches('!');
            report.add_misnamed(&node, "names no route to a service", (name, to_services()));
        }
    }
}
