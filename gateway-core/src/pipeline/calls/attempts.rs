//! The attempts at one call: one, or where it may be repeated several, within its policy, its
//! service's budget, and its deadline.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{Either, ready};
use http::Request;
use tokio::time::sleep;

use super::{Called, Calling, Remake};
use crate::body::Body;
use crate::clock::Moment;
use crate::metric::{Label, ServiceOutcome};
use crate::trace_context::OpenSpan;
use crate::upstream::concurrency::Place;
use crate::upstream::retry::{Made, Next, RetryPolicy, Taken};
use crate::upstream::{self, Answer, Beside, CallFailed, InLine, Picked, Target};

/// The longest body of a failed answer that is read to keep its connection; with a longer one it is
/// hung up.
const DISCARDED_SIZE_MAX: usize = 64 * 1024;

impl<'a> Calling<'a> {
    /// Makes a call, again where that may help. What is not worth another attempt, or may not have
    /// one, is what came of the call.
    pub(super) async fn repeated(self, policy: &RetryPolicy, make: Remake<'_>) -> Called {
        let clock = &self.worker.core.clock;
        let load = &self.service.load;
        let began = clock.now();
        load.budget.note_request(began);
        let (mut tried, mut retry) = (Vec::new(), None::<Taken<'_>>);
        let (mut number, mut attempts) = (1, 0);
        loop {
            let started = clock.now();
            let time_left = policy.time_of(self.due.since(started));
            let due = started.after(time_left);
            let attempt = Self { due, ..self };
            // Before it is known whether there is room for it: whoever leaves meanwhile may have made it.
            let counted = retry.take().and_then(Taken::made);
            let called = attempt.attempt((number, started), (make(), true), Some(&mut tried)).await;
            attempts += called.attempts;
            if let Some(counted) = counted.filter(|_| called.attempts == 0) {
                counted.was_none();
            }
            let next = self.next(policy, number, &called.outcome, started);
            if number > 1 {
                self.count(came_to(policy, &called));
            }
            let outcome = called.outcome;
            let wait = match next {
                Next::After(wait) => wait,
                Next::Settled | Next::UsedUp => {
                    return self.all_ended(outcome, attempts, began);
                }
                Next::NoTime => {
                    self.count("past_deadline");
                    return self.all_ended(outcome, attempts, began);
                }
            };
            retry = load.budget.take(self.service.budget_share, clock.now());
            if retry.is_none() {
                self.count("budget_exhausted");
                return self.all_ended(outcome, attempts, began);
            }
            discard(outcome);
            if !wait.is_zero() {
                sleep(wait).await;
            }
            number += 1;
        }
    }

    fn next(
        &self,
        policy: &RetryPolicy,
        attempt: u32,
        outcome: &Result<Answer, CallFailed>,
        started: Moment,
    ) -> Next {
        let now = self.worker.core.clock.now();
        let typical = &self.service.load.typical;
        let (time_left, typical_time) = (self.due.since(now), typical.get());
        let made = Made { attempt, outcome, time_left, typical: typical_time };
        let next = policy.next(&made, &mut rand::rng());
        if policy.has_succeeded(outcome) {
            typical.note(now.since(started));
        }
        next
    }

    /// One attempt, at a target that is not among those that were `tried`, where there is one. The
    /// first is number 1; it has just `started`.
    ///
    /// Over HTTP/1.1 the request is written down at once, where there is a connection for it, and sent
    /// when the future is polled.
    pub(super) fn attempt(
        self,
        (number, started): (u32, Moment),
        (request, may_repeat): (Request<Body>, bool),
        tried: Option<&mut Vec<Arc<Target>>>,
    ) -> impl Future<Output = Called> + Send + use<'a> {
        // Not an async block, which would keep the call twice: as it began, and as it goes on.
        match self.begin((number, started), (request, may_repeat), tried) {
            Ok(Begun::Going(attempt, call)) => {
                Either::Left(call.map(move |outcome| self.ended(attempt, outcome)))
            }
            Ok(Begun::InLine(attempt, line)) => {
                let call = self.after_waiting(attempt, line, started);
                Either::Right(Either::Left(call.boxed()))
            }
            Err(failed) => {
                let called = self.observed(Err(failed), started, started);
                Either::Right(Either::Right(ready(called)))
            }
        }
    }

