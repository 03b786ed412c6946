//! Memory that answers are read into, one piece for each thread.
//!
//! A connection needs it from the first byte of an answer to the last, and mostly gets both with
//! one read: whichever connection reads next takes the same memory, which is still in the
//! processor's cache, and unused connections hold none.

use std::cell::RefCell;

use bytes::BytesMut;

use super::{READ_SIZE_MAX, READ_SIZE_MIN};

thread_local! {
    static SPARE: RefCell<BytesMut> = RefCell::default();
}

/// An empty buffer.
pub(super) fn take() -> BytesMut {
    SPARE.take()
}

/// Takes a buffer back; what is in it is forgotten.
pub(super) fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    // Not where an answer still holds a piece of it, and nothing large.
    if buffer.try_reclaim(READ_SIZE_MIN) && buffer.capacity() <= READ_SIZE_MAX {
        SPARE.replace(buffer);
    }
}
