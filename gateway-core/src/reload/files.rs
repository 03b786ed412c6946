//! The files of a configuration: what they say now, and what they said when they were last read to be
//! put in force, by whoever asked for it.
//!
//! Numbers stand for what they say: the same number, the same text.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared_config::Watched;

/// The files of one gateway.
#[derive(Debug)]
pub(super) struct Files {
    watched: Mutex<Watched>,
    tried: Mutex<Option<u64>>,
}

impl Files {
    /// Nothing of them has been read yet.
    pub(super) const fn new(watched: Watched) -> Self {
        Self { watched: Mutex::new(watched), tried: Mutex::new(None) }
    }

    /// Whether there are any.
    pub(super) fn exist(&self) -> bool {
        lock(&self.watched).has_files()
    }

    /// What they say now. Blocks.
    pub(super) fn look(&self) -> u64 {
        lock(&self.watched).look()
    }

    /// To be called before they are read: what is saved in between differs from this look, and is
    /// tried again. Blocks.
    pub(super) fn try_now(&self) {
        let seen = self.look();
        *lock(&self.tried) = Some(seen);
    }

    /// To be called when what was wrong is not what they say: it may go better with the same.
    pub(super) fn try_again(&self) {
        *lock(&self.tried) = None;
    }

    /// Takes `seen` for what a start has read, where nothing was read since.
    pub(super) fn begin(&self, seen: u64) {
        lock(&self.tried).get_or_insert(seen);
    }

    /// Whether they have been read when they said this, and not since they said something else.
    pub(super) fn were_tried(&self, seen: u64) -> bool {
        *lock(&self.tried) == Some(seen)
    }
}

/// A number is whole whatever has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
