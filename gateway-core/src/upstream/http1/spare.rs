//! Memory that answers are read into, one piece for each thread.
//!
//! A connection needs it from the first byte of an answer to the last, and mostly gets both with
//! one read: whichever connection reads next takes the same memory, which is still in the
//! processor's cache, and unused connections hold none.

use std::cell::RefCell;

use bytes::BytesMut;

use super::READ_SIZE_MAX;

thread_local! {
    static SPARE: RefCell<BytesMut> = RefCell::default();
}

/// An empty buffer.
pub(super) fn take() -> BytesMut {
    SPARE.take()
}

/// Takes a buffer back that nobody else has a piece of; what is in it is forgotten.
pub(super) fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    let is_large = buffer.try_reclaim(READ_SIZE_MAX + 1);
    if !is_large && buffer.capacity() > 0 {
        SPARE.replace(buffer);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;

    use super::*;

    #[test]
    fn a_buffer_is_used_again_empty_unless_it_is_large() {
        for (size, is_kept) in [(READ_SIZE_MAX, true), (READ_SIZE_MAX + 1, false)] {
            drop(take());
            let mut buffer = BytesMut::with_capacity(size);
            buffer.extend_from_slice(b"secret");
            buffer.advance(4);
            give_back(buffer);
            let again = take();
            assert_eq!((again.capacity() > 0, again.len()), (is_kept, 0), "{size}");
        }
    }
}
