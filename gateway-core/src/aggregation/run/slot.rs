//! A part's place in a run: how far it is, and what has become of it.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::aggregation::items::Items;
use crate::aggregation::part_cache::CacheUse;
use crate::aggregation::plan::Part;
use crate::aggregation::status::{Outcome, PartReport, Reason};

/// How far a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aggregation) enum State {
    /// Nobody needs it for this answer.
    Unwanted,
    /// What it reads has not landed.
    Waiting,
    /// Its calls are queued or under way.
    Flying,
    /// It has its outcome.
    Done,
}

/// One part's place.
#[derive(Debug)]
pub(in crate::aggregation) struct Slot<'a> {
    pub(in crate::aggregation) part: &'a Part,
    /// Whether the answer shows anything of it.
    pub(in crate::aggregation) is_shown: bool,
    pub(in crate::aggregation) state: State,
    pub(in crate::aggregation) outcome: Outcome,
    pub(in crate::aggregation) reason: Option<Reason>,
    pub(in crate::aggregation) took: Option<Duration>,
    /// Whether a service was called for it, and not only the cache asked.
    pub(in crate::aggregation) is_called: bool,
    started: Option<Duration>,
    /// Whether its value is already what the view shows of it.
    pub(in crate::aggregation) is_projected: bool,
    pub(in crate::aggregation) items: Option<Items>,
    pub(in crate::aggregation) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::aggregation) cache: Option<CacheUse>,
    /// When its service wants to be asked again, where that is why it failed.
    pub(super) retry_after: Option<Duration>,
    /// Whether anything in it is older than it should be.
    is_stale: bool,
}

impl<'a> Slot<'a> {
    /// A place whose part has not landed.
    pub(super) const fn of(part: &'a Part, is_shown: bool, is_called: bool) -> Self {
        Self {
            part,
            is_shown,
            state: if is_called { State::Waiting } else { State::Unwanted },
            outcome: Outcome::Skipped,
            reason: Some(Reason::Cancelled),
            took: None,
            is_called: false,
            started: None,
            is_projected: false,
            items: None,
            headers: Vec::new(),
            cache: None,
            retry_after: None,
            is_stale: false,
        }
    }

    pub(in crate::aggregation) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Notes a call that has landed: from the first call's start to the last one's landing.
    pub(super) fn note(&mut self, started: Duration, landed: Duration, cache: Option<CacheUse>) {
        let first = self.started.map_or(started, |first| first.min(started));
        self.started = Some(first);
        self.took = Some(landed.saturating_sub(first));
        self.is_stale |= cache.is_some_and(CacheUse::is_stale);
        // Of several calls, one that had to be made tells more than one that had not.
        self.cache = match (self.cache, cache) {
            (Some(CacheUse::Hit(known)), Some(CacheUse::Hit(ttl))) => {
                Some(CacheUse::Hit(known.min(ttl)))
            }
            (Some(CacheUse::Hit(_)) | None, used) => used.or(self.cache),
            (known, _) => known,
        };
    }

    /// What a part is that has all it wants.
    pub(super) const fn delivered(&self) -> Outcome {
        match self.cache {
            _ if self.is_stale => Outcome::Stale,
            Some(CacheUse::Hit(_)) => Outcome::Cached,
            _ => Outcome::Ok,
        }
    }

    pub(in crate::aggregation) fn report(&self, number: usize) -> PartReport {
        PartReport {
            number,
            part: self.part.name.clone(),
            outcome: self.outcome,
            reason: self.reason,
            took: self.took,
            weight: self.part.weight,
            items: self.items.as_ref().map(Items::counts),
            cache: self.cache,
            retry_after: self.retry_after,
        }
    }
}
