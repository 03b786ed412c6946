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

fn service(root: &Node<'_>, part: &Node<'_>, report: &mut Report<'_>) {
    if let Some(service) = called(part) {
        report.require_known(&part.get("call"), service, &root.get("services"), "service");
    }
}

/// The service in `GET link-service:/links`.
pub(super) fn called<'a>(part: &Node<'a>) -> Option<&'a str> {
    let (_, target) = part.get("call").text()?.split_once(' ')?;
    Some(target.split_once(":/")?.0)
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
