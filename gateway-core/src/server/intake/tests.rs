//! What passes, in pieces of every size.

use super::*;
use crate::error::Refusal as _;

const LIMITS: HeadLimits =
    HeadLimits { target_size_max: 100, head_size_max: 400, header_count_max: 10 };

/// All that the library gets of `sent`, read `size` bytes at a time into a buffer of `room`.
fn pass(sent: &[u8], size: usize, room: usize) -> (Vec<u8>, Intake) {
    let mut intake = Intake::new(LIMITS, true);
    let mut passed = Vec::new();
    for piece in sent.chunks(size) {
        if !intake.is_over() {
            let here = intake.take(piece);
            passed.extend_from_slice(&piece[..here]);
        }
        while !intake.released().is_empty() {
            let here = room.min(intake.released().len());
            passed.extend_from_slice(&intake.released()[..here]);
            intake.passed(here);
        }
    }
    (passed, intake)
}

#[track_caller]
fn check(sent: &str, expected: &str) {
    for size in 1..=sent.len() {
        for room in [1, 7, 1_000] {
            let (passed, _) = pass(sent.as_bytes(), size, room);
            assert_eq!(String::from_utf8_lossy(&passed), expected, "{sent:?} by {size}");
        }
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
const WITH_LENGTH: &str = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET ";

#[test]
fn sound_messages_pass_unchanged() {
    check(GET, GET);
    let all = format!("{GET}{CHUNKED}{WITH_LENGTH}\r\n{GET}{GET}{CHUNKED}");
    check(&all, &all);
}

#[test]
fn nothing_of_a_head_passes_before_it_is_whole() {
    check(&GET[..GET.len() - 1], "");
    check(&format!("{WITH_LENGTH}{}", &GET[..GET.len() - 1]), WITH_LENGTH);
    let (_, intake) = pass(&GET.as_bytes()[..20], 5, 100);
    assert!(intake.is_inside_head() && intake.is_inside_message());
    assert_eq!(intake.into_held().len(), 20);
    let (_, intake) = pass(GET.as_bytes(), 5, 100);
    assert!(!intake.is_inside_message());
    assert_eq!(intake.into_held().capacity(), 0, "an idle connection keeps nothing");
    for (line, has_begun) in [("\r\n", false), ("\r\nG", true), ("G", true)] {
        let (_, intake) = pass(format!("{WITH_LENGTH}{line}").as_bytes(), 100, 100);
        assert_eq!(intake.is_inside_head(), has_begun, "{line:?}: only a forgiven line is none");
    }
}

#[test]
fn a_refused_head_is_replaced_and_nothing_comes_after_it() {
    let substitute = std::str::from_utf8(SUBSTITUTE).expect("ASCII");
    let bad = "GET /a?b=c HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
    check(&format!("{bad}{GET}"), substitute);
    check(&format!("{GET}{WITH_LENGTH}{bad}{GET}"), &format!("{GET}{WITH_LENGTH}{substitute}"));
    for size in [1, 10, 1_000] {
        let (_, intake) = pass(format!("{GET}{bad}{GET}").as_bytes(), size, 100);
        let refused = intake.refused().expect("refused");
        assert_eq!(refused.request_line, b"GET /a?b=c HTTP/1.1");
        assert_eq!(refused.refused.code(), "body_length_ambiguous");
    }
}

#[test]
fn a_broken_body_ends_where_it_breaks() {
    let sent = &CHUNKED.replace("hi\r\n", "hi\n");
    for size in 1..sent.len() {
        let (passed, intake) = pass(sent.as_bytes(), size, 100);
        assert!(sent.as_bytes().starts_with(&passed) && passed.len() < sent.len());
        assert!(intake.broken().is_some(), "{size}");
    }
}

#[test]
fn the_preface_is_kept_for_http_2_and_only_at_the_start() {
    let preface = std::str::from_utf8(PREFACE).expect("ASCII");
    for size in [1, 5, 100] {
        let (passed, intake) = pass(format!("{preface}rest").as_bytes(), size, 100);
        assert!(passed.is_empty() && intake.is_http2(), "{size}");
        assert!(intake.into_held().starts_with(PREFACE), "{size}");
        let (_, intake) = pass(format!("{GET}{preface}").as_bytes(), size, 100);
        assert_eq!(intake.refused().expect("refused").refused, HeadRefused::Version);
    }
    let mut intake = Intake::new(LIMITS, false);
    intake.take(PREFACE);
    assert_eq!(intake.refused().expect("refused").refused, HeadRefused::Version);
}
