//! A call on its way: within its time, from the cache where it may, judged as it lands.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Environment, Job};
use crate::aggregation::call::Call;
use crate::aggregation::caller::{Caller, PartAnswer, PartCall, PartFailure};
use crate::aggregation::fields::Fields;
use crate::aggregation::judge::judge;
use crate::aggregation::part_cache::{CacheUse, PartKey, Value, Wanted, Whose};
use crate::aggregation::plan::{Part, Plan};
use crate::aggregation::status::Reason;
use crate::clock::Moment;
use crate::principal::IdentityText;

/// A call that has come to its end.
pub(super) struct Landing {
    pub(super) part: usize,
    pub(super) number: usize,
    pub(super) result: Result<Value, PartFailure>,
    pub(super) cache: Option<CacheUse>,
    pub(super) started: Duration,
    pub(super) landed: Duration,
    pub(super) waited: Option<Duration>,
    /// Whether a service was called for it.
    pub(super) is_called: bool,
    /// Whether the value is already what the view shows of it.
    pub(super) is_projected: bool,
}

/// The key of a call's answer, where it may be kept.
pub(super) fn key(part: &Part, call: &Call, whose: impl FnOnce() -> Whose) -> Option<PartKey> {
    let rule = part.cache?;
    let whose = if rule.is_shared { Whose::Everybodys } else { whose() };
    Some(PartKey::new(whose, &part.service_name, call, &part.recipe.text))
}

/// A call on its way.
pub(super) struct Flying<'a> {
    pub(super) plan: &'a Arc<Plan>,
    pub(super) job: Job,
    pub(super) key: Option<PartKey>,
    pub(super) shown: Option<&'a Fields>,
    pub(super) user_id: Option<&'a IdentityText>,
    pub(super) begun: Moment,
    pub(super) due: Moment,
}

/// How a call's value is come by.
enum Way<'a> {
    /// There is no time for it, or no such part.
    None(Reason),
    /// A service is called, and has so long.
    Called(&'a Part, BoxFuture<'static, Result<PartAnswer, PartFailure>>, Duration),
    /// From the cache where it may. Boxed: most parts have no cache, and all are as large as the
    /// largest.
    Cached(BoxFuture<'a, (Result<Value, PartFailure>, CacheUse)>),
}

impl<'a> Flying<'a> {
    /// The call begins at once; little of what it is made from has to be kept while it is waited
    /// for.
    pub(super) fn fly<C: Caller>(
        self,
        environment: &'a Environment<C>,
    ) -> impl Future<Output = Landing> + Send + use<'a, C> {
        let started = environment.clock.now();
        let (plan, shown, user_id) = (self.plan, self.shown, self.user_id);
        let (begun, part, number) = (self.begun, self.job.part, self.job.number);
        let has_time = !self.time_left(started).is_zero();
        let way = self.way(environment, started);
        async move {
            let (result, cache, waited) = match way {
                Way::None(reason) => (Err(reason.into()), None, None),
                Way::Cached(got) => {
                    let (result, cache) = got.await;
                    (result, Some(cache), None)
                }
                Way::Called(part, call, time_left) => {
                    let answer = in_time(time_left, call).await;
                    let waited = answer.as_ref().ok().map(|answer| answer.waited);
                    let user_id = user_id.map(IdentityText::as_str);
                    let judged =
                        answer.and_then(|answer| judge(plan, part, answer, user_id, shown));
                    (judged, None, waited)
                }
            };
            let is_projected = shown.is_some();
            let is_own = !matches!(cache, Some(CacheUse::Hit(_) | CacheUse::Collapsed));
            let is_left_out = matches!(&result, Err(PartFailure { reason: Reason::Brownout, .. }));
            let is_called = has_time && is_own && !is_left_out;
            if let (Some(part), Some(cache), false) = (plan.parts.get(part), cache, is_own) {
                environment.caller.kept(&part.name, cache, started);
            }
            let landed = environment.clock.now().since(begun);
            let started = started.since(begun);
            Landing {
                part,
                number,
                result,
                cache,
                started,
                landed,
                waited,
                is_called,
                is_projected,
            }
        }
    }

    fn time_left(&self, now: Moment) -> Duration {
        let left = self.due.since(now);
        let own = self.plan.parts.get(self.job.part).and_then(|part| part.deadline);
        own.map_or(left, |own| own.min(left))
    }

    fn way<C: Caller>(self, environment: &'a Environment<C>, started: Moment) -> Way<'a> {
        let Some(part) = self.plan.parts.get(self.job.part) else {
            return Way::None(Reason::Unavailable);
        };
        let time_left = self.time_left(started);
        let call = PartCall {
            part: Arc::clone(&part.name),
            service: part.service,
            call: self.job.call,
            is_spare: part.is_spare,
            says_who: !part.cache.is_some_and(|rule| rule.is_shared),
            began: started,
            time_left,
            size_max: self.plan.caps.part_size_max,
        };
        if let (Some(key), Some(rule)) = (self.key, part.cache) {
            let time_max = part.deadline.unwrap_or(self.plan.deadline);
            let part = Arc::clone(&part.label);
            let wanted = Wanted { key, rule, part, time_left, time_max };
            let place = (self.plan, self.job.part);
            return Way::Cached(cached(environment, place, wanted, self.user_id, call).boxed());
        }
        if time_left.is_zero() {
            return Way::None(Reason::Timeout);
        }
        Way::Called(part, environment.caller.call(call), time_left)
    }
}

/// A part's value from the cache, or by a call that others may wait for too.
async fn cached<C: Caller>(
    environment: &Environment<C>,
    (plan, place): (&Arc<Plan>, usize),
    wanted: Wanted,
    user_id: Option<&IdentityText>,
    call: PartCall,
) -> (Result<Value, PartFailure>, CacheUse) {
    let fetch = |time_left| {
        let (plan, user_id) = (Arc::clone(plan), user_id.cloned());
        let call = PartCall { time_left, began: environment.clock.now(), ..call };
        let answer = in_time(time_left, environment.caller.call(call));
        async move {
            let answer = answer.await?;
            let part = plan.parts.get(place).ok_or(Reason::Unavailable)?;
            judge(&plan, part, answer, user_id.as_ref().map(IdentityText::as_str), None)
        }
    };
    environment.cache.get(wanted, &environment.clock, fetch).await
}

/// Gives a call up when its time is over.
async fn in_time<T>(
    time_left: Duration,
    call: impl Future<Output = Result<T, PartFailure>>,
) -> Result<T, PartFailure> {
    match tokio::time::timeout(time_left, call).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Reason::Timeout.into()),
    }
}
