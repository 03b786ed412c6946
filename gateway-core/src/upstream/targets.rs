//! The targets of one service: which of them takes the next call.

use std::ops::Deref;
use std::sync::Arc;

use crate::clock::Clock;
use crate::upstream::client::Answer;
use crate::upstream::failed::CallFailed;
use crate::upstream::target::Target;

/// Where a service answers; shared by all cores.
#[derive(Debug)]
pub struct Targets {
    targets: Box<[Arc<Target>]>,
}

impl Targets {
    /// A service with one target.
    #[must_use]
    pub fn one(target: Target) -> Arc<Self> {
        Arc::new(Self { targets: Box::new([Arc::new(target)]) })
    }

    /// The target for the next call. Say what the call came to with [`Picked::report`]; a call
    /// that is given up says nothing.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Unavailable`] when no target takes calls now.
    pub fn pick<'a>(&'a self, clock: &'a Clock) -> Result<Picked<'a>, CallFailed> {
        self.pick_other(clock, &[])
    }

    /// The same for a call that is made again: a target that has not been tried, if one takes
    /// calls; otherwise any.
    ///
    /// # Errors
    ///
    /// As [`Targets::pick`].
    pub fn pick_other<'a>(
        &'a self,
        clock: &'a Clock,
        tried: &[Arc<Target>],
    ) -> Result<Picked<'a>, CallFailed> {
        let is_untried = |target: &&Arc<Target>| !tried.iter().any(|one| Arc::ptr_eq(one, target));
        let found = self.targets.iter().find(is_untried).or_else(|| self.targets.first());
        match found {
            Some(target) => Ok(Picked { target: Arc::clone(target), _clock: clock }),
            None => Err(CallFailed::Unavailable(std::time::Duration::from_secs(1))),
        }
    }

    /// Host and port of each target, as they stand in the configuration.
    pub fn authorities(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|target| target.authority())
    }
}

/// A target that takes one call.
#[derive(Debug)]
pub struct Picked<'a> {
    target: Arc<Target>,
    _clock: &'a Clock,
}

impl Picked<'_> {
    /// Says what the call came to.
    pub fn report(self, _outcome: &Result<Answer, CallFailed>) {}
}

impl Deref for Picked<'_> {
    type Target = Arc<Target>;

    fn deref(&self) -> &Arc<Target> {
        &self.target
    }
}
