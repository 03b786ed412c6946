//! A call on its way: within its time, from the cache where it may, judged as it lands.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
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
    /// Whether there was time for a call of its own, and it was not left out.
    pub(super) is_begun: bool,
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

/// A call that begins.
pub(super) struct Departure<'a> {
    pub(super) job: Job,
    pub(super) key: Option<PartKey>,
    pub(super) shown: Option<&'a Fields>,
}

/// What all calls of an answer have in common.
#[derive(Clone, Copy)]
pub(super) struct Journey<'a> {
    pub(super) plan: &'a Arc<Plan>,
    pub(super) user_id: Option<&'a IdentityText>,
    pub(super) begun: Moment,
    pub(super) due: Moment,
}

/// A call on its way.
pub(super) struct Flight<'a, C> {
    environment: &'a Environment<C>,
    journey: Journey<'a>,
    place: usize,
    number: usize,
    shown: Option<&'a Fields>,
    started: Moment,
    has_time: bool,
    way: Way<'a>,
}

/// How a call's value is come by.
enum Way<'a> {
    /// There is no time for it, or no such part.
    NoCall(Reason),
    /// A service is called.
    Called {
        part: &'a Part,
        call: BoxFuture<'a, Result<PartAnswer, PartFailure>>,
        /// Whether it ends of itself when its time is over.
        is_timed: bool,
    },
    /// From the cache where it may.
    Cached(BoxFuture<'a, (Result<Value, PartFailure>, CacheUse)>),
}

impl<'a> Journey<'a> {
    fn time_left(&self, place: usize, now: Moment) -> Duration {
        let left = self.due.since(now);
        let own = self.plan.parts.get(place).and_then(|part| part.deadline);
        own.map_or(left, |own| own.min(left))
    }

    fn way<C: Caller>(
        self,
        Departure { job, key, .. }: Departure<'a>,
        environment: &'a Environment<C>,
        (started, time_left): (Moment, Duration),
    ) -> Way<'a> {
        let Some(part) = self.plan.parts.get(job.part) else {
            return Way::NoCall(Reason::Unavailable);
        };
        let call = PartCall {
            part: Arc::clone(&part.name),
            service: part.service,
            call: job.call,
            is_spare: part.is_spare,
            reads_fields: part.cache.is_some() || self.plan.keeps_headers(),
            says_who: !part.cache.is_some_and(|rule| rule.is_shared),
            began: started,
            time_left,
            is_refresh: false,
            size_max: self.plan.caps.part_size_max,
        };
        if let (Some(key), Some(rule)) = (key, part.cache) {
            let time_max = part.deadline.unwrap_or(self.plan.deadline);
            let part = Arc::clone(&part.label);
            let wanted = Wanted { key, rule, part, time_left, time_max };
            let place = (self.plan, job.part);
            return Way::Cached(cached(environment, place, wanted, self.user_id, call).boxed());
        }
        if time_left.is_zero() {
            return Way::NoCall(Reason::Timeout);
        }
        let call = environment.caller.call(call);
        match part.deadline {
            Some(_) => {
                let call = in_time(time_left, call).boxed();
                Way::Called { part, call, is_timed: true }
            }
            None => Way::Called { part, call, is_timed: false },
        }
    }
}

impl<'a, C: Caller> Flight<'a, C> {
    /// The call begins.
    pub(super) fn begin(
        departure: Departure<'a>,
        journey: Journey<'a>,
        environment: &'a Environment<C>,
    ) -> Self {
        let started = environment.clock.now();
        let Departure { job: Job { part: place, number, .. }, shown, .. } = departure;
        let time_left = journey.time_left(place, started);
        let has_time = !time_left.is_zero();
        let way = journey.way(departure, environment, (started, time_left));
        Self { environment, journey, place, number, shown, started, has_time, way }
    }

    /// The call is given up, because the answer is due; unless it sees to its own time, and comes
    /// back.
    pub(super) fn give_up(self) -> Result<Landing, Self> {
        match self.way {
            Way::Called { is_timed: false, .. } => {
                Ok(self.landing((Err(Reason::Timeout.into()), None, None)))
            }
            _ => Err(self),
        }
    }

    fn landing(&self, (result, cache, waited): Landed) -> Landing {
        let Self { environment, journey, place, number, shown, started, has_time, .. } = *self;
        let is_own = !matches!(cache, Some(CacheUse::Hit(_) | CacheUse::Collapsed));
        let is_left_out = matches!(&result, Err(PartFailure { reason: Reason::Brownout, .. }));
        if let (Some(part), Some(cache), false) = (journey.plan.parts.get(place), cache, is_own) {
            environment.caller.kept(&part.name, cache, started);
        }
        let is_begun = has_time && is_own && !is_left_out;
        let is_called = is_begun && result.as_ref().err().is_none_or(|failed| failed.was_called);
        // What was made of an answer is no time of its service.
        let landed = waited.map_or_else(|| environment.clock.now(), |waited| started.after(waited));
        Landing {
            part: place,
            number,
            result,
            cache,
            started: started.since(journey.begun),
            landed: landed.since(journey.begun),
            is_begun,
            is_called,
            is_projected: shown.is_some(),
        }
    }
}

/// A value or why there is none, what the cache had to do with it, and how long a service was waited
/// for.
type Landed = (Result<Value, PartFailure>, Option<CacheUse>, Option<Duration>);

impl<C: Caller> Future for Flight<'_, C> {
    type Output = Landing;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landing> {
        let this = self.get_mut();
        let landed = match &mut this.way {
            Way::NoCall(reason) => (Err((*reason).into()), None, None),
            Way::Cached(got) => {
                let (result, cache) = ready!(got.as_mut().poll(context));
                (result, Some(cache), None)
            }
            Way::Called { part, call, .. } => {
                let answer = ready!(call.as_mut().poll(context));
                let waited = answer.as_ref().ok().map(|answer| answer.waited);
                let Journey { plan, user_id, .. } = this.journey;
                let user_id = user_id.map(IdentityText::as_str);
                let judged =
                    answer.and_then(|answer| judge(plan, part, answer, user_id, this.shown));
                (judged, None, waited)
            }
        };
        Poll::Ready(this.landing(landed))
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
    let fetch = |time_left, is_refresh| {
        let (plan, user_id) = (Arc::clone(plan), user_id.cloned());
        let call = PartCall { time_left, is_refresh, began: environment.clock.now(), ..call };
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
