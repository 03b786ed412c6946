//! Small pieces as one: a head and a short body are written together, since the copy costs less than
//! the kernel's way of taking several pieces.
//!
//! Not here: who writes them (`watched`).

use std::io::IoSlice;

use smallvec::SmallVec;

/// Bytes of pieces that are still small together.
const JOINED_MAX: usize = 4 * 1024;

/// It stays where it was made, on the stack.
pub(super) type Joined = SmallVec<[u8; JOINED_MAX]>;

/// Makes one of several small pieces, if that is what they are.
pub(super) fn join(pieces: &[IoSlice<'_>], whole: &mut Joined) -> bool {
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    let is_small = pieces.len() > 1 && size <= JOINED_MAX;
    if is_small {
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    }
    is_small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_written_as_one_and_large_ones_as_they_are() {
        let check = |lengths: &[usize], is_joined: bool| {
            let bytes: Vec<Vec<u8>> =
                lengths.iter().zip(b'a'..).map(|(&length, letter)| vec![letter; length]).collect();
            let pieces: Vec<IoSlice<'_>> = bytes.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut whole = Joined::new();
            assert_eq!(join(&pieces, &mut whole), is_joined, "{lengths:?}");
            assert_eq!(whole.to_vec(), if is_joined { bytes.concat() } else { Vec::new() });
        };
        check(&[600, 1_024], true);
        check(&[1, 0, JOINED_MAX - 1], true);
        check(&[1, JOINED_MAX], false);
        check(&[100], false);
        check(&[], false);
    }
}
