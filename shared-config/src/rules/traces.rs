//! Rules of `[traces]`.

use super::services::{CREDENTIALS, Fault, url_fault};
use super::{Node, Report};
use crate::units::Duration;

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    let traces = root.get("traces");
    let endpoint = traces.get("endpoint");
    match endpoint.text().map(url_fault) {
        Some(Some(Fault::Credentials)) => report.add_without_value(&endpoint, CREDENTIALS),
        Some(Some(Fault::Shape)) => report.add(
            &endpoint,
            "must be the whole URL of a collector, such as \"http://127.0.0.1:4318/v1/traces\"",
        ),
        Some(None) | None => {}
    }
    let batch = traces.get("batch_max");
    let queue = traces.get("queue_max");
    if let (Some(batch_max), Some(queue_max)) = (batch.integer(), queue.integer())
        && batch_max > queue_max
    {
        report.add(&batch, "is above `traces.queue_max`: no batch would ever be full");
    }
    for key in ["interval", "timeout"] {
        let length = traces.get(key);
        if length.parsed::<Duration>().is_some_and(|length| length.get().is_zero()) {
            report.add(&length, "must be longer than nothing");
        }
    }
}
