//! Members that are removed from JSON, every other byte kept.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn fields(texts: &[&str]) -> FieldPaths {
    let mut fields = FieldPaths::default();
    for text in texts {
        fields.add(text).expect(text);
    }
    fields
}

#[track_caller]
fn check(texts: &[&str], json: &str, expected: &str) {
    let removed = fields(texts).remove_from(json.as_bytes()).expect(json);
    let left = removed.unwrap_or_else(|| json.as_bytes().to_vec());
    assert_eq!(String::from_utf8(left).expect("UTF-8"), expected, "{texts:?}");
}

#[test]
fn what_stays_keeps_its_bytes() {
    let kept = r#"{"n":[9007199254740993,1e400,0.10,-0,1E+2], "é" : "\u00e9\/" ,"z":1,"a":2}"#;
    check(&["gone"], kept, kept);
    check(
        &["gone"],
        r#"{"n":[9007199254740993,1e400,0.10,-0,1E+2], "gone":{"x":1}, "é" : "\u00e9\/" ,"z":1,"a":2}"#,
        kept,
    );
}

#[test]
fn one_comma_goes_with_each_member() {
    check(&["a"], r#"{"a":1}"#, "{}");
    check(&["a"], r#"{"a":1,"b":2}"#, r#"{"b":2}"#);
    check(&["a"], r#"{"b":2,"a":1}"#, r#"{"b":2}"#);
    check(&["a"], r#"{"b":2,"a":1,"c":3}"#, r#"{"b":2,"c":3}"#);
    check(&["a", "b"], r#"{"a":1,"b":2}"#, "{}");
    check(&["a", "b"], r#"{"x":0,"a":1,"b":2}"#, r#"{"x":0}"#);
    check(&["a", "c"], r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2}"#);
    check(&["a"], "{ \"b\" : 2 ,\n \"a\" : 1 }", "{ \"b\" : 2 }");
    check(&["a"], r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2}"#);
}

#[test]
fn pointers_reach_into_objects_and_arrays() {
    let json = r#"{"a":{"b":1,"c":[{"d":1,"e":2},{"d":3}]},"b":4}"#;
    check(&["/a/b"], json, r#"{"a":{"c":[{"d":1,"e":2},{"d":3}]},"b":4}"#);
    check(&["/a/c/0/d"], json, r#"{"a":{"b":1,"c":[{"e":2},{"d":3}]},"b":4}"#);
    check(&["/a/c/*/d"], json, r#"{"a":{"b":1,"c":[{"e":2},{}]},"b":4}"#);
    check(&["/a/c/1"], json, r#"{"a":{"b":1,"c":[{"d":1,"e":2}]},"b":4}"#);
    check(&["/a", "/a/c/0/d"], json, r#"{"b":4}"#);
    check(&["/*/d"], r#"[{"d":1},{"*":{"d":2}}]"#, r#"[{},{"*":{"d":2}}]"#);
    check(&["/*/d"], r#"{"*":{"d":2},"x":{"d":3}}"#, r#"{"*":{},"x":{"d":3}}"#);
    check(&["/a~1b/~0c", "/"], r#"{"a/b":{"~c":1},"":2}"#, r#"{"a/b":{}}"#);
}

#[test]
fn no_escape_hides_a_name() {
    check(&["role"], r#"{"r\u006fle":1,"x":"\"role\":1"}"#, r#"{"x":"\"role\":1"}"#);
    check(&["a\"b\\"], r#"{"a\"b\\":1}"#, "{}");
    check(&["é"], r#"{"\u00E9":1}"#, "{}");
}

#[test]
fn scalars_and_empty_containers_have_no_members() {
    for json in ["1", "null", "\"a\"", "[]", "{}", " [ ] ", "[[],{}]"] {
        check(&["a", "/0/a"], json, json);
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for bad in ["", "{", "{\"a\":1,}", "{'a':1}", "\u{feff}{}", "{} {}", "NaN", "01", &deep] {
        assert_eq!(fields(&["a"]).remove_from(bad.as_bytes()), Err(NotJson), "{bad}");
    }
    assert_eq!(fields(&["a"]).remove_from(b"\"\xff\""), Err(NotJson));
}

#[test]
fn a_field_is_a_name_or_a_pointer() {
    for bad in ["", "/a~b", "/a~"] {
        assert!(FieldPaths::default().add(bad).is_err(), "{bad}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(Value::from),
        "[a\"\\\\{,é]{0,3}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[ab\"]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// The same on a tree.
fn remove(value: &mut Value, name: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(name);
    }
}

proptest! {
    #[test]
    fn cutting_bytes_is_removing_members(value in any_json(), is_pretty: bool) {
        let print = if is_pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let json = print(&value).expect("JSON");
        let mut expected = value.clone();
        remove(&mut expected, "a");
        for inner in [expected.get_mut("b")].into_iter().flatten() {
            remove(inner, "\"");
        }
        for item in expected.as_array_mut().into_iter().flatten() {
            remove(item, "b");
        }
        let removed = fields(&["a", "/b/\"", "/*/b"]).remove_from(json.as_bytes()).expect("JSON");
        prop_assert_eq!(removed.is_none(), expected == value);
        let left = removed.unwrap_or_else(|| json.into_bytes());
        prop_assert_eq!(serde_json::from_slice::<Value>(&left).expect("JSON"), expected);
    }

    #[test]
    fn the_scanner_ends_on_any_bytes(bytes in "[\\[\\]{}:,\"\\\\ab1 \n]{0,24}") {
        let fields = fields(&["a"]);
        let json = bytes.as_bytes();
        let path = Vec::new();
        let mut scanner = Scanner { json, at: 0, fields: &fields, path, cuts: Vec::new() };
        let scanned = scanner.value();
        prop_assert!(scanned.is_ok() || serde_json::from_slice::<&RawValue>(json).is_err());
    }
}
