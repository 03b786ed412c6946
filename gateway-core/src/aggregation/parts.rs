//! The parts of one answer: called side by side, judged as they land, put together in order.
//!
//! `Parts` is made for each request: `Parts::prepare` decides which parts are called and with
//! what, `Parts::run` calls them, `Parts::body` writes the answer.
//!
//! Invariants
//! - The body depends on what the services say, never on when they say it.
//! - A required part that fails ends the answer at once; whoever drops `Parts::run` (a client
//!   that went away) drops every call that is under way.
//! - A part that the view does not show is called only when it is required.
//!
//! Not here: identity headers, assertion, trace context, connections ([`Caller`] has them).

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use crate::clock::{Clock, Moment};

use super::bindings::{Inputs, Unfilled};
use super::failure::AggregateFailed;
use super::fields::Fields;
use super::plan::{OnFailure, Part, Plan};
use super::projection::project;
use super::status::{Outcome, PartReport, Reason, Report};

/// Makes the calls of an aggregate: adds what the gateway says about the caller, and collects the
/// body.
pub trait Caller {
    /// Makes one call. Dropping the future gives it up. Redirects are not followed; any status is
    /// an answer.
    fn call(&self, call: PartCall<'_>) -> impl Future<Output = Result<PartAnswer, PartFailure>>;
}

/// One call to make.
#[derive(Debug, Clone)]
pub struct PartCall<'a> {
    /// The part's name, for spans and metrics.
    pub part: &'a str,
    /// The service, by the number that the plan's resolver gave.
    pub service: usize,
    /// The method.
    pub method: Method,
    /// The target.
    pub path_and_query: PathAndQuery,
    /// What is left of the part's time. It is kept by `parts`; a service may be told.
    pub time_left: Duration,
    /// The longest body to collect; a longer one is [`Reason::TooLarge`] while it is read.
    pub size_max: usize,
}

/// What a service answered.
#[derive(Debug, Clone)]
pub struct PartAnswer {
    /// The status, whatever it is.
    pub status: StatusCode,
    /// The `Retry-After` of a 429 or 503, where it is one in seconds.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: Bytes,
    /// Time spent waiting for the service.
    pub waited: Duration,
}

/// A call that brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartFailure {
    /// Why.
    pub reason: Reason,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

impl From<Reason> for PartFailure {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after: None }
    }
}

/// The parts of one answer.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    plan: &'a Plan,
    slots: Vec<Slot<'a>>,
    /// Since the run began: when the first call was sent and the last one landed.
    sent: Option<Duration>,
    landed: Duration,
}

/// One part's place in the answer.
#[derive(Debug)]
struct Slot<'a> {
    part: &'a Part,
    /// What the answer shows of it.
    shown: Option<&'a Fields>,
    /// Taken when it is called.
    target: Option<PathAndQuery>,
    value: Bytes,
    outcome: Outcome,
    reason: Option<Reason>,
    took: Option<Duration>,
}

/// A call that has come to its end.
struct Landing {
    slot: usize,
    answer: Result<PartAnswer, PartFailure>,
    started: Duration,
    landed: Duration,
}

const NULL: Bytes = Bytes::from_static(b"null");

impl<'a> Parts<'a> {
    /// Decides what is called. `params` are the names of the path parameters in `inputs`.
    pub(super) fn prepare(
        plan: &'a Plan,
        fields: &'a Fields,
        inputs: &Inputs<'_>,
        params: &[Box<str>],
    ) -> Result<Self, AggregateFailed> {
        let slots = Vec::with_capacity(plan.parts.len());
        let mut parts = Self { plan, slots, sent: None, landed: Duration::ZERO };
        for part in &plan.parts {
            let shown = fields.child(&part.name);
            let is_required = matches!(part.on_failure, OnFailure::FailAnswer);
            if shown.is_none() && !is_required {
                continue;
            }
            let mut slot = Slot::of(part, shown);
            match part.call.fill(inputs, params) {
                Ok(target) => slot.target = Some(target),
                Err(Unfilled { reason, input }) if is_required => {
                    return Err(AggregateFailed::Input { part: part.name.clone(), reason, input });
                }
                Err(Unfilled { reason, .. }) => slot.miss(reason),
            }
            parts.slots.push(slot);
        }
        Ok(parts)
    }

