//! Rules of aggregates: their parts' services, deadlines and fallbacks.

use super::{Node, Report};
use crate::units::Duration;

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    for (_, aggregate) in root.get("aggregates").entries() {
        let need = aggregate.get("need");
        if matches!(need.text(), Some("optional" | "fallback")) {
            report.add(&need, "must be \"required\" or absent; the others are for single parts");
        }
        for (_, part) in aggregate.get("parts").entries() {
            service(root, &part, report);
            deadline(&aggregate, &part, report);
            fallback(&part, report);
        }
    }
}

/// The service in `GET link-service:/links`.
fn service(root: &Node<'_>, part: &Node<'_>, report: &mut Report<'_>) {
    let call = part.get("call");
    let target = call.text().and_then(|call| call.split_once(' '));
    let Some((service, _)) = target.and_then(|(_, target)| target.split_once(":/")) else { return };
    report.require_known(&call, service, &root.get("services"), "service");
}

fn deadline(aggregate: &Node<'_>, part: &Node<'_>, report: &mut Report<'_>) {
    let own = part.get("deadline");
    let whole = aggregate.get("deadline").parsed::<Duration>();
    if let (Some(deadline), Some(whole)) = (own.parsed::<Duration>(), whole)
        && deadline > whole
    {
        report.add(&own, format!("must be at most the aggregate's, \"{whole}\""));
    }
}

fn fallback(part: &Node<'_>, report: &mut Report<'_>) {
    let need = part.get("need");
    let fallback = part.get("fallback");
    match (need.text(), fallback.is_set()) {
        (Some("fallback"), false) => report.add(&need, "needs a `fallback` value"),
        (Some(other @ ("required" | "optional")), true) => {
            let reason = format!("is never used, since `need = \"{other}\"`");
            report.add(&fallback, reason);
        }
        _ => {}
    }
}
