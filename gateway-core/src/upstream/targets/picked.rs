//! One call's target, and what the call comes to.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::Targets;
use crate::clock::{Clock, Moment};
use crate::upstream::breaker::{Breaker, Change, Pass, Verdict};
use crate::upstream::client::Answer;
use crate::upstream::failed::CallFailed;
use crate::upstream::target::Target;

/// A call that was given less time than this says nothing of its target by being late.
const PATIENCE_MIN: Duration = Duration::from_millis(100);

/// A target that takes one call. Dropped without a report, the call was given up: that is its
/// target's failure only if the call was [within](Picked::within) a time, and had all of it.
#[derive(Debug)]
pub struct Picked<'a> {
    targets: &'a Targets,
    clock: &'a Clock,
    started: Moment,
    /// How long its target had; `None` where the client's own pace counts in.
    patience: Option<Duration>,
    target: Arc<Target>,
    /// `None` once it has been reported.
    passes: Option<Passes>,
}

/// What the breakers of a target gave a call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passes {
    breaker: Option<Pass>,
    ejection: Option<Pass>,
}

impl Passes {
    /// A call to `target`, if its breakers let it through.
    pub(super) fn take(target: &Target, now: Moment, minds_ejection: bool) -> Option<Self> {
        let condition = target.condition();
        let admitted = |breaker: &Option<Breaker>| match breaker {
            Some(breaker) => breaker.admit(now).map(Some),
            None => Some(None),
        };
        let breaker = admitted(&condition.breaker)?;
        let ejection = if minds_ejection { admitted(&condition.ejection) } else { Some(None) };
        if let (None, Some(pass), Some(refuses)) = (ejection, breaker, &condition.breaker) {
            // The place of a probe goes back.
            refuses.report(pass, Verdict::Unknown, now, || false);
        }
        Some(Self { breaker, ejection: ejection? })
    }
}

impl<'a> Picked<'a> {
    pub(super) fn new(
        targets: &'a Targets,
        clock: &'a Clock,
        started: Moment,
        (target, passes): (Arc<Target>, Passes),
    ) -> Self {
        Self { targets, clock, started, patience: None, target, passes: Some(passes) }
    }

    /// The same for a call whose request is at hand and that has only so much time: to be late is
    /// then its target's failure. A client that sends its body slowly must not be one.
    #[must_use]
    pub fn within(mut self, time_left: Duration) -> Self {
        self.patience = Some(time_left.min(self.target.settings().response_timeout));
        self
    }

    /// The same for a call that begins only now: the gateway itself has had it wait.
    #[must_use]
    pub fn from(mut self, now: Moment) -> Self {
        self.started = now;
        self
    }

    /// When the call began.
    #[must_use]
    pub const fn started(&self) -> Moment {
        self.started
    }

    /// Says what the call has come to, now.
    pub fn report(mut self, outcome: &Result<Answer, CallFailed>, now: Moment) {
        let (breaker, ejection) = match outcome {
            Ok(answer) => {
                self.target.condition().note_latency(now.since(self.started));
                let status = answer.response.status();
                let statuses = &self.target.settings().failures.breaker_statuses;
                let is_unserved = statuses.contains(&status.as_u16());
                (verdict(!is_unserved), verdict(!status.is_server_error()))
            }
            Err(failed) => {
                let is_its_own = match failed {
                    CallFailed::Unreachable(_)
                    | CallFailed::ConnectTimedOut(_)
                    | CallFailed::WriteTimedOut(_)
                    | CallFailed::ReadTimedOut(_)
                    | CallFailed::Broken(_) => true,
                    // The target's own time-out begins when it has the whole request.
                    CallFailed::ResponseTimedOut(limit) => {
                        *limit == self.target.settings().response_timeout
                            || self.patience.is_some_and(|_| *limit >= PATIENCE_MIN)
                    }
                    _ => false,
                };
                let verdict = if is_its_own { Verdict::Failed } else { Verdict::Unknown };
                (verdict, verdict)
            }
        };
        self.settle(breaker, ejection, now);
    }

    fn settle(&mut self, breaker: Verdict, ejection: Verdict, now: Moment) {
        let Some(passes) = self.passes.take() else { return };
        let condition = self.target.condition();
        if let (Some(pass), Some(own)) = (passes.breaker, &condition.breaker) {
            let change = own.report(pass, breaker, now, || true);
            self.note(change, ["breaker_opened", "breaker_closed"]);
        }
        if let (Some(pass), Some(own)) = (passes.ejection, &condition.ejection) {
            let _alone = (ejection == Verdict::Failed).then(|| self.targets.ejecting());
            let may_eject = || self.targets.may_eject(&self.target);
            let change = own.report(pass, ejection, now, may_eject);
            self.note(change, ["ejected", "returned"]);
        }
    }

    /// Each change is logged and counted once, by the call that made it.
    fn note(&self, change: Option<Change>, [opened, closed]: [&'static str; 2]) {
        // Before anything is made of its name: almost no call changes anything.
        let Some(change) = change else { return };
        let (service, target) = (self.target.name(), self.target.label());
        let event = match change {
            Change::Opened(pause) => {
                tracing::warn!(%service, target, ?pause, event = opened, "a target fails");
                opened
            }
            Change::Closed => {
                tracing::info!(%service, target, event = closed, "a target serves again");
                closed
            }
        };
        self.targets.count(&self.target, event);
    }
}

const fn verdict(has_succeeded: bool) -> Verdict {
    if has_succeeded { Verdict::Succeeded } else { Verdict::Failed }
}

impl Deref for Picked<'_> {
    type Target = Arc<Target>;

    fn deref(&self) -> &Arc<Target> {
        &self.target
    }
}

impl Drop for Picked<'_> {
    fn drop(&mut self) {
        if self.passes.is_none() {
            return;
        }
        let now = self.clock.now();
        // The timer of whoever gave the call up may ring a little before ours.
        let waited = now.since(self.started) + Duration::from_millis(2);
        let is_late =
            self.patience.is_some_and(|patience| waited >= patience && patience >= PATIENCE_MIN);
        let verdict = if is_late { Verdict::Failed } else { Verdict::Unknown };
        self.settle(verdict, verdict, now);
    }
}
