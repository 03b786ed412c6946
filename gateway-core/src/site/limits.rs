//! Limits in force: which apply to a route, whose bucket a request takes from, what is reported.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use prometheus_client::metrics::counter::Counter;

use crate::clock::Moment;
use crate::metric::{Label, LimitOutcome, Metrics};
use crate::principal::Principal;
use crate::rate_limit::headers::{self, Applied};
use crate::rate_limit::{BucketKey, BucketState, Charge, KeyHasher, Quota, RateLimited};
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
    rates: Rates,
    admitted: Counter,
    refused: Counter,
}

impl Limit {
    /// A limit with its counters.
    pub(super) fn new(
        name: &Arc<str>,
        id: u64,
        key: LimitKey,
        rates: Rates,
        metrics: &Metrics,
    ) -> Self {
        let counter = |outcome| {
            let labels = LimitOutcome { limit: Label(Arc::clone(name)), outcome };
            metrics.limits.get_or_create_owned(&labels)
        };
        let (admitted, refused) = (counter("admitted"), counter("refused"));
        Self { name: Arc::clone(name), id, key, rates, admitted, refused }
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
            (LimitKey::Consumer, None) | (LimitKey::Anonymous, Some(_)) => None,
        }
    }
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// Who asks, once identified.
    pub principal: Option<&'a Principal>,
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
        let mut concerned: Vec<(&Limit, &Rated)> = Vec::with_capacity(limits.len());
        let mut charges = Vec::with_capacity(limits.len());
        for limit in limits {
            if let Some(key) = limit.bucket(&self.hasher, subject) {
                let rated = limit.rated(subject.principal);
                charges.push(Charge { key, quota: &rated.quota, cost: 1 });
                concerned.push((limit, rated));
            }
        }
        let mut states = vec![BucketState::default(); charges.len()];
        let is_admitted = self.buckets.admit_all(&charges, now, &mut states);
        let first = applied.len();
        for ((limit, rated), state) in concerned.iter().zip(states) {
            let counter = if state.is_admitted { &limit.admitted } else { &limit.refused };
            counter.inc();
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
