//! `[limits.*]`, and which of them a route has.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
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

/// A route's section and its name there.
type RouteName<'a> = (&'a str, &'a str);

/// The limits by name.
pub(super) struct Limits<'a> {
    named: BTreeMap<&'a str, Compiled>,
    metrics: &'a Metrics,
}

struct Compiled {
    name: Arc<str>,
    /// Of its name and its definition: the same limit keeps its buckets over a reload, and one
    /// that has changed begins with full ones.
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
        for (name, limit) in &report.platform().limits {
            if let Some(compiled) = compile_one(report, name, limit, default_tier) {
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
        route: RouteName<'_>,
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

    fn made(&self, compiled: &Compiled, route: Option<RouteName<'_>>) -> Limit {
        // One bucket for all routes, or one for each: the route is part of the limit's id.
        let id = match compiled.scope {
            LimitScope::Shared => compiled.id,
            LimitScope::Route => hash(&(compiled.id, route)),
        };
        let key = (compiled.key, Arc::clone(&compiled.parts));
        Limit::new(&compiled.name, id, key, compiled.rates.clone(), self.metrics)
    }
}

fn compile_one(
    report: &mut Report<'_>,
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
        // Whatever is written about it, in one text.
        id: hash(&(name, format!("{limit:?}"))),
        key,
        parts: parts.into(),
        scope: limit.scope,
        rates: Rates { default: rate?, by_tier: by_tier.into() },
    })
}

/// The same in every site of a process. Names are the operator's: nobody looks for two of one hash.
fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
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
