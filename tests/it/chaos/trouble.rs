//! What happens to the services.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tests::harness::Harness;
use tests::platform::Service;

/// What can happen to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It dies, and is gone for a while.
    Kill,
    /// It dies, and is back at once.
    Restart,
    /// It answers nobody for a while.
    Pause,
    Slow,
    Reset,
    Hang,
    Garbage,
    Endless,
    Fail,
}

const EVENTS: [Event; 9] = [
    Event::Kill,
    Event::Restart,
    Event::Pause,
    Event::Slow,
    Event::Reset,
    Event::Hang,
    Event::Garbage,
    Event::Endless,
    Event::Fail,
];

/// Trouble by a seed.
#[derive(Debug)]
pub(super) struct Trouble {
    random: StdRng,
    made: BTreeMap<Event, usize>,
    /// Who comes back from what, and when.
    gone: Vec<(Instant, Service, Event)>,
}

impl Trouble {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), made: BTreeMap::new(), gone: Vec::new() }
    }

    /// Makes trouble for so long.
    pub(super) async fn make(&mut self, harness: &mut Harness, until: Instant) {
        while Instant::now() < until {
            self.bring_back(harness, Instant::now()).await;
            let service = *Service::ALL.choose(&mut self.random).expect("five");
            let event = *EVENTS.choose(&mut self.random).expect("some");
            self.happen(harness, service, event).await;
            *self.made.entry(event).or_default() += 1;
            tokio::time::sleep(self.millis(10, 100)).await;
        }
    }

    async fn happen(&mut self, harness: &mut Harness, service: Service, event: Event) {
        let next = self.random.random_range(1..=4);
        let fault = match event {
            Event::Kill => {
                harness.kill(service).await;
                let back = Instant::now() + self.millis(50, 500);
                return self.gone.push((back, service, event));
            }
            Event::Restart => {
                harness.kill(service).await;
                return harness.come_back(service).await;
            }
            Event::Pause => {
                harness.pause(service, true);
                let back = Instant::now() + self.millis(50, 700);
                return self.gone.push((back, service, event));
            }
            Event::Slow => format!(r#""delay_ms":{}"#, self.random.random_range(20..600)),
            Event::Reset => r#""reset":true"#.to_owned(),
            Event::Hang => r#""hang":true"#.to_owned(),
            Event::Garbage => r#""garbage":true"#.to_owned(),
            Event::Endless => r#""endless":true"#.to_owned(),
            Event::Fail => {
                format!(r#""status":{}"#, [500, 503].choose(&mut self.random).expect("two"))
            }
        };
        harness.fault(service, &format!("{{\"next\":{next},{fault}}}"));
    }

    async fn bring_back(&mut self, harness: &mut Harness, now: Instant) {
        let (due, gone) = self.gone.drain(..).partition(|(at, ..)| *at <= now);
        self.gone = gone;
        let due: Vec<(Instant, Service, Event)> = due;
        for (_, service, event) in due {
            match event {
                Event::Kill => harness.come_back(service).await,
                _ => harness.pause(service, false),
            }
        }
    }

    /// All is as it was.
    pub(super) async fn end(&mut self, harness: &mut Harness) {
        self.gone.clear();
        for service in Service::ALL {
            harness.come_back(service).await;
            harness.pause(service, false);
            harness.heal(service);
        }
    }

    /// How often what has happened.
    pub(super) fn said(&self) -> String {
        format!("{:?}", self.made)
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.random_range(from..to))
    }
}
