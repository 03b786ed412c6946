//! What a test has made everybody write down must not hold a credential.

use crate::verify::find_secret;

/// Fails the test when `text` holds one of the known secrets, or anything of a credential's shape.
pub(super) fn check(who: &str, text: &str, known: &[&str]) {
    if let Some(kind) = find_secret(text) {
        panic!("{who} has written down {kind}:\n{text}");
    }
    if known.iter().any(|secret| text.contains(secret)) {
        panic!("{who} has written down a secret of this run:\n{text}");
    }
}
