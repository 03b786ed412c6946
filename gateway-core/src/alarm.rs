//! Alarms: time-outs that cost nothing to put off.
//!
//! A connection's or a body's time-out moves with each byte and almost never comes. So the timer
//! is moved only when it must ring earlier; one that rings too early is set again.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A time-out that moves. Holds no timer until it is first polled.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `due` has come; `due` may differ at each call.
    ///
    /// Not calling it for a while is fine: at worst the task is woken once for nothing.
    pub fn poll_at(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(context));
        while timer.deadline() < due {
            timer.as_mut().reset(due);
            ready!(timer.as_mut().poll(context));
        }
        Poll::Ready(())
    }
}

/// What `future` comes to, unless it takes longer than it may. How long that is, is asked only
/// when the future has to wait: one that is ready at once needs neither clock nor timer.
pub async fn within<F: Future>(
    mut future: Pin<&mut F>,
    time: impl FnOnce() -> Duration,
) -> Option<F::Output> {
    let (mut time, mut due, mut alarm) = (Some(time), None, Alarm::default());
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        if let Some(time) = time.take() {
            due = Some(Instant::now() + time());
        }
        match due {
            Some(due) => alarm.poll_at(due, context).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_at_once_is_not_timed_and_what_is_not_has_its_time() {
        let ready = pin!(async { 1 });
        assert_eq!(within(ready, || panic!("nobody waits")).await, Some(1));
        for (takes_ms, expected) in [(90, Some(())), (110, None)] {
            let slow = pin!(sleep(Duration::from_millis(takes_ms)));
            assert_eq!(within(slow, || Duration::from_millis(100)).await, expected);
        }
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_the_last_time_it_was_set_to() {
        for (first, then) in [(100, 100), (100, 250), (250, 100)] {
            let mut alarm = Alarm::default();
            let start = Instant::now();
            let polled =
                poll_fn(|context| Poll::Ready(alarm.poll_at(after(start, first), context)));
            assert!(polled.await.is_pending());
            poll_fn(|context| alarm.poll_at(after(start, then), context)).await;
            let rang = start.elapsed().as_millis();
            // The timer's own step is one millisecond.
            assert!(rang.abs_diff(u128::from(then)) <= 1, "{first} then {then}: {rang}");
        }
    }
}
