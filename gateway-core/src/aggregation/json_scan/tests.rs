//! What is one JSON value, held against serde_json, and what is not.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// What serde_json takes the one value to be; it has no cap on depth when it builds nothing.
fn oracle(body: &[u8]) -> Option<&[u8]> {
    serde_json::from_slice::<&RawValue>(body).ok().map(|raw| raw.get().as_bytes())
}

#[test]
fn a_body_is_exactly_one_json_value_with_its_bytes_as_they_were() {
    for (body, expected) in [
        ("{}", Some("{}")),
        (" \t\r\n[1 , 2] \n", Some("[1 , 2]")),
        ("1e400", Some("1e400")),
        ("9007199254740993", Some("9007199254740993")),
        ("-0.10E+05", Some("-0.10E+05")),
        (r#""\ud800""#, Some(r#""\ud800""#)),
        (r#"{"a":1,"a":2}"#, Some(r#"{"a":1,"a":2}"#)),
        ("\u{feff}{}", Some("{}")),
        ("\"é\u{2028}\u{7f}\"", Some("\"é\u{2028}\u{7f}\"")),
        ("", None),
        (" ", None),
        ("{} {}", None),
        ("{}x", None),
        ("\u{feff}\u{feff}{}", None),
        ("01", None),
        ("-", None),
        ("1.", None),
        (".5", None),
        ("1e", None),
        ("+1", None),
        ("NaN", None),
        ("nul", None),
        ("[1,]", None),
        ("[,1]", None),
        ("{\"a\":1,}", None),
        ("{\"a\"}", None),
        ("{a:1}", None),
        ("{'a':1}", None),
        ("[1}", None),
        ("{\"a\":1]", None),
        ("[", None),
        ("]", None),
        ("\"a", None),
        ("\"a\nb\"", None),
        ("\"12345678\u{1f}\"", None),
        ("\"123\u{1f}45678\"", None),
        ("\"123\u{7f}45678\"", Some("\"123\u{7f}45678\"")),
        (r#""\x41""#, None),
        (r#""\u12g4""#, None),
        ("// no\n1", None),
    ] {
        assert_eq!(one_value(body.as_bytes()).ok(), expected.map(str::as_bytes), "{body:?}");
    }
    assert_eq!(one_value(b"\"\xff\""), Err(NotJson));
    assert_eq!(one_value(b"\"\xed\xa0\x80\""), Err(NotJson), "a surrogate in UTF-8");
}

#[test]
fn a_string_of_any_length_ends_at_its_quote_and_holds_no_control_character() {
    for length in 0..40 {
        let plain = "x".repeat(length);
        let value = format!("\"{plain}\"");
        for text in [value.clone(), format!("{value} "), format!(" {value}         ")] {
            assert_eq!(one_value(text.as_bytes()), Ok(value.as_bytes()), "{length}");
        }
        assert_eq!(one_value(&value.as_bytes()[..=length]), Err(NotJson), "{length}");
        for place in 0..length {
            for byte in 0..0x80 {
                let mut text = value.clone().into_bytes();
                text[place + 1] = byte;
                text.extend_from_slice(b"        ");
                let expected = oracle(&text);
                assert_eq!(one_value(&text).ok(), expected, "{byte} at {place} of {length}");
            }
            let (before, after) = plain.split_at(place);
            for accepted in ["é", "\u{a0}\u{2028}", r"\n", r#"\""#, r"\\", r"\u00e9"] {
                let text = format!("{{\"{before}{accepted}{after}\":[\"{before}{accepted}\"]}}");
                assert_eq!(one_value(text.as_bytes()), Ok(text.as_bytes()));
            }
        }
    }
}

#[test]
fn a_number_of_any_length_ends_with_its_digits() {
    for length in 1..40 {
        let digits = "8".repeat(length);
        for number in [digits.clone(), format!("-{digits}.{digits}e+{digits}")] {
            for text in [number.clone(), format!("[{number}]"), format!("[{number},{number}]")] {
                assert_eq!(one_value(text.as_bytes()), Ok(text.as_bytes()));
            }
            for byte in (1..=255).filter(|byte| !b"0123456789.eE \t\n\r".contains(byte)) {
                let text = [number.as_bytes(), &[byte], b"12345678"].concat();
                assert_eq!(one_value(&text), Err(NotJson), "{byte} behind {number}");
            }
        }
    }
}

#[test]
fn nesting_ends_at_its_cap_and_not_before() {
    let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(one_value(nested(128).as_bytes()).is_ok());
    assert!(one_value(nested(129).as_bytes()).is_err());
    let objects = [r#"{"a":"#.repeat(128), "1".into(), "}".repeat(128)].concat();
    assert!(one_value(objects.as_bytes()).is_ok());
    assert!(one_value("[".repeat(1_000_000).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_judged_as_serde_json_judges_them(
        body in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(b"{}[]:,\"\\ue0-+.19tfnrals /\n\x1f\xc3\xa9".to_vec()),
                any::<u8>(),
            ],
            0..24,
        )
    ) {
        prop_assume!(!body.starts_with(BYTE_ORDER_MARK));
        prop_assert_eq!(one_value(&body).ok(), oracle(&body));
    }

    #[test]
    fn a_damaged_document_is_judged_as_serde_json_judges_it(
        document in super::super::testing::json(),
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut body = document.into_bytes();
        prop_assert_eq!(one_value(&body).ok(), oracle(&body));
        prop_assert!(one_value(&body).is_ok());
        let place = place.index(body.len());
        body[place] = byte;
        body.truncate(cut.index(body.len() + 1));
        prop_assume!(!body.starts_with(BYTE_ORDER_MARK));
        prop_assert_eq!(one_value(&body).ok(), oracle(&body));
    }
}
