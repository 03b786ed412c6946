//! What a report says, where operators look: metrics and the record.

use std::sync::Arc;

use crate::aggregation::part_cache::CacheUse;
use crate::aggregation::status::{Outcome, PartReport, Reason, Report};
use crate::metric::{Label, PartCacheUse, PartOutcome};
use crate::pipeline::Worker;
use crate::pipeline::calls::joined;
use crate::record::{CacheOutcome, LateFacts};
use crate::site::{Aggregate, Site};

/// Counts the parts, and says what the record holds of them.
pub(super) fn note(
    worker: &Worker,
    site: &Site,
    aggregate: &Aggregate,
    report: &Report,
) -> LateFacts {
    report.parts.iter().for_each(|part| count(worker, aggregate, part));
    let called = report.services.iter().filter_map(|&index| site.services.get(index));
    let names: Vec<_> = called.map(|service| Arc::clone(&service.name)).collect();
    LateFacts {
        upstream_service: joined(&names),
        upstream: report.upstream,
        cache: cache(report),
        completeness: Some(report.completeness()),
        code: None,
    }
}

fn count(worker: &Worker, aggregate: &Aggregate, report: &PartReport) {
    let metrics = &worker.core.metrics;
    let part = || Label(Arc::clone(&report.part));
    let reason = report.reason.map_or("", Reason::as_str);
    let parts = || {
        let (aggregate, outcome) = (aggregate.label.clone(), report.outcome.as_str());
        let labels = PartOutcome { aggregate, part: part(), outcome, reason };
        metrics.parts.get_or_create_owned(&labels)
    };
    match aggregate.succeeded.get(report.number).filter(|_| report.outcome == Outcome::Ok) {
        Some(kept) => kept.get_or_init(parts).inc(),
        None => parts().inc(),
    };
    if let Some(used) = report.cache {
        let (aggregate, outcome) = (aggregate.label.clone(), used.as_str());
        let labels = PartCacheUse { aggregate, part: part(), outcome };
        metrics.part_cache.get_or_create_owned(&labels).inc();
    }
    if report.reason == Some(Reason::ForeignData) {
        let (aggregate, part) = (&*aggregate.label.0, &*report.part);
        tracing::error!(aggregate, part, "a service has answered with another user's data");
    }
}

/// One word for all parts that have a cache: a miss tells more than a hit.
fn cache(report: &Report) -> CacheOutcome {
    let mut outcome = CacheOutcome::None;
    for used in report.parts.iter().filter_map(|part| part.cache) {
        let one = match used {
            CacheUse::Hit(ttl) if ttl >= 0 => CacheOutcome::Hit,
            CacheUse::Hit(_) | CacheUse::StaleIfError(_) => CacheOutcome::Stale,
            CacheUse::Miss { .. } | CacheUse::Collapsed => CacheOutcome::Miss,
        };
        outcome = match (outcome, one) {
            (CacheOutcome::Miss, _) | (_, CacheOutcome::Miss) => CacheOutcome::Miss,
            (CacheOutcome::Stale, _) | (_, CacheOutcome::Stale) => CacheOutcome::Stale,
            (_, one) => one,
        };
    }
    outcome
}
