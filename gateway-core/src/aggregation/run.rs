//! A run: the parts of one answer, called as soon as what they read has landed.
//!
//! `Run` is made for each request: `Run::new` decides which parts are wanted, `Run::run` calls
//! them, and `compose` writes the answer.
//!
//! Invariants
//! - The body depends on what the services say, never on when they say it.
//! - A required part that fails ends the answer at once; whoever drops `Run::run` (a client that
//!   went away) drops every call that is under way.
//! - A part that the view does not show is called only when it is required, or read by one that is.
//! - A write runs last, alone, and only if nothing required has failed.
//!
//! Not here: identity headers, assertion, connections ([`Caller`] has them), what is kept of an
//! answer (`judge`).

mod flying;
mod slot;
mod under_way;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::{Clock, Moment};

use super::Selection;
use super::bindings::{Inputs, Scope};
use super::call::Call;
use super::caller::{Caller, PartFailure};
use super::failure::AggregateFailed;
use super::fields::Fields;
use super::items;
use super::judge::NULL;
use super::part_cache::{CacheUse, PartCache, Value, Whose};
use super::plan::place::Place;
use super::plan::{OnFailure, Plan};
use super::status::{Outcome, Reason, Report};
use super::template::Unfilled;

use self::flying::{Departure, Flight, Journey, Landing, key};
pub(super) use self::slot::Slot;
use self::slot::State;
use self::under_way::UnderWay;

/// What an answer is made with.
#[derive(Debug)]
pub struct Environment<C> {
    /// Makes the calls.
    pub caller: C,
    /// The time.
    pub clock: Clock,
    /// Answers that are kept.
    pub cache: Arc<PartCache>,
    /// When the answer is due, whatever the aggregate's own deadline.
    pub due: Moment,
}

/// The parts of one answer.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) plan: &'a Arc<Plan>,
    pub(super) fields: &'a Fields,
    inputs: &'a Inputs<'a>,
    params: &'a [Box<str>],
    pub(super) slots: Vec<Slot<'a>>,
    /// The parts' values, by number; empty where there is none.
    pub(super) values: Vec<Bytes>,
    queue: VecDeque<Job>,
    /// Since the run began: when the first call began and the last one landed.
    started: Option<Duration>,
    landed: Duration,
    /// Whether any call has come to its end that was not spared.
    has_begun: bool,
}

/// A call that is due.
#[derive(Debug)]
struct Job {
    part: usize,
    /// Of a `for_each`, the number of the call.
    number: usize,
    call: Call,
}

impl<'a> Run<'a> {
    /// Decides what is wanted. `params` are the names of the path parameters in `inputs`.
    pub(super) fn new(
        plan: &'a Arc<Plan>,
        selection: &'a Selection,
        inputs: &'a Inputs<'a>,
        params: &'a [Box<str>],
    ) -> Self {
        let Selection { fields, shown, called } = selection;
        let parts = plan.parts.iter().zip(shown).zip(called);
        let slots: Vec<Slot<'a>> =
            parts.map(|((part, shown), called)| Slot::of(part, *shown, *called)).collect();
        let values = vec![Bytes::new(); slots.len()];
        let queue = VecDeque::with_capacity(slots.len());
        Self {
            plan,
            fields,
            inputs,
            params,
            slots,
            values,
            queue,
            started: None,
            landed: Duration::ZERO,
            has_begun: false,
        }
    }

