//! Heads, whole and in pieces.

use super::*;

const LIMITS: HeadLimits =
    HeadLimits { target_size_max: 20, head_size_max: 200, header_count_max: 4 };

/// What a head comes to, whole and byte by byte: both must be the same.
#[track_caller]
fn check(head: &str, expected: Result<BodyEnd, HeadRefused>) {
    let whole = HeadReader::default().read(head.as_bytes(), &LIMITS);
    let mut slow = HeadReader::default();
    let bytewise = (1..=head.len()).find_map(|size| {
        slow.read(&head.as_bytes()[..size], &LIMITS)
            .map(|end| end.map(|end| (size, end)))
            .transpose()
    });
    let bytewise = bytewise.transpose().map(|found| found.map(|(_, end)| end));
    assert_eq!(whole, bytewise, "in pieces: {head:?}");
    let whole = whole.map(|found| found.map(|(size, end)| (size == head.len(), end)));
    assert_eq!(whole, expected.map(|end| Some((true, end))), "{head:?}");
}

/// A head of these fields.
fn with(fields: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_sound_head_says_where_its_body_ends() {
    let none = Ok(BodyEnd::Length(0));
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", none);
    check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", none);
    check("GET / HTTP/1.0\r\n\r\n", none);
    check(&with("X:\r\nY: \t caf\u{e9}\tb \r\n"), none);
    check(&with("cOnTent-leNGth:  5 \r\n"), Ok(BodyEnd::Length(5)));
    check(&with("Transfer-Encoding: CHUNKED\r\n"), Ok(BodyEnd::Chunked));
}

#[test]
fn what_follows_a_head_is_not_looked_at() {
    let bytes = b"GET / HTTP/1.1\r\n\r\n\x00\n\n";
    let found = HeadReader::default().read(bytes, &LIMITS);
    assert_eq!(found, Ok(Some((18, BodyEnd::Length(0)))));
}

#[test]
fn a_line_ends_in_one_way() {
    let line_end = Err(HeadRefused::LineEnd);
    check("GET / HTTP/1.1\nHost: a\r\n\r\n", line_end);
    check("GET / HTTP/1.1\r\nHost: a\n\r\n", line_end);
    check("GET / HTTP/1.1\r\nHost: a\r\n\n", line_end);
    check("\nGET / HTTP/1.1\r\n\r\n", line_end);
    check("\r\n\r\nGET / HTTP/1.1\r\n\r\n", line_end);
    check(&with("X: a\rY: b\r\n"), Err(HeadRefused::FieldValue));
    check(&with("X: a\r\r\n"), Err(HeadRefused::FieldValue));
    for folded in ["X: a\r\n b\r\n", "X: a\r\n\tb\r\n", " X: a\r\n"] {
        check(&with(folded), Err(HeadRefused::Folded));
    }
}

#[test]
fn a_request_line_is_three_words() {
    for line in ["", "GET", "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1"] {
        let expected =
            if line.is_empty() { HeadRefused::LineEnd } else { HeadRefused::RequestLine };
        check(&format!("{line}\r\n\r\n"), Err(expected));
    }
    for line in ["G@T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.10", "GET\t/ HTTP/1.1"] {
        check(&format!("{line}\r\n\r\n"), Err(HeadRefused::RequestLine));
    }
    check("\u{16}\u{3}\u{1}", Err(HeadRefused::RequestLine));
    for version in ["0.9", "1.2", "2.0", "3.0"] {
        check(&format!("GET / HTTP/{version}\r\n\r\n"), Err(HeadRefused::Version));
    }
}

#[test]
fn a_target_has_the_form_of_its_method() {
    let none = Ok(BodyEnd::Length(0));
    for line in
        ["GET http://a/b?c", "GET HTTPS://a:1", "OPTIONS *", "OPTIONS /", "GET /a|b{c}", "GET /?`"]
    {
        check(&format!("{line} HTTP/1.1\r\n\r\n"), none);
    }
    for line in
        ["GET *", "GET a", "GET a:80", "GET ftp://a/", "GET http://", "GET http://[", "OPTIONS **"]
    {
        check(&format!("{line} HTTP/1.1\r\n\r\n"), Err(HeadRefused::Target));
    }
    for target in ["/a#b", "/\u{1}", "/\u{7f}", "/\u{e9}", "/<", "/`", "/?<"] {
        check(&format!("GET {target} HTTP/1.1\r\n\r\n"), Err(HeadRefused::Target));
    }
    let not_implemented = Err(FramingRefused::MethodNotImplemented.into());
    check("CONNECT a:80 HTTP/1.1\r\n\r\n", not_implemented);
    check("TRACE / HTTP/1.1\r\n\r\n", not_implemented);
}

#[test]
fn a_field_has_a_name_a_colon_and_a_value_without_control_characters() {
    for field in ["X : a", "X\t: a", ": a", "X", "X(: a", "X\u{0}: a", "\u{e9}: a", "X Y: a"] {
        check(&with(&format!("{field}\r\n")), Err(HeadRefused::FieldName));
    }
    for field in ["X: \u{0}", "X: a\u{1}b", "X: \u{7f}", "X: \u{b}", "X: a\u{c}"] {
        check(&with(&format!("{field}\r\n")), Err(HeadRefused::FieldValue));
    }
}

#[test]
fn a_body_ends_in_one_place() {
    let ambiguous = Err(FramingRefused::LengthAmbiguous.into());
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -0\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        check(&with(fields), ambiguous);
    }
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ambiguous);
    let unknown = Err(FramingRefused::TransferCodingUnknown.into());
    for coding in [
        "gzip, chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked;a",
        "\"chunked\"",
        "",
    ] {
        check(&with(&format!("Transfer-Encoding: {coding}\r\n")), unknown);
    }
    check(&with("Transfer-Encoding: \u{b}chunked\r\n"), Err(HeadRefused::FieldValue));
}

#[test]
fn each_limit_admits_exactly_what_it_says() {
    let none = Ok(BodyEnd::Length(0));
    let of_target = |size: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(size - 1));
    check(&of_target(20), none);
    check(&of_target(21), Err(CeilingExceeded::TargetTooLong { max: 20 }.into()));
    let of_size = |size: usize| with(&format!("X: {}\r\n", "x".repeat(size - 34)));
    assert_eq!(of_size(200).len(), 200);
    check(&of_size(200), none);
    check(&of_size(201), Err(CeilingExceeded::HeadTooLarge { max: 200 }.into()));
    check(&with("A: 1\r\nB: 2\r\nC: 3\r\n"), none);
    let too_many = CeilingExceeded::TooManyHeaders { max: 4 };
    check(&with("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n"), Err(too_many.into()));
}

#[test]
fn a_line_that_never_ends_is_refused_as_soon_as_it_is_too_long() {
    let endless = |start: &str| format!("{start}{}", "x".repeat(500));
    let cases = [
        (endless("GET /"), CeilingExceeded::TargetTooLong { max: 20 }),
        (endless("GET / HTTP/1.1\r\nX: "), CeilingExceeded::HeadTooLarge { max: 200 }),
    ];
    for (head, exceeded) in cases {
        let found = HeadReader::default().read(head.as_bytes(), &LIMITS);
        assert_eq!(found, Err(exceeded.into()), "{head:.20}");
    }
}
