//! XML as JSON, and XML that is refused.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[track_caller]
fn check(xml: &str, expected: &str) {
    let json = to_json(xml.as_bytes()).expect(xml);
    let json = String::from_utf8(json).expect("UTF-8");
    assert_eq!(json, expected, "{xml}");
    serde_json::from_str::<Value>(&json).expect("JSON");
}

#[test]
fn the_example_of_the_mapping_holds() {
    check(
        r#"<?xml version="1.0"?>
        <usage xmlns="urn:billing" plan="pro">
          <period from="2026-03-01">March</period>
          <item>7</item>
          <item>8.50</item>
          <note/>
        </usage>"#,
        r##"{"plan":"pro","period":{"from":"2026-03-01","#text":"March"},"item":[7,8.50],"note":null}"##,
    );
}

#[test]
fn attributes_and_elements_are_members_and_several_of_one_name_an_array() {
    check("<a>x</a>", r#""x""#);
    check("<a/>", "null");
    check("<a></a>", "null");
    check("<a><b/></a>", r#"{"b":null}"#);
    check(r#"<a b="1"/>"#, r#"{"b":1}"#);
    check(r#"<a b="1"><b>2</b></a>"#, r#"{"b":[1,2]}"#);
    check("<a><z>1</z><b>2</b><z>3</z></a>", r#"{"z":[1,3],"b":2}"#);
    check("<a><i><n>1</n></i><i><n>2</n></i></a>", r#"{"i":[{"n":1},{"n":2}]}"#);
}

#[test]
fn text_keeps_what_it_says() {
    check("<a>\n  x y\n </a>", r#""x y""#);
    check("<a>1 &lt; 2 &amp;&#65;&#x42;&quot;</a>", r#""1 < 2 &AB\"""#);
    check("<a><![CDATA[<b>&amp;]]> c</a>", r#""<b>&amp; c""#);
    check("<a>Hello <b>big</b> world<!-- no --></a>", r##"{"b":"big","#text":"Hello  world"}"##);
    check("<a b=' x&#10;&apos;y '/>", r#"{"b":"x\n'y"}"#);
    check("<a>é\u{2028}\u{1}</a>", "\"é\u{2028}\\u0001\"");
    check("<a>x\r\ny</a>", r#""x\ny""#);
}

#[test]
fn namespaces_leave_no_trace() {
    check(
        r#"<s:a xmlns:s="urn:s" xmlns="urn:d" s:k="v"><s:b>1</s:b><t:b xmlns:t="urn:t">2</t:b></s:a>"#,
        r#"{"k":"v","b":[1,2]}"#,
    );
}

#[test]
fn numbers_keep_their_digits_and_what_only_looks_like_one_stays_text() {
    for same in ["0", "12", "-12", "-0", "0.10", "12.50", "9007199254740993", "true", "false"] {
        check(&format!("<a>{same}</a>"), same);
    }
    for text in [
        "007", "00", "1e5", "12e4", "+1", "-", "1.", ".5", "1.2.3", "0x1", "1_0", "NaN", "True",
        "1 2", "null", "١",
    ] {
        check(&format!("<a>{text}</a>"), &format!("\"{text}\""));
    }
}

#[track_caller]
fn refused(xml: &str, expected: &str) {
    let error = to_json(xml.as_bytes()).expect_err(xml).to_string();
    assert!(error.contains(expected), "{xml}: {error}");
}

#[test]
fn document_types_entities_and_instructions_are_refused() {
    refused("<!DOCTYPE a><a/>", "document type");
    refused(r#"<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>"#, "document type");
    refused("<a>&x;</a>", "refers to an entity");
    refused("<a b='&x;'/>", "refers to an entity");
    refused("<?xml-stylesheet href='x'?><a/>", "processing instruction");
    refused("<a><?php x?></a>", "processing instruction");
    refused("<a><?xml version='1.0'?></a>", "processing instruction");
}

#[test]
fn only_one_well_formed_root_is_read() {
    for bad in [
        "",
        "  ",
        "x",
        "<a>",
        "</a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a b='1' b='2'/>",
        "<a b/>",
        "<a b=1/>",
        "<a",
        "<a><![CDATA[x</a>",
        "<a/>&amp;",
        "<#text/>",
        "<a #text='1'>x</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&",
        "<a><!-- </a>",
        "{\"a\":1}",
    ] {
        refused(bad, "not well-formed");
    }
}

#[test]
fn encodings_other_than_utf_8_are_refused_where_they_matter() {
    check(r#"<?xml version="1.0" encoding="ISO-8859-1"?><a>x</a>"#, r#""x""#);
    check(r#"<?xml version="1.0" encoding="utf-8"?><a>é</a>"#, r#""é""#);
    check("\u{feff}<a>é</a>", r#""é""#);
    refused(r#"<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>"#, "not in UTF-8");
    assert!(matches!(to_json(b"<a>\xe9</a>"), Err(XmlRefused::EncodingUnknown)));
}

#[test]
fn depth_and_number_of_elements_have_ceilings() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(to_json(nested(DEPTH_MAX).as_bytes()).is_ok());
    refused(&nested(DEPTH_MAX + 1), "nested more than");
    let flat = |count: usize| format!("<r>{}</r>", "<a/>".repeat(count));
    assert!(to_json(flat(NODES_MAX - 1).as_bytes()).is_ok());
    refused(&flat(NODES_MAX), "has more than");
    let comment = format!("<a/><!--{}-->", " ".repeat(SIZE_MAX));
    assert!(matches!(to_json(comment.as_bytes()), Err(XmlRefused::TooLarge)));
}

/// A well-formed element, and how many values its JSON must hold.
fn any_element() -> impl Strategy<Value = String> {
    let text = "[a-z0-9. \"\\\\\u{1}\u{2028}é]{0,6}";
    let leaf = ("[a-c]", text).prop_map(|(name, text)| format!("<{name}>{text}</{name}>"));
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let attribute = prop::option::of("[a-z0-9 é.]{0,4}");
        (("[a-c]", attribute), prop::collection::vec(inner, 0..5), text).prop_map(
            |((name, attribute), children, text)| {
                let attribute =
                    attribute.map(|value| format!(" b=\"{value}\"")).unwrap_or_default();
                format!("<{name}{attribute}>{}{text}</{name}>", children.concat())
            },
        )
    })
}

proptest! {
    #[test]
    fn any_well_formed_document_becomes_valid_json_without_duplicate_members(xml in any_element()) {
        let json = to_json(xml.as_bytes()).expect("well-formed");
        let value: Value = serde_json::from_slice(&json).expect("JSON");
        // A duplicate member would be lost on the way through a tree.
        let members = |json: &str| json.matches("\":").count();
        let json = String::from_utf8(json).expect("UTF-8");
        prop_assert_eq!(members(&json), members(&value.to_string()), "{}", json);
    }

    #[test]
    fn no_bytes_break_the_reader(xml in "[<>/a!\\[\\]CDAT?&;#x\"'= \u{e9}-]{0,40}") {
        if let Ok(json) = to_json(xml.as_bytes()) {
            serde_json::from_slice::<Value>(&json).expect("JSON");
        }
    }

    #[test]
    fn no_binary_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = to_json(&bytes);
    }
}