    /// Makes the calls, until all have landed or the answer cannot be had any more. `done` is told
    /// of each part as it is done.
    pub(super) async fn run<C: Caller>(
        &mut self,
        environment: &Environment<C>,
        mut done: impl FnMut(&Self, usize),
    ) -> Result<(), AggregateFailed> {
        let plan = self.plan;
        let begun = environment.clock.now();
        let due = environment.due.min(begun.after(plan.deadline));
        let calls_max = plan.caps.concurrent_calls_max.max(1);
        self.begin_ready(&mut done)?;
        let user_id = self.inputs.principal.map(|principal| &principal.user_id);
        let journey = Journey { plan, user_id, begun, due };
        let mut under_way = UnderWay::until(Instant::now() + due.since(begun));
        loop {
            while under_way.len() < calls_max
                && let Some(job) = self.queue.pop_front()
            {
                let shown = self.projected_at_once(job.part);
                let whose = || Whose::of(self.inputs.principal);
                let key = plan.parts.get(job.part).and_then(|part| key(part, &job.call, whose));
                let departure = Departure { job, key, shown };
                under_way.push(Flight::begin(departure, journey, environment));
            }
            let Some(landing) = under_way.next().await else { break };
            if let Some(part) = self.land(landing)? {
                done(self, part);
                self.begin_ready(&mut done)?;
            }
        }
        self.strip_homeless();
        self.check_any_delivered()
    }

    /// What was to stand in a part that is not there has no place, and is not delivered.
    fn strip_homeless(&mut self) {
        let is_missing: Vec<bool> = self.values.iter().map(Bytes::is_empty).collect();
        for slot in &mut self.slots {
            if let Place::Into { host, .. } = slot.part.place
                && is_missing.get(host) == Some(&true)
                && slot.outcome.is_delivered()
            {
                (slot.outcome, slot.reason) = (Outcome::Skipped, Some(Reason::MissingInput));
            }
        }
    }

    /// What became of the parts.
    pub(super) fn report(&self) -> Report {
        let mut services = Vec::with_capacity(self.slots.len());
        for slot in self.slots.iter().filter(|slot| slot.is_called) {
            if !services.contains(&slot.part.service) {
                services.push(slot.part.service);
            }
        }
        let upstream = self.landed.saturating_sub(self.started.unwrap_or_default());
        let slots = self.slots.iter().enumerate();
        let wanted = slots.filter(|(_, slot)| slot.state != State::Unwanted);
        let parts = wanted.map(|(number, slot)| slot.report(number)).collect();
        Report { parts, services, upstream }
    }