    /// Makes the calls, until all have landed or the answer cannot be had any more.
    pub(super) async fn run<C: Caller>(
        &mut self,
        caller: &C,
        clock: &Clock,
        due: Moment,
    ) -> Result<(), AggregateFailed> {
        let plan = self.plan;
        let begun = clock.now();
        let mut targets = self.targets().into_iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            let room = plan.caps.concurrent_calls_max.max(1) - under_way.len();
            under_way.extend(targets.by_ref().take(room).map(|(slot, part, target)| async move {
                let started = clock.now();
                let time_left = due.since(started);
                let call = PartCall {
                    part: &part.name,
                    service: part.service,
                    method: part.call.method.clone(),
                    path_and_query: target,
                    time_left: part.deadline.map_or(time_left, |own| own.min(time_left)),
                    size_max: plan.caps.part_size_max,
                };
                let answer = in_time(caller, call).await;
                let landed = clock.now().since(begun);
                Landing { slot, answer, started: started.since(begun), landed }
            }));
            let Some(landing) = under_way.next().await else { break };
            self.land(landing)?;
        }
        self.check_any_delivered()
    }

    /// What became of the parts.
    pub(super) fn report(&self) -> Report {
        let mut services = Vec::with_capacity(self.slots.len());
        for slot in self.slots.iter().filter(|slot| slot.took.is_some()) {
            if !services.contains(&slot.part.service) {
                services.push(slot.part.service);
            }
        }
        let upstream = self.landed.saturating_sub(self.sent.unwrap_or_default());
        Report { parts: self.slots.iter().map(Slot::report).collect(), services, upstream }
    }

    /// The answer: an object of the shown parts, in declaration order; `_meta` last.
    pub(super) fn body(&self, meta: Option<&Report>) -> Bytes {
        let names: usize = self.slots.iter().map(|slot| slot.part.name.len() + 4).sum();
        let mut body = Vec::with_capacity(self.size() + names + 2);
        body.push(b'{');
        for slot in self.slots.iter().filter(|slot| slot.shown.is_some()) {
            push_key(&mut body, &slot.part.name);
            body.extend_from_slice(&slot.value);
        }
        if let Some(report) = meta {
            push_key(&mut body, "_meta");
            report.write_meta(&mut body);
        }
        body.push(b'}');
        body.into()
    }

    fn targets(&mut self) -> Vec<(usize, &'a Part, PathAndQuery)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(place, slot)| Some((place, slot.part, slot.target.take()?))).collect()
    }

    fn land(&mut self, landing: Landing) -> Result<(), AggregateFailed> {
        let Some(slot) = self.slots.get_mut(landing.slot) else { return Ok(()) };
        let took = landing.landed.saturating_sub(landing.started);
        let waited = landing.answer.as_ref().map_or(took, |answer| answer.waited);
        let sent = landing.landed.saturating_sub(waited);
        self.sent = Some(self.sent.map_or(sent, |first| first.min(sent)));
        self.landed = self.landed.max(landing.landed);
        slot.took = Some(took);
        let value =
            landing.answer.and_then(|answer| slot.judge(answer, self.plan.caps.part_size_max));
        match (value, &slot.part.on_failure) {
            (Ok(value), _) => slot.deliver(value),
            (Err(PartFailure { reason, retry_after }), OnFailure::FailAnswer) => {
                slot.outcome = Outcome::Failed;
                slot.reason = Some(reason);
                let part = slot.part.name.clone();
                let report = Box::new(self.report());
                return Err(AggregateFailed::Part { part, reason, retry_after, report });
            }
            (Err(failure), _) => slot.miss(failure.reason),
        }
        let size_max = self.plan.caps.answer_size_max;
        if self.size() > size_max {
            let report = Box::new(self.report());
            return Err(AggregateFailed::TooLarge { size_max, report });
        }
        Ok(())
    }

    /// Bytes of all values that are there so far.
    fn size(&self) -> usize {
        let shown = self.slots.iter().filter(|slot| slot.shown.is_some());
        shown.map(|slot| slot.value.len()).sum()
    }

    /// An answer in which nothing is left to show is none.
    fn check_any_delivered(&self) -> Result<(), AggregateFailed> {
        let mut shown = self.slots.iter().filter(|slot| slot.shown.is_some());
        let is_any_delivered = shown.clone().any(|slot| slot.outcome.is_delivered());
        if !is_any_delivered && shown.any(|slot| slot.outcome == Outcome::Failed) {
            return Err(AggregateFailed::AllParts(Box::new(self.report())));
        }
        Ok(())
    }
}

