//! The calls of one answer that are under way, and the time they have together.
//!
//! One timer is for all of them: of the calls that an answer is made of, few have a time of their
//! own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::flying::{Flight, Landing};
use crate::aggregation::caller::Caller;
use crate::alarm::Alarm;

/// Calls that are under way.
pub(super) struct UnderWay<'a, C> {
    flights: FuturesUnordered<Flight<'a, C>>,
    /// Those that were given up and have not been told of yet.
    late: VecDeque<Landing>,
    alarm: Alarm,
    /// When the answer is due; `None` once that has passed.
    due: Option<Instant>,
}

impl<'a, C: Caller> UnderWay<'a, C> {
    /// None yet. What begins once the answer is due finds no time left, and calls nobody: it needs no
    /// timer.
    pub(super) fn until(due: Instant) -> Self {
        let (flights, late) = (FuturesUnordered::new(), VecDeque::new());
        Self { flights, late, alarm: Alarm::default(), due: Some(due) }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len() + self.late.len()
    }

    pub(super) fn push(&self, flight: Flight<'a, C>) {
        self.flights.push(flight);
    }

    /// The next call that has come to its end; `None` when there is no other.
    pub(super) async fn next(&mut self) -> Option<Landing> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Landing>> {
        loop {
            if let Some(landing) = self.late.pop_front() {
                return Poll::Ready(Some(landing));
            }
            if let Poll::Ready(landing) = self.flights.poll_next_unpin(context) {
                return Poll::Ready(landing);
            }
            let Some(due) = self.due else { return Poll::Pending };
            ready!(self.alarm.poll_at(due, context));
            self.due = None;
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        let mut late = Vec::new();
        for flight in std::mem::take(&mut self.flights) {
            match flight.give_up() {
                Ok(landing) => late.push(landing),
                Err(flight) => self.flights.push(flight),
            }
        }
        // What is told does not depend on which of them was asked for first.
        late.sort_by_key(|landing| (landing.part, landing.number));
        self.late = late.into();
    }
}
