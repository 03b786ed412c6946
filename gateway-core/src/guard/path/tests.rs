//! One normal form for each path, and none for what has two readings.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(path: &str, expected: Result<&str, PathRefused>) {
    assert_eq!(normalise(path).as_deref(), expected.as_ref().copied(), "{path:?}");
}

#[test]
fn a_path_has_one_spelling() {
    for (path, expected) in [
        ("/", "/"),
        ("/links/", "/links/"),
        ("/links/x7Kp2", "/links/x7Kp2"),
        ("/%6Cinks/%78%37", "/links/x7"),
        ("/a%2eb/...", "/a.b/..."),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/a%2bb+c%40d@e", "/a%2Bb+c%40d@e"),
        ("/a b{c}|\"", "/a%20b%7Bc%7D%7C%22"),
        ("/a%3bb%2561", "/a%3Bb%2561"),
        ("/a%3Fb%23c", "/a%3Fb%23c"),
    ] {
        check(path, Ok(expected));
    }
}

#[test]
fn what_servers_read_differently_is_refused() {
    for (paths, expected) in [
        (&["*", "", "links", "example.com:443"][..], PathRefused::NotAbsolute),
        (&["/api/links/../admin", "/..", "/.", "/./a", "/a/.", "/a/./b"], PathRefused::DotSegment),
        (&["/%2e%2e", "/a/%2E", "/a/.%2e/b", "/%2e./"], PathRefused::DotSegment),
        (&["//", "//a", "/a//b", "/a//"], PathRefused::EmptySegment),
        (&["/api/links/..%2fadmin", "/a%2Fb"], PathRefused::EscapedSlash),
        (&["/a\\b", "/a%5cb", "/..\\admin"], PathRefused::Backslash),
        (&["/dashboard;x.js", "/a;/b"], PathRefused::Semicolon),
        (&["/a%00", "/a\0", "/a%0d%0aX: y", "/a%7F", "/a\tb"], PathRefused::ControlCharacter),
        (&["/%", "/a%2", "/a%zz", "/%+1", "/a%/b"], PathRefused::IncompleteEscape),
        (&["/%c0%ae%c0%ae", "/%ff", "/%ed%a0%80", "/%c3", "/%c3/%a9"], PathRefused::NotUtf8),
    ] {
        for path in paths {
            check(path, Err(expected));
        }
    }
}

#[test]
fn a_path_without_escapes_is_not_copied() {
    assert!(matches!(normalise("/links/x7Kp2:@!$&'()*+,="), Ok(Cow::Borrowed(_))));
}

#[test]
fn a_refusal_never_repeats_the_path() {
    let refused = normalise("/s3cret//x").expect_err("has an empty segment");
    assert!(!format!("{refused} {}", refused.detail()).contains("s3cret"));
}

/// Paths of the characters that matter, so that most cases come near a rule.
fn paths() -> impl Strategy<Value = String> {
    let unit = prop_oneof![
        prop::sample::select(vec!["/", ".", "a", "Z", "é", "%", ";", "\\", "+", "?", " ", "\u{1}"]),
        prop::sample::select(vec!["%2e", "%2F", "%61", "%c3%a9", "%C3", "%25", "%3b", "%2B"]),
    ];
    prop::collection::vec(unit, 0..12).prop_map(|units| format!("/{}", units.concat()))
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(path in paths()) {
        if let Ok(once) = normalise(&path) {
            let twice = normalise(&once);
            prop_assert_eq!(twice.as_deref(), Ok(&*once));
        }
    }

    #[test]
    fn a_normal_path_means_what_was_sent(path in paths()) {
        if let Ok(normal) = normalise(&path) {
            let decode = |path: &str| percent_decode_str(path).collect::<Vec<u8>>();
            let (sent, kept) = (path.split('/'), normal.split('/'));
            prop_assert!(sent.map(decode).eq(kept.map(decode)), "{} {}", path, normal);
        }
    }

    #[test]
    fn no_reading_of_a_normal_path_has_a_dot_or_empty_segment(path in paths()) {
        if let Ok(normal) = normalise(&path) {
            let decoded = percent_decode_str(&normal).decode_utf8().expect("UTF-8");
            let inner = decoded.strip_prefix('/').expect("absolute");
            let inner = inner.strip_suffix('/').unwrap_or(inner);
            let is_bad = |segment: &str| matches!(segment, "" | "." | "..");
            prop_assert!(inner.is_empty() || !inner.split('/').any(is_bad), "{}", normal);
        }
    }
}