impl<'a> Slot<'a> {
    /// A place whose part has not landed.
    const fn of(part: &'a Part, shown: Option<&'a Fields>) -> Self {
        let (outcome, reason) = (Outcome::Skipped, Some(Reason::Cancelled));
        Self { part, shown, target: None, value: Bytes::new(), outcome, reason, took: None }
    }

    /// What the answer shows of a service's answer, if it is one.
    fn judge(&self, answer: PartAnswer, size_max: usize) -> Result<Bytes, PartFailure> {
        let PartAnswer { status, retry_after, body, .. } = answer;
        if status.is_redirection() {
            return Err(Reason::Redirect.into());
        }
        if !status.is_success() {
            return Err(PartFailure { reason: Reason::Status(status), retry_after });
        }
        if body.is_empty() {
            return Ok(NULL);
        }
        if body.len() > size_max {
            return Err(Reason::TooLarge.into());
        }
        let body = match self.part.xml_to_json {
            Some(to_json) => Bytes::from(to_json(&body).ok_or(Reason::Unparsable)?),
            None => body,
        };
        if body.len() > size_max {
            return Err(Reason::TooLarge.into());
        }
        self.show(&body).ok_or_else(|| Reason::Unparsable.into())
    }

    /// What the answer shows of a JSON text; `None` when it is none. A part that is only required
    /// is validated all the same.
    fn show(&self, json: &Bytes) -> Option<Bytes> {
        match self.shown {
            Some(fields) => project(json, fields).ok(),
            None => project(json, &Fields::everything()).ok().map(|_| NULL),
        }
    }

    fn deliver(&mut self, value: Bytes) {
        (self.outcome, self.reason, self.value) = (Outcome::Ok, None, value);
    }

    /// There is no answer, for this reason, and the part is not required.
    fn miss(&mut self, reason: Reason) {
        self.reason = Some(reason);
        let fallback = match &self.part.on_failure {
            OnFailure::Value(json) => self.show(json),
            OnFailure::Null | OnFailure::FailAnswer => None,
        };
        self.outcome = match (&fallback, reason) {
            (Some(_), _) => Outcome::Fallback,
            (None, Reason::MissingInput | Reason::InvalidInput) => Outcome::Skipped,
            (None, _) => Outcome::Failed,
        };
        self.value = fallback.unwrap_or(NULL);
    }

    fn report(&self) -> PartReport {
        PartReport {
            part: self.part.name.clone(),
            outcome: self.outcome,
            reason: self.reason,
            took: self.took,
            weight: self.part.weight,
        }
    }
}

/// Makes a call unless, and only as long as, there is time for it.
async fn in_time<C: Caller>(caller: &C, call: PartCall<'_>) -> Result<PartAnswer, PartFailure> {
    let time_left = call.time_left;
    if time_left.is_zero() {
        return Err(Reason::Timeout.into());
    }
    match tokio::time::timeout(time_left, caller.call(call)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Reason::Timeout.into()),
    }
}

fn push_key(body: &mut Vec<u8>, name: &str) {
    if body.len() > 1 {
        body.push(b',');
    }
    body.push(b'"');
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\":");
}
