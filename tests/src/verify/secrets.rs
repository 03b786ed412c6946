//! What a credential looks like, so that nothing that prints one goes unseen.

/// The kind of credential in `text`, if there is one.
///
/// Shapes, not values: a signed token, an API key, a webhook secret, a session cookie with a value.
#[must_use]
pub fn find_secret(text: &str) -> Option<&'static str> {
    if has_token(text) {
        return Some("a signed token");
    }
    if has_after(text, "plk_live_", 38) || has_after(text, "plk_test_", 38) {
        return Some("an API key");
    }
    if has_after(text, "whsec_", 32) {
        return Some("a webhook secret");
    }
    if has_refresh_token(text) {
        return Some("a refresh token");
    }
    if has_after(text, "__Host-Http-sid=", 22) {
        return Some("a session id");
    }
    None
}

/// Three segments of base64url, the first of which starts a JSON object.
fn has_token(text: &str) -> bool {
    text.match_indices("eyJ").any(|(at, _)| {
        let segments = text.get(at..).unwrap_or_default();
        let token = segments.split(|letter: char| !is_base64url(letter) && letter != '.').next();
        // A sentence may end behind a token, with a dot of its own.
        let parts: Vec<&str> = token.unwrap_or_default().split('.').take(3).collect();
        parts.len() == 3 && parts.iter().all(|part| part.len() >= 8)
    })
}

/// `rt_` and 32 hex digits, as the sample user service issues them.
fn has_refresh_token(text: &str) -> bool {
    text.match_indices("rt_").any(|(at, found)| {
        let rest = text.get(at + found.len()..).unwrap_or_default();
        rest.chars().take_while(char::is_ascii_hexdigit).take(32).count() == 32
    })
}

/// `prefix` followed by at least `count` characters of base64.
fn has_after(text: &str, prefix: &str, count: usize) -> bool {
    text.match_indices(prefix).any(|(at, _)| {
        let rest = text.get(at + prefix.len()..).unwrap_or_default();
        let is_base64 = |letter: &char| is_base64url(*letter) || "+/".contains(*letter);
        rest.chars().take_while(is_base64).take(count).count() == count
    })
}

fn is_base64url(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_credential_is_recognised_in_the_middle_of_a_line() {
        let dotted = ["eyJhbGciOiJFUzI1NiJ9", "eyJzdWIiOiI0ODIxIn0", "c2lnbmF0dXJlLi4u"].join(".");
        let key = format!("plk_live_{}", "a".repeat(38));
        let secret = format!("whsec_{}", "A".repeat(44));
        let session = format!("__Host-Http-sid={}", "s".repeat(22));
        let (ended, refresh) = (format!("{dotted}."), format!("rt_{}", "0".repeat(32)));
        for text in [&dotted, &ended, &key, &secret, &session, &refresh] {
            assert!(find_secret(&format!("{{\"a\":\"{text}\"}}")).is_some(), "{text}");
        }
    }

    #[test]
    fn words_about_credentials_are_none() {
        for text in [
            "plk_live_…WXYZ",
            "whsec_ is the prefix",
            "__Host-Http-sid=; Path=/",
            "eyJ",
            "eyJ.a.b",
            "test a_session_cookie_is_refused ... ok",
            "test a_required_part_that_fails_fails_the_answer_without_the_services_words ... ok",
        ] {
            assert_eq!(find_secret(text), None, "{text}");
        }
    }
}
