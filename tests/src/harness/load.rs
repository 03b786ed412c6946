//! Load: clients that never pause, and what became of their requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Request, client, field};

/// How long a test waits for every client to be served again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients at work, each with connections of its own and one request at a time.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    served: Vec<AtomicUsize>,
    failed: Mutex<Vec<String>>,
    stops: AtomicBool,
}

impl Load {
    /// So many clients; `make` makes a client's request of that number.
    pub fn start(
        clients: usize,
        make: impl Fn(&reqwest::Client, usize) -> Request + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            served: (0..clients).map(|_| AtomicUsize::new(0)).collect(),
            failed: Mutex::default(),
            stops: AtomicBool::new(false),
        });
        let make = Arc::new(make);
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            let (shared, make) = (Arc::clone(&shared), Arc::clone(&make));
            tasks.spawn(async move { shared.work(number, &*make).await });
        }
        Self { shared, clients: tasks }
    }

    /// Waits until each client has had so many more answers. After two, whatever was under way
    /// before has ended.
    pub async fn rounds(&self, count: usize) {
        let counts = || self.shared.served.iter().map(|count| count.load(Ordering::SeqCst));
        let before: Vec<_> = counts().collect();
        let served = async {
            while counts().zip(&before).any(|(now, before)| now < before + count) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, served).await;
        assert!(in_time.is_ok(), "a client is not served any more: {:?}", self.failed());
    }

    /// What was no whole 200, each in words.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        self.shared.failed.lock().expect("no panic").clone()
    }

    /// Ends the clients in order, and returns what was no whole 200.
    pub async fn stop(mut self) -> Vec<String> {
        self.shared.stops.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no panic");
        }
        self.failed()
    }
}

/// A 200 of which no part is missing.
fn is_whole(answer: &reqwest::Response) -> bool {
    answer.status() == 200 && !field(answer, "aggregate-status").contains("o=failed")
}

impl Shared {
    async fn work(
        &self,
        number: usize,
        make: &(impl Fn(&reqwest::Client, usize) -> Request + Sync),
    ) {
        let (client, served) = (client(), &self.served[number]);
        while !self.stops.load(Ordering::SeqCst) {
            let request = make(&client, served.load(Ordering::SeqCst));
            let answer = request.send().await;
            let outcome = match answer {
                Ok(answer) if is_whole(&answer) => answer.bytes().await.map(|_| None),
                Ok(answer) => {
                    let parts = field(&answer, "aggregate-status");
                    let status = answer.status();
                    answer.text().await.map(|text| Some(format!("{status} {parts} {text}")))
                }
                Err(error) => Err(error),
            };
            match outcome.unwrap_or_else(|error| Some(format!("{error:?}"))) {
                None => {}
                Some(failed) => self.failed.lock().expect("no panic").push(failed),
            }
            served.fetch_add(1, Ordering::SeqCst);
        }
    }
}
