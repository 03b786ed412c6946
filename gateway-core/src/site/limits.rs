//! Limits in force: which apply to a route, whose bucket a request takes from, what is reported.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use prometheus_client::metrics::counter::Counter;
use smallvec::{SmallVec, smallvec};

use crate::clock::Moment;
use crate::metric::{Label, LimitOutcome, Metrics};
use crate::principal::Principal;
use crate::rate_limit::headers::{self, Applied};
use crate::rate_limit::{BucketKey, BucketState, Charge, KeyHasher, KeyPart, Quota, RateLimited};
use crate::stores::memory::MemoryBuckets;

/// Whose bucket a limit takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKey {
    /// The identified caller's.
    Consumer,
    /// The client address's, before anybody is identified.
    Address,
    /// The client address's, when nobody is identified.
    Anonymous,
    /// What several things make together.
    Several,
}

/// One of several things that make a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The client's address.
    Address,
    /// The identified caller; without one the limit does not concern a request.
    Consumer,
    /// A member of the body.
    Member(Box<str>),
}

/// A quota, and how it is announced.
#[derive(Debug, Clone)]
pub struct Rated {
    /// What is allowed.
    pub quota: Quota,
    /// Its item in `RateLimit-Policy`.
    pub policy: Box<str>,
}

/// What everybody has whose tier is not listed, and what each listed tier has.
#[derive(Debug, Clone)]
pub struct Rates {
    /// The rate of everybody else.
    pub default: Rated,
    /// Rates by tier.
    pub by_tier: Arc<[(Box<str>, Rated)]>,
}

/// A limit as a route has it.
#[derive(Debug, Clone)]
pub struct Limit {
    name: Arc<str>,
    /// The limit; where each route has buckets of its own, the route as well.
    id: u64,
    key: LimitKey,
    /// Of [`LimitKey::Several`], which.
    parts: Arc<[Part]>,
    rates: Rates,
    admitted: Counter,
    refused: Counter,
}

impl Limit {
    /// A limit with its counters.
    pub(super) fn new(
        name: &Arc<str>,
        id: u64,
        (key, parts): (LimitKey, Arc<[Part]>),
        rates: Rates,
        metrics: &Metrics,
    ) -> Self {
        let counter = |outcome| {
            let labels = LimitOutcome { limit: Label(Arc::clone(name)), outcome };
            metrics.limits.get_or_create_owned(&labels)
        };
        let (admitted, refused) = (counter("admitted"), counter("refused"));
        Self { name: Arc::clone(name), id, key, parts, rates, admitted, refused }
    }

    /// Its name in configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose bucket it takes from.
    #[must_use]
    pub const fn key(&self) -> LimitKey {
        self.key
    }

    /// What makes its key together; empty where it is one thing.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn rated(&self, principal: Option<&Principal>) -> &Rated {
        let tier = principal.map(|principal| principal.tier.as_str());
        let listed = self.rates.by_tier.iter().find(|(name, _)| Some(&**name) == tier);
        listed.map_or(&self.rates.default, |(_, rated)| rated)
    }

    /// The bucket this request takes from; `None` when the limit does not concern it.
    fn bucket(&self, hasher: &KeyHasher, subject: Subject<'_>) -> Option<BucketKey> {
        match (self.key, subject.principal) {
            (LimitKey::Consumer, Some(principal)) => {
                let user_id = principal.user_id.as_str();
                Some(hasher.consumer(self.id, principal.scheme, user_id))
            }
            (LimitKey::Address, _) | (LimitKey::Anonymous, None) => {
                Some(hasher.address(self.id, subject.client))
            }
            (LimitKey::Several, _) => {
                let parts: Option<Vec<KeyPart<'_>>> =
                    self.parts.iter().map(|part| part.of(subject)).collect();
                Some(hasher.several(self.id, &parts?))
            }
            (LimitKey::Consumer, None) | (LimitKey::Anonymous, Some(_)) => None,
        }
    }
}

