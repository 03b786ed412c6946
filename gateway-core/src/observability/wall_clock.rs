//! The wall time's distance from the system's: operators are told once when it grows, and once when it
//! is gone.
//!
//! The wall time never goes back, so a system whose clock was set back is behind it until it has caught
//! up (`clock`; docs/operations.md says what that does). Requests are never asked: a task looks now and
//! then, and the metric is set when its page is read.

use std::time::Duration;

use crate::clock::Clock;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Told of from here on: services refuse assertions from 5 s on, and less is a clock that is being
/// adjusted.
const TOLD_FROM: Duration = Duration::from_secs(3);

/// Looks at the clock for ever.
pub async fn watch(clock: Clock) {
    let mut told = Told::default();
    loop {
        match told.look(clock.ahead()) {
            Some(News::Ahead(ahead)) => tracing::warn!(
                ?ahead,
                "the system's clock was set back: wall time stands still until it has caught up; a \
                 restart ends this"
            ),
            Some(News::CaughtUp) => tracing::info!("the system's clock has caught up"),
            None => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What operators know.
#[derive(Debug, Default)]
struct Told {
    is_ahead: bool,
}

/// What they do not know yet.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Ahead(Duration),
    CaughtUp,
}

impl Told {
    /// An episode ends when the distance is gone, so that one that shrinks slowly is one.
    fn look(&mut self, ahead: Duration) -> Option<News> {
        if !self.is_ahead && ahead > TOLD_FROM {
            self.is_ahead = true;
            return Some(News::Ahead(ahead));
        }
        if self.is_ahead && ahead.is_zero() {
            self.is_ahead = false;
            return Some(News::CaughtUp);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_clock_that_is_set_back_is_told_of_once_until_it_has_caught_up() {
        let at = Timestamp::from_unix_seconds;
        let clock = Clock::manual(at(1_000));
        let mut told = Told::default();
        let mut look = |system| {
            clock.set_wall(at(system));
            let news = told.look(clock.ahead());
            // As requests do.
            let _ = clock.wall();
            news
        };
        assert_eq!(look(1_000), None);
        assert_eq!(look(4_600), None, "a step forward is no distance");
        assert_eq!(look(4_597), None, "nor is a little");
        assert_eq!(look(1_010), Some(News::Ahead(Duration::from_secs(3_590))));
        assert_eq!(look(1_015), None);
        assert_eq!(look(4_599), None);
        assert_eq!(look(4_600), Some(News::CaughtUp));
        assert_eq!(look(4_605), None);
        assert_eq!(look(4_601), Some(News::Ahead(Duration::from_secs(4))), "another one");
    }
}