    /// Whether a part's value is projected while it is validated: nothing else looks into it.
    fn projected_at_once(&self, part: usize) -> Option<&'a Fields> {
        let slot = self.slots.get(part)?;
        let is_leaf = !slot.part.is_looked_into
            && slot.part.for_each.is_none()
            && slot.part.cache.is_none()
            && slot.part.recipe.contract.is_none()
            && slot.part.recipe.shape.is_none();
        let name = slot.part.place.member(&slot.part.name)?;
        if is_leaf && slot.is_shown { self.fields.child(name) } else { None }
    }

    /// Begins every part whose time has come; some are done at once.
    fn begin_ready(&mut self, done: &mut impl FnMut(&Self, usize)) -> Result<(), AggregateFailed> {
        let mut place = 0;
        while place < self.slots.len() {
            if !self.is_ready(place) {
                place += 1;
                continue;
            }
            self.begin(place)?;
            if self.slots.get(place).is_some_and(|slot| slot.state == State::Done) {
                done(self, place);
                // Somebody before it may have waited for it.
                place = 0;
            }
        }
        Ok(())
    }

    fn is_ready(&self, place: usize) -> bool {
        let Some(slot) = self.slots.get(place) else { return false };
        let is_over = |other: &Slot<'_>| matches!(other.state, State::Done | State::Unwanted);
        let mut reads = slot.part.waits_for.iter().filter_map(|&part| self.slots.get(part));
        let mut others = self.slots.iter().enumerate().filter(|(other, _)| *other != place);
        slot.state == State::Waiting
            && reads.all(is_over)
            && (!slot.part.call.is_write() || others.all(|(_, other)| is_over(other)))
    }

    fn begin(&mut self, place: usize) -> Result<(), AggregateFailed> {
        let Some(part) = self.plan.parts.get(place) else { return Ok(()) };
        let scope =
            Scope { inputs: self.inputs, params: self.params, values: &self.values, items: &[] };
        if part.when.as_ref().is_some_and(|when| !when.holds(&scope)) {
            self.skip(place, Reason::Condition);
            return Ok(());
        }
        let Some(for_each) = &part.for_each else {
            return match part.call.fill(&scope) {
                Ok(call) => {
                    self.queue.push_back(Job { part: place, number: 0, call });
                    self.fly(place);
                    Ok(())
                }
                Err(unfilled) => self.unfilled(place, unfilled),
            };
        };
        let host = self.values.get(for_each.part).filter(|host| !host.is_empty());
        let planned = host
            .ok_or(Reason::MissingInput)
            .and_then(|host| items::plan(part, for_each, host, &scope, self.plan.caps.items_max));
        match planned {
            Ok((items, calls)) => {
                let calls = calls.into_iter().enumerate();
                self.queue.extend(calls.map(|(number, call)| Job { part: place, number, call }));
                let is_done = items.are_done();
                if let Some(slot) = self.slots.get_mut(place) {
                    slot.items = Some(items);
                }
                self.fly(place);
                if is_done { self.settle_items(place, None) } else { Ok(()) }
            }
            Err(reason) => self.fail(place, reason.into()),
        }
    }

    fn fly(&mut self, place: usize) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.state = State::Flying;
        }
    }

    /// The call cannot be made for this request.
    fn unfilled(&mut self, place: usize, unfilled: Unfilled) -> Result<(), AggregateFailed> {
        let Unfilled { reason, input, is_client_s } = unfilled;
        match self.slots.get(place) {
            Some(slot) if slot.part.is_required() && is_client_s => {
                let part = slot.part.name.clone();
                // Before anything was called there is nothing to report.
                let report = self.has_begun.then(|| Box::new(self.report()));
                Err(AggregateFailed::Input { part, reason, input, report })
            }
            _ => self.fail(place, reason.into()),
        }
    }

    /// Takes what has landed; the part's number when it is done with it.
    fn land(&mut self, landing: Landing) -> Result<Option<usize>, AggregateFailed> {
        let Landing { part: place, number, result, cache, is_projected, .. } = landing;
        let Landing { started, landed, is_begun, is_called, .. } = landing;
        self.has_begun |= is_begun;
        if cache.is_none_or(|used| !matches!(used, CacheUse::Hit(_))) {
            self.started = Some(self.started.map_or(started, |first| first.min(started)));
            self.landed = self.landed.max(landed);
        }
        let Some(slot) = self.slots.get_mut(place) else { return Ok(None) };
        // Of a call that there was no time for, no time is told: that is how it differs from one
        // that took too long.
        if is_begun || result.is_ok() {
            slot.note(started, landed, cache);
        }
        slot.is_called |= is_called;
        let Some(items) = &mut slot.items else {
            match result {
                Ok(value) => self.deliver(place, value, is_projected),
                Err(failure) => self.fail(place, failure)?,
            }
            self.check_size()?;
            return Ok(Some(place));
        };
        let instead = match &slot.part.on_failure {
            OnFailure::Value(value) => value,
            OnFailure::Null | OnFailure::FailAnswer => &NULL,
        };
        let batch = slot.part.for_each.as_ref().and_then(|for_each| for_each.batch.as_ref());
        items.land(number, result.as_ref().map(|value| &value.json), batch, instead);
        let (is_done, failure) = (items.are_done(), result.err());
        if let (Some(failure), true) = (failure, slot.part.is_required()) {
            self.fail(place, failure)?;
        }
        self.check_size()?;
        if is_done {
            self.settle_items(place, failure)?;
        }
        Ok(is_done.then_some(place))
    }

    fn deliver(&mut self, place: usize, value: Value, is_projected: bool) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.headers = value.headers;
        slot.is_projected = is_projected;
        (slot.state, slot.reason) = (State::Done, None);
        slot.outcome = slot.delivered();
        if let Some(known) = self.values.get_mut(place) {
            *known = value.json;
        }
    }

    /// All calls of a `for_each` have landed.
    fn settle_items(
        &mut self,
        place: usize,
        failure: Option<PartFailure>,
    ) -> Result<(), AggregateFailed> {
        let Some(slot) = self.slots.get_mut(place) else { return Ok(()) };
        let Some(items) = &slot.items else { return Ok(()) };
        let has_fallback = matches!(slot.part.on_failure, OnFailure::Value(_));
        let (outcome, reason) = items.outcome(has_fallback);
        if let (Outcome::Failed, Some(reason)) = (outcome, reason) {
            return self.fail(place, failure.unwrap_or(reason.into()));
        }
        let list = items.list();
        let outcome = if outcome == Outcome::Ok { slot.delivered() } else { outcome };
        (slot.state, slot.outcome, slot.reason) = (State::Done, outcome, reason);
        if let Some(known) = self.values.get_mut(place) {
            *known = list;
        }
        Ok(())
    }

    /// The part has failed, and the answer with it where it is required.
    fn fail(&mut self, place: usize, failure: PartFailure) -> Result<(), AggregateFailed> {
        let PartFailure { reason, retry_after, .. } = failure;
        let Some(slot) = self.slots.get_mut(place) else { return Ok(()) };
        (slot.reason, slot.retry_after) = (Some(reason), retry_after);
        slot.state = State::Done;
        let is_skipped =
            matches!(reason, Reason::MissingInput | Reason::InvalidInput | Reason::Brownout);
        let value = match &slot.part.on_failure {
            OnFailure::FailAnswer => {
                slot.outcome = Outcome::Failed;
                let part = slot.part.name.clone();
                let report = Box::new(self.report());
                return Err(AggregateFailed::Part { part, reason, retry_after, report });
            }
            OnFailure::Value(value) => {
                slot.outcome = Outcome::Fallback;
                value.clone()
            }
            OnFailure::Null => {
                slot.outcome = if is_skipped { Outcome::Skipped } else { Outcome::Failed };
                Bytes::new()
            }
        };
        if let Some(known) = self.values.get_mut(place) {
            *known = value;
        }
        Ok(())
    }

    fn skip(&mut self, place: usize, reason: Reason) {
        if let Some(slot) = self.slots.get_mut(place) {
            (slot.state, slot.outcome) = (State::Done, Outcome::Skipped);
            slot.reason = Some(reason);
        }
    }

    fn check_size(&self) -> Result<(), AggregateFailed> {
        let sizes = self.slots.iter().zip(&self.values).map(|(slot, value)| match &slot.items {
            Some(items) => items.size(),
            None => value.len(),
        });
        let size_max = self.plan.caps.answer_size_max;
        if sizes.sum::<usize>() > size_max { Err(self.too_large()) } else { Ok(()) }
    }

    /// The parts together are larger than an answer may be.
    pub(super) fn too_large(&self) -> AggregateFailed {
        let size_max = self.plan.caps.answer_size_max;
        AggregateFailed::TooLarge { size_max, report: Box::new(self.report()) }
    }

    /// An answer in which nothing is left to show is none.
    fn check_any_delivered(&self) -> Result<(), AggregateFailed> {
        let mut shown = self.slots.iter().filter(|slot| slot.is_shown);
        let is_any_delivered = shown.clone().any(|slot| slot.outcome.is_delivered());
        let is_gap = |slot: &Slot<'_>| {
            slot.outcome == Outcome::Failed || slot.reason == Some(Reason::Brownout)
        };
        if !is_any_delivered && shown.any(is_gap) {
            return Err(AggregateFailed::AllParts(Box::new(self.report())));
        }
        Ok(())
    }
}