impl Part {
    /// What it is of a request. A member that a body does not have is an empty text: whoever leaves
    /// it out shares a bucket with all who do.
    fn of<'a>(&self, subject: Subject<'a>) -> Option<KeyPart<'a>> {
        match self {
            Self::Address => Some(KeyPart::address(subject.client)),
            Self::Consumer => subject
                .principal
                .map(|principal| KeyPart::Consumer(principal.scheme, principal.user_id.as_str())),
            Self::Member(name) => {
                let said = subject.members.iter().find(|(known, _)| known == name);
                Some(KeyPart::Text(said.map_or("", |(_, value)| value)))
            }
        }
    }
}

/// The members of a body that limits are keyed by, each once.
#[must_use]
pub fn members(limits: &[Limit]) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = Vec::new();
    for part in limits.iter().flat_map(Limit::parts) {
        if let Part::Member(name) = part
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names.into()
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// Who asks, once identified.
    pub principal: Option<&'a Principal>,
    /// Members of its body, by name.
    pub members: &'a [(Box<str>, String)],
}

/// The buckets of this process, and how their keys are made.
#[derive(Debug)]
pub struct RateLimits {
    buckets: MemoryBuckets,
    hasher: KeyHasher,
}

impl RateLimits {
    /// At most so many buckets.
    #[must_use]
    pub fn new(buckets_max: usize) -> Self {
        Self { buckets: MemoryBuckets::new(buckets_max), hasher: KeyHasher::new() }
    }

    /// From now on at most so many buckets.
    pub fn resize(&self, buckets_max: usize) {
        self.buckets.resize(buckets_max);
    }

    /// Takes one from each bucket that `limits` concern, or from none of them.
    ///
    /// # Errors
    ///
    /// [`RateLimited`] when one of them is empty.
    pub fn charge<'a>(
        &self,
        limits: &'a [Limit],
        subject: Subject<'_>,
        now: Moment,
        applied: &mut Vec<Applied<'a>>,
    ) -> Result<(), RateLimited> {
        // Nearly always no more than fit in here.
        let mut concerned: SmallVec<[(&Limit, &Rated); 4]> = SmallVec::new();
        let mut charges: SmallVec<[Charge<'_>; 4]> = SmallVec::new();
        for limit in limits {
            if let Some(key) = limit.bucket(&self.hasher, subject) {
                let rated = limit.rated(subject.principal);
                charges.push(Charge { key, quota: &rated.quota, cost: 1 });
                concerned.push((limit, rated));
            }
        }
        let mut states: SmallVec<[BucketState; 4]> =
            smallvec![BucketState::default(); charges.len()];
        let is_admitted = self.buckets.admit_all(&charges, now, &mut states);
        let first = applied.len();
        for ((limit, rated), state) in concerned.iter().zip(states) {
            // Those that had room beside one that had none gave nothing.
            if is_admitted {
                limit.admitted.inc();
            } else if !state.is_admitted {
                limit.refused.inc();
            }
            let (name, policy, quota) = (&limit.name, &*rated.policy, &rated.quota);
            applied.push(Applied { name, policy, quota, state });
        }
        if is_admitted {
            return Ok(());
        }
        Err(RateLimited::of(applied.get(first..).unwrap_or_default()))
    }
}

/// What is left of the limits that were charged, for the answer's head.
pub fn report(applied: &[Applied<'_>], out: &mut Vec<(HeaderName, HeaderValue)>) {
    if !applied.is_empty() {
        headers::write(applied, out);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_is_refused_by_one_limit_was_admitted_by_none() {
        let metrics = Metrics::new();
        let limit = |name: &str, id, count| {
            let quota = Quota::build(count, Duration::from_secs(60), count).expect("a quota");
            let default = Rated { policy: headers::policy(name, &quota).into(), quota };
            let rates = Rates { default, by_tier: Arc::default() };
            Limit::new(&name.into(), id, (LimitKey::Address, Arc::default()), rates, &metrics)
        };
        let limits = [limit("wide", 1, 100), limit("narrow", 2, 1)];
        let charged = RateLimits::new(100);
        let subject = Subject { client: [203, 0, 113, 7].into(), principal: None, members: &[] };
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            let now = Moment::from_micros(1);
            outcomes.push(charged.charge(&limits, subject, now, &mut Vec::new()).is_ok());
        }
        assert_eq!(outcomes, [true, false, false]);
        let counted = limits.each_ref().map(|limit| (limit.admitted.get(), limit.refused.get()));
        assert_eq!(counted, [(1, 0), (1, 2)]);
    }
}
