//! Flights: a call under way, and everybody who waits for it.
//!
//! A flight runs as a task of its own, so that it does not end with the request that began it. It
//! ends with the last that waits, unless it is a refresh, for which nobody waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{PartKey, Value};
use crate::aggregation::caller::PartFailure;
use crate::aggregation::status::Reason;

/// What a flight came to.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) result: Result<Value, PartFailure>,
    /// Whether the value is there for the next request.
    pub(super) is_kept: bool,
}

type Landing = watch::Receiver<Option<Landed>>;

#[derive(Debug)]
struct Flight {
    number: u64,
    landing: watch::Sender<Option<Landed>>,
    /// The parts for which somebody waits.
    parts: Vec<Arc<str>>,
    is_refresh: bool,
    task: Option<AbortHandle>,
}

/// All flights, of all cores.
#[derive(Debug, Default, Clone)]
pub(super) struct Flights(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<PartKey, Flight>,
    last_number: u64,
}

impl Flights {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits along with the flight for `key`, or starts it; true when it was started.
    ///
    /// `recheck` looks whether one has landed since the caller looked; `prepare` gives the call, and what is done with its result before anybody is told.
    pub(super) fn join_or_start<F, K>(
        &self,
        (key, part): (&PartKey, &Arc<str>),
        recheck: impl FnOnce() -> Option<Landed>,
        prepare: impl FnOnce() -> (Option<F>, K),
    ) -> (bool, Boarded)
    where
        F: Future<Output = Result<Value, PartFailure>> + Send + 'static,
        K: FnOnce(&Result<Value, PartFailure>) -> bool + Send + 'static,
    {
        let mut table = self.table();
        if let Some(flight) = table.by_key.get_mut(key) {
            if !flight.parts.contains(part) {
                flight.parts.push(Arc::clone(part));
            }
            return (false, Boarded::Waiting(flight.landing.subscribe()));
        }
        if let Some(landed) = recheck() {
            return (false, Boarded::Landed(landed));
        }
        (true, Boarded::Waiting(self.start(&mut table, (key, part), false, prepare())))
    }

    /// Starts a flight for which nobody waits, unless there is one.
    pub(super) fn start_unless_under_way<F, K>(
        &self,
        (key, part): (&PartKey, &Arc<str>),
        prepare: impl FnOnce() -> (Option<F>, K),
    ) where
        F: Future<Output = Result<Value, PartFailure>> + Send + 'static,
        K: FnOnce(&Result<Value, PartFailure>) -> bool + Send + 'static,
    {
        let mut table = self.table();
        if !table.by_key.contains_key(key) {
            drop(self.start(&mut table, (key, part), true, prepare()));
        }
    }

    fn start<F, K>(
        &self,
        table: &mut Table,
        (key, part): (&PartKey, &Arc<str>),
        is_refresh: bool,
        (call, keep): (Option<F>, K),
    ) -> Landing
    where
        F: Future<Output = Result<Value, PartFailure>> + Send + 'static,
        K: FnOnce(&Result<Value, PartFailure>) -> bool + Send + 'static,
    {
        let (sender, landing) = watch::channel(None);
        table.last_number += 1;
        let number = table.last_number;
        let entry = Entry { flights: self.clone(), key: key.clone(), number };
        let told = sender.clone();
        let task = tokio::spawn(async move {
            let Some(call) = call else { return };
            let result = tokio::select! {
                result = call => result,
                () = entry.deserted(&told), if !is_refresh => return,
            };
            // Before anybody is told: whoever has this answer finds it kept. What was purged in
            // the meantime is not kept.
            let is_kept = entry.leave(|| keep(&result));
            told.send_replace(Some(Landed { result, is_kept }));
        });
        let task = Some(task.abort_handle());
        let parts = vec![Arc::clone(part)];
        let flight = Flight { number, landing: sender, parts, is_refresh, task };
        table.by_key.insert(key.clone(), flight);
        landing
    }

    /// Lets no later request join these flights, and none of them be kept. Refreshes end.
    pub(super) fn forget(&self, is_meant: impl Fn(&PartKey, &[Arc<str>]) -> bool) {
        let mut table = self.table();
        table.by_key.retain(|key, flight| {
            let stays = !is_meant(key, &flight.parts);
            // One that somebody has joined is not taken from them.
            let is_unwaited = flight.is_refresh && flight.landing.receiver_count() == 0;
            if let (false, true, Some(task)) = (stays, is_unwaited, &flight.task) {
                task.abort();
            }
            stays
        });
    }
}

/// A flight's place in the table; it is given up when the flight ends, however it ends.
struct Entry {
    flights: Flights,
    key: PartKey,
    number: u64,
}

impl Entry {
    /// Gives the place up; `keep` runs before anybody can start another flight, unless this one
    /// has been forgotten.
    fn leave(self, keep: impl FnOnce() -> bool) -> bool {
        let mut table = self.flights.table();
        let is_kept = self.is_in(&table) && keep();
        self.remove_from(&mut table);
        is_kept
    }

    fn is_in(&self, table: &Table) -> bool {
        table.by_key.get(&self.key).is_some_and(|flight| flight.number == self.number)
    }

    /// Resolves when nobody waits any more; nobody can join from then on.
    async fn deserted(&self, told: &watch::Sender<Option<Landed>>) {
        loop {
            told.closed().await;
            let mut table = self.flights.table();
            if told.receiver_count() == 0 {
                self.remove_from(&mut table);
                return;
            }
        }
    }

    fn remove_from(&self, table: &mut Table) {
        if self.is_in(table) {
            table.by_key.remove(&self.key);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.remove_from(&mut self.flights.table());
    }
}

/// A request that waits for a flight, or has found it landed.
pub(super) enum Boarded {
    Landed(Landed),
    Waiting(Landing),
}

impl Boarded {
    /// What the flight came to; one that ended without a word was broken off.
    pub(super) async fn landed(self) -> Landed {
        let mut landing = match self {
            Self::Landed(landed) => return landed,
            Self::Waiting(landing) => landing,
        };
        match landing.wait_for(Option::is_some).await.map(|landed| landed.clone()) {
            Ok(Some(landed)) => landed,
            _ => Landed { result: Err(Reason::Reset.into()), is_kept: false },
        }
    }
}
