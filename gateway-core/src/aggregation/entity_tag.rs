//! The entity tag of an answer: the same for the same bytes, and telling nothing else.
//!
//! Two steps. XXH3 makes 128 bits of the body, whatever its length, for a tenth of what SHA-256
//! costs; its seed is secret. SHA-256 makes the tag of those bits and the salt, so that nobody
//! can compute a tag, or learn from two of them what XXH3 made of the bodies.
//!
//! Invariants
//! - Every byte counts, in its order; where one piece ends and the next begins does not.
//! - Nothing depends on the machine: with the same salt, the same bytes have the same tag everywhere.
//!
//! Not here: which answers have a tag (`Composed`), whose salt it is (`site`). Why XXH3 will do:
//! docs/adr/0022.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::Xxh3;

/// The strong tag of a body that is made of `pieces`: 128 bits. The `salt` begins with a secret.
pub(super) fn strong<'a>(
    salt: &[u8],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Option<HeaderValue> {
    let seed = salt.first_chunk().map_or(0, |secret| u64::from_le_bytes(*secret));
    let mut body = Xxh3::with_seed(seed);
    for piece in pieces {
        body.update(piece);
    }
    let mut tag = Sha256::new();
    tag.update((salt.len() as u64).to_be_bytes());
    tag.update(salt);
    tag.update(body.digest128().to_be_bytes());
    let tag = tag.finalize();
    // Two quotes, and 22 characters for 16 bytes.
    let mut quoted = [b'"'; 24];
    BASE64_URL_SAFE_NO_PAD.encode_slice(tag.first_chunk::<16>()?, quoted.get_mut(1..23)?).ok()?;
    HeaderValue::from_bytes(&quoted).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: &[u8] = b"0123456789abcdefada";

    fn tag(salt: &[u8], body: &[u8]) -> HeaderValue {
        strong(salt, [body]).expect("a tag")
    }

    /// Other tags for the same bytes would make every client fetch everything again.
    #[test]
    fn a_tag_is_the_same_on_every_machine_and_in_every_version() {
        let long: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for (salt, body, expected) in [
            (&b""[..], &b""[..], "5NEpSzKnO29Mk_8lWJQVxw"),
            (SALT, b"{}", "FTBSxMHE0uJiYLLOd_T41Q"),
            (SALT, &long[..100], "FcP3NCtCnN_YlWNELF70Cg"),
            (SALT, &long, "aRBnDWbT11y28K6EKlBvXA"),
        ] {
            assert_eq!(tag(salt, body), format!("\"{expected}\""));
        }
    }

    #[test]
    fn every_byte_counts_at_any_length() {
        for length in [1, 3, 8, 16, 17, 128, 129, 240, 241, 1_024, 1_025, 5_000] {
            let mut body = vec![b'x'; length];
            let before = tag(SALT, &body);
            for place in (0..length).step_by(1 + length / 64) {
                body[place] ^= 1;
                assert_ne!(tag(SALT, &body), before, "{place} of {length}");
                body[place] ^= 1;
            }
            assert_eq!(tag(SALT, &body), before);
            body.push(0);
            assert_ne!(tag(SALT, &body), before, "{length}");
        }
    }

    #[test]
    fn another_secret_or_another_caller_has_another_tag() {
        let tags =
            [&b""[..], b"ada", b"adaa", SALT, b"0123456789abcdefbob", b"1123456789abcdefada"]
                .map(|salt| tag(salt, b"{}"));
        for (place, one) in tags.iter().enumerate() {
            assert!(!tags[..place].contains(one));
        }
    }

    proptest! {
        #[test]
        fn a_body_in_pieces_has_the_tag_of_the_whole(
            body in proptest::collection::vec(any::<u8>(), 0..3_000),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]);
            prop_assert_eq!(strong(SALT, pieces).expect("a tag"), tag(SALT, &body));
        }
    }
}
