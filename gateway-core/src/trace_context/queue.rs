//! The queue between those who record spans and the one who exports them.
//!
//! Spans are few: only those of sampled traces. So one short lock for all cores is enough, and the
//! exporter looks by itself instead of being woken for each span.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use super::Span;

/// Spans that wait for their export. Clones share them.
#[derive(Clone)]
pub struct SpanQueue(Arc<Shared>);

struct Shared {
    spans: Mutex<VecDeque<Span>>,
    spans_max: usize,
    batch: usize,
    has_batch: Notify,
    dropped: Counter,
}

impl SpanQueue {
    /// An empty queue for at most `spans_max`; what is above that is dropped and counted. The
    /// exporter is woken when a `batch` is full.
    #[must_use]
    pub fn new(spans_max: usize, batch: usize, dropped: Counter) -> Self {
        let (spans, has_batch) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { spans, spans_max, batch, has_batch, dropped }))
    }

    /// Adds a span. Never waits.
    pub(super) fn push(&self, span: Span) {
        let mut spans = self.spans();
        if spans.len() >= self.0.spans_max {
            self.0.dropped.inc();
            return;
        }
        spans.push_back(span);
        if spans.len() == self.0.batch {
            self.0.has_batch.notify_one();
        }
    }

    /// Takes the oldest spans, a batch at most.
    #[must_use]
    pub fn take_batch(&self) -> Vec<Span> {
        let mut spans = self.spans();
        let count = spans.len().min(self.0.batch);
        spans.drain(..count).collect()
    }

    /// Resolves when a batch has become full.
    pub async fn batch(&self) {
        self.0.has_batch.notified().await;
    }

    fn spans(&self) -> MutexGuard<'_, VecDeque<Span>> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanQueue").field("waiting", &self.spans().len()).finish_non_exhaustive()
    }
}
