//! A count of bytes that somebody else keeps: of a body that is still on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes of a body have passed. Clones share the count; the default never counts.
#[derive(Debug, Clone, Default)]
pub struct ByteCount(Option<Arc<AtomicU64>>);

impl ByteCount {
    /// A count from zero.
    #[must_use]
    pub fn start() -> Self {
        Self(Some(Arc::default()))
    }

    /// Adds the bytes of one piece.
    pub fn add(&self, bytes: usize) {
        if let Some(count) = &self.0 {
            count.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.as_ref().map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
