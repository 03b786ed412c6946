//! `[limits.*]`, and which of them a route has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared_config::platform::{self, LimitRate, LimitScope};
use shared_config::units::Rate;

use super::Report;
use crate::metric::Metrics;
use crate::rate_limit::{Quota, headers};
use crate::site::limits::{Limit, LimitKey, Part, Rated, Rates};

/// The limits of one step that are charged together, at the most.
const CHARGED_TOGETHER_MAX: usize = 8;

/// The limits by name.
pub(super) struct Limits<'a> {
    named: BTreeMap<&'a str, Compiled>,
    metrics: &'a Metrics,
}

struct Compiled {
    name: Arc<str>,
    id: u64,
    key: LimitKey,
    parts: Arc<[Part]>,
    scope: LimitScope,
    rates: Rates,
}

impl<'a> Limits<'a> {
    pub(super) fn compile(report: &mut Report<'a>, metrics: &'a Metrics) -> Self {
        let default_tier = &report.platform().identity.default_tier;
        let mut named = BTreeMap::new();
        for (id, (name, limit)) in (0_u64..).zip(&report.platform().limits) {
            if let Some(compiled) = compile_one(report, id, name, limit, default_tier) {
                named.insert(name.as_str(), compiled);
            }
        }
        Self { named, metrics }
    }

    /// The limits of these names, for a route: those charged by address, and those charged once
    /// the caller is known. Each name counts once.
    pub(super) fn of_route<'n>(
        &self,
        names: impl IntoIterator<Item = &'n String>,
        route: usize,
    ) -> Result<(Vec<Limit>, Vec<Limit>), String> {
        let mut limits: Vec<Limit> = Vec::new();
        for name in names {
            if let Some(compiled) = self.named.get(name.as_str())
                && limits.iter().all(|limit| limit.name() != name)
            {
                limits.push(self.made(compiled, Some(route)));
            }
        }
        let split = limits.into_iter().partition(|limit| limit.key() == LimitKey::Address);
        let (by_address, by_consumer): (Vec<Limit>, Vec<Limit>) = split;
        if by_address.len().max(by_consumer.len()) > CHARGED_TOGETHER_MAX {
            return Err(format!("must be at most {CHARGED_TOGETHER_MAX} of a kind, all levels"));
        }
        Ok((by_address, by_consumer))
    }

    /// The limits by address that a request pays which matches no route.
    pub(super) fn by_address(&self, names: &[String]) -> Vec<Limit> {
        let compiled = names.iter().filter_map(|name| self.named.get(name.as_str()));
        let by_address = compiled.filter(|compiled| compiled.key == LimitKey::Address);
        by_address.map(|compiled| self.made(compiled, None)).collect()
    }

    fn made(&self, compiled: &Compiled, route: Option<usize>) -> Limit {
        // One bucket for all routes, or one for each: the route is part of the limit's id.
        let place = match compiled.scope {
            LimitScope::Shared => 0,
            LimitScope::Route => {
                route.and_then(|route| u64::try_from(route).ok()).map_or(u64::MAX >> 32, |n| n + 1)
            }
        };
        let id = (place << 32) | compiled.id;
        let key = (compiled.key, Arc::clone(&compiled.parts));
        Limit::new(&compiled.name, id, key, compiled.rates.clone(), self.metrics)
    }
}

fn compile_one(
    report: &mut Report<'_>,
    id: u64,
    name: &str,
    limit: &platform::Limit,
    default_tier: &str,
) -> Option<Compiled> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(is_name) {
        report.add(&["limits", name], name, "must be named by letters, digits, `-`, `_` and `.`");
        return None;
    }
    let mut rated = |rate: &Rate| {
        let quota = quota(*rate, limit.burst);
        let quota = report.keep(&["limits", name, "rate"], &rate.to_string(), quota)?;
        Some(Rated { policy: headers::policy(name, &quota).into(), quota })
    };
    let (rate, by_tier) = match &limit.rate {
        LimitRate::Same(rate) => (rated(rate), Vec::new()),
        LimitRate::ByTier(tiers) => {
            let by_tier =
                tiers.iter().map(|(tier, rate)| Some((tier.as_str().into(), rated(rate)?)));
            let by_tier: Vec<(Box<str>, Rated)> = by_tier.collect::<Option<_>>()?;
            let default = by_tier.iter().find(|(tier, _)| **tier == *default_tier);
            (default.map(|(_, rated)| rated.clone()), by_tier)
        }
    };
    let (key, parts) = key(&limit.key);
    Some(Compiled {
        name: name.into(),
        id,
        key,
        parts: parts.into(),
        scope: limit.scope,
        rates: Rates { default: rate?, by_tier: by_tier.into() },
    })
}

fn key(written: &platform::LimitKeys) -> (LimitKey, Vec<Part>) {
    let parts = match written {
        platform::LimitKeys::One(platform::LimitKey::Consumer) => {
            return (LimitKey::Consumer, vec![]);
        }
        platform::LimitKeys::One(platform::LimitKey::Address) => {
            return (LimitKey::Address, vec![]);
        }
        platform::LimitKeys::One(platform::LimitKey::Anonymous) => {
            return (LimitKey::Anonymous, vec![]);
        }
        platform::LimitKeys::Several(parts) => parts,
    };
    let parts = parts.iter().map(|part| match part {
        platform::LimitKeyPart::Address => Part::Address,
        platform::LimitKeyPart::Consumer => Part::Consumer,
        platform::LimitKeyPart::Body(member) => Part::Member(member.as_str().into()),
    });
    (LimitKey::Several, parts.collect())
}

fn quota(rate: Rate, burst: Option<u32>) -> Result<Quota, String> {
    let period: Duration = rate.period();
    let burst = burst.unwrap_or_else(|| rate.requests().get());
    Quota::build(rate.requests().get(), period, burst).map_err(|error| error.to_string())
}
