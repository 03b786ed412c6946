//! OpenTelemetry export: recorded spans leave in batches, as OTLP over HTTP in protobuf.
//!
//! Read in this order: [`ExportSettings`] says where to and how much, [`Exporter`] is the task that
//! takes batches off the queue, `encode` writes them as messages (in the format that `protobuf`
//! knows), `post` sends one and sorts what came back.
//!
//! Invariants
//! - Everything runs on the background runtime; no request waits for it, and none fails with it.
//! - What cannot be sent is given up after [`ATTEMPTS_MAX`] attempts and counted, so that a dead
//!   collector costs a full queue and no more.
//! - A failure is logged when it begins and when it is over, and not for each batch in between.
//!
//! Not here: what is recorded (`trace_context`, `pipeline`).

mod encode;
mod post;
mod protobuf;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use rand::RngExt as _;
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::post::{HttpPost, Post, Posted};
use crate::metric::{Metrics, SpanOutcome};
use crate::trace_context::SpanQueue;

/// How often a batch is sent at most.
pub const ATTEMPTS_MAX: u32 = 5;

/// The first wait before a batch is sent again; it doubles each time.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait, whatever a collector asks for: the queue fills in the meantime.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Where spans go, and how much at a time.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// Where batches are posted to: the whole URL, path included.
    pub endpoint: Url,
    /// Sent with each batch. The values are marked as sensitive.
    pub headers: HeaderMap,
    /// What is known of this process: `service.name` and others.
    pub resource: Vec<(String, String)>,
    /// How long spans wait for others, unless a batch is full.
    pub interval: Duration,
    /// From the connection to the last byte of the answer.
    pub timeout: Duration,
}

/// The exporter cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the exporter of spans cannot be made: {0}")]
pub struct ExporterUnusable(#[from] reqwest::Error);

/// The task that exports spans, until it is closed.
#[derive(Debug)]
pub struct Exporter {
    closes: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts exporting what is in `spans`.
    ///
    /// # Errors
    ///
    /// [`ExporterUnusable`] when there can be no HTTP client: no root certificates, say.
    pub fn spawn(
        runtime: &Handle,
        settings: &ExportSettings,
        spans: SpanQueue,
        metrics: &Metrics,
    ) -> Result<Self, ExporterUnusable> {
        let post = HttpPost::try_new(settings)?;
        let counts = Counts::of(metrics);
        let resource = encode::resource(&settings.resource);
        let (closes, is_closing) = watch::channel(false);
        let interval = settings.interval;
        let exporting =
            Exporting { post, spans, resource, interval, counts, is_closing, is_failing: false };
        Ok(Self { closes, task: runtime.spawn(exporting.run()) })
    }

    /// Sends what is left, within `limit`; what could not be sent by then is lost.
    pub async fn close(self, limit: Duration) {
        self.closes.send_replace(true);
        let task = self.task.abort_handle();
        if timeout(limit, self.task).await.is_err() {
            task.abort();
            tracing::warn!("spans were lost: the collector was too slow for the shutdown");
        }
    }
}

/// What becomes of spans, counted.
#[derive(Debug, Clone)]
struct Counts {
    exported: Counter,
    rejected: Counter,
    failed: Counter,
}

impl Counts {
    fn of(metrics: &Metrics) -> Self {
        let count = |outcome| metrics.spans.get_or_create_owned(&SpanOutcome { outcome });
        Self { exported: count("exported"), rejected: count("rejected"), failed: count("failed") }
    }
}

struct Exporting<P> {
    post: P,
    spans: SpanQueue,
    /// The encoded `Resource`, the same in each batch.
    resource: Vec<u8>,
    interval: Duration,
    counts: Counts,
    is_closing: watch::Receiver<bool>,
    is_failing: bool,
}

impl<P: Post> Exporting<P> {
    async fn run(mut self) {
        loop {
            let is_over = tokio::select! {
                () = self.spans.batch() => false,
                () = sleep(self.interval) => false,
                _ = self.is_closing.wait_for(|closes| *closes) => true,
            };
            self.empty().await;
            if is_over {
                return;
            }
        }
    }

    /// Exports until the queue is empty.
    async fn empty(&mut self) {
        loop {
            let batch = self.spans.take_batch();
            if batch.is_empty() {
                return;
            }
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let request = Bytes::from(encode::export_request(&self.resource, &batch));
            match self.send(request).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.counts.exported.inc_by(count - rejected);
                    self.counts.rejected.inc_by(rejected);
                    self.note_success(rejected);
                }
                Err(reason) => {
                    self.counts.failed.inc_by(count);
                    self.note_failure(&reason);
                }
            }
        }
    }

    /// Sends a batch, again where that may help; how many of its spans were rejected.
    async fn send(&mut self, request: Bytes) -> Result<u64, String> {
        let mut backoff = BACKOFF_FIRST;
        let mut attempt = 1;
        loop {
            let (reason, asked) = match self.post.post(request.clone()).await {
                Posted::Taken { rejected } => return Ok(rejected),
                Posted::Refused(reason) => return Err(reason),
                Posted::Unavailable { reason, retry_after } => (reason, retry_after),
            };
            if attempt == ATTEMPTS_MAX || *self.is_closing.borrow() {
                return Err(reason);
            }
            self.note_failure(&reason);
            // Full jitter: many gateways must not come back at once.
            let drawn = backoff.mul_f64(rand::rng().random_range(0.0..=1.0));
            let wait = asked.unwrap_or(drawn).min(WAIT_MAX);
            tokio::select! {
                () = sleep(wait) => {}
                // One more try, and no further wait.
                _ = self.is_closing.wait_for(|closes| *closes) => {}
            }
            backoff = backoff.saturating_mul(2).min(WAIT_MAX);
            attempt += 1;
        }
    }

    fn note_failure(&mut self, reason: &str) {
        if !self.is_failing {
            tracing::warn!(reason, "spans cannot be exported; they are counted until that ends");
        }
        self.is_failing = true;
    }

    fn note_success(&mut self, rejected: u64) {
        if self.is_failing {
            tracing::info!("spans are exported again");
        }
        self.is_failing = false;
        if rejected > 0 {
            tracing::debug!(rejected, "the collector has rejected spans");
        }
    }
}