    /// An attempt for which the gateway has no connection yet: while it waits for one, neither its
    /// target nor its service has anything to do with it.
    async fn after_waiting(
        self,
        Attempt { mut target, mut place, span }: Attempt<'a>,
        line: InLine,
        started: Moment,
    ) -> Called {
        let clock = &self.worker.core.clock;
        let mut began = started;
        place = place.map(Place::mute);
        let outcome = match line.await {
            Ok(turn) => {
                self.attempts.add(1);
                began = clock.now();
                let time_left = self.due.since(began);
                target = target.from(began);
                if turn.request().body().is_at_hand() {
                    target = target.within(time_left);
                    place = place.map(Place::from_now);
                }
                let beside = self.beside(turn.request(), &span, time_left);
                let client = &self.worker.client;
                let outcome = client.call_in_turn(turn, beside, time_left).await;
                self.recount(&outcome);
                outcome
            }
            Err(failed) => Err(failed),
        };
        let ended = self.told(Attempt { target, place, span }, &outcome, began);
        self.observed(outcome, started, ended)
    }

    fn begin(
        &self,
        (number, started): (u32, Moment),
        (request, may_repeat): (Request<Body>, bool),
        tried: Option<&mut Vec<Arc<Target>>>,
    ) -> Result<
        Begun<'a, impl Future<Output = Result<Answer, CallFailed>> + Send + use<'a>>,
        CallFailed,
    > {
        let Self { worker, service, .. } = *self;
        let time_left = self.due.since(started);
        let mut place = self.enter()?;
        let others = tried.as_deref().map_or(&[][..], Vec::as_slice);
        let target = service.targets.pick_other(&worker.core.clock, started, others)?;
        if let Some(tried) = tried {
            tried.push(Arc::clone(&target));
        }
        // How long a body takes that is still arriving, is the client's to say: that neither
        // speaks against a target nor for fewer calls.
        let is_whole = request.body().is_at_hand();
        if !is_whole {
            place = place.map(Place::mute);
        }
        let span = self.span.attempt(number, &target);
        let says = |request: &Request<Body>| self.beside(request, &span, time_left);
        let call = worker.client.call_as(&target, (request, &says), may_repeat, time_left);
        Ok(match call {
            Ok(call) => {
                self.attempts.add(1);
                let target = if is_whole { target.within(time_left) } else { target };
                Begun::Going(Attempt { target, place, span }, call)
            }
            Err(line) => Begun::InLine(Attempt { target, place, span }, line),
        })
    }

    /// What a request that is sent now says beside what stands in it.
    fn beside(&self, request: &Request<Body>, span: &OpenSpan, time_left: Duration) -> Beside<'a> {
        let own = self.own_fields(request, span, time_left);
        let common = self.common.map(|common| &common.fields);
        Beside { common, own, wants: self.wants }
    }

    fn all_ended(
        &self,
        outcome: Result<Answer, CallFailed>,
        attempts: u32,
        began: Moment,
    ) -> Called {
        Called { outcome, attempts, began, took: self.worker.core.clock.now().since(began) }
    }

    fn count(&self, outcome: &'static str) {
        let service = Label(Arc::clone(&self.service.name));
        let labels = ServiceOutcome { service, outcome };
        self.worker.core.metrics.retries.get_or_create_owned(&labels).inc();
    }
}

/// An attempt that has begun.
enum Begun<'a, F> {
    Going(Attempt<'a>, F),
    /// Its connection is still to be waited for.
    InLine(Attempt<'a>, InLine),
}

/// What an attempt that is under way holds.
pub(super) struct Attempt<'a> {
    pub(super) target: Picked<'a>,
    /// Its place among the calls to its service.
    pub(super) place: Option<Place>,
    pub(super) span: OpenSpan,
}

/// What a retry came to. One that found no room, or no target, was no call.
fn came_to(policy: &RetryPolicy, retry: &Called) -> &'static str {
    match &retry.outcome {
        _ if retry.attempts == 0 => "refused",
        outcome if policy.has_succeeded(outcome) => "succeeded",
        _ => "failed",
    }
}

/// Lets go of an answer that is not passed on. Where all of it is there, its connection is used
/// again.
fn discard(outcome: Result<Answer, CallFailed>) {
    if let Ok(answer) = outcome {
        let body = answer.response.into_body();
        drop(upstream::collect(body, DISCARDED_SIZE_MAX).now_or_never());
    }
}
