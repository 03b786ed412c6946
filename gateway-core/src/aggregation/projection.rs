//! Projection: what a view shows of one part, in one pass over the part's bytes.
//!
//! No tree is built: shown members are copied as they were written, hidden ones are stepped over.
//! A part that is shown whole is not even copied; it stays the slice that arrived.
//!
//! Invariants
//! - Numbers, strings and keys keep their exact bytes, members and elements their order.
//! - All of the part is validated, the hidden bytes too.
//! - The kind of a value is kept: an object stays one, an array keeps its length unless a limit
//!   says otherwise. A scalar where the view names members shows none of them: null.
//!
//! Not here: the language of fields (`fields`), where parts stand in the answer (`compose`).

use bytes::Bytes;

use super::fields::Fields;
use super::json_scan::{NotJson, Scanner, one_value};
use super::values::name_of;

/// What `fields` shows of the one JSON value in `body`.
pub(super) fn project(body: &Bytes, fields: &Fields) -> Result<Bytes, NotJson> {
    if fields.shows_everything() && fields.limit().is_none() {
        return Ok(body.slice_ref(one_value(body)?));
    }
    let mut projection =
        Projection { from: Scanner::try_new(body)?, into: Vec::with_capacity(body.len() / 2) };
    projection.value(fields, fields.limit())?;
    projection.from.end()?;
    Ok(projection.into.into())
}

/// The same of a value that has been validated before: shown whole, it is not looked at again.
pub(super) fn project_valid(value: &Bytes, fields: &Fields) -> Bytes {
    if fields.shows_everything() && fields.limit().is_none() {
        return value.clone();
    }
    // What was valid once is valid still.
    project(value, fields).unwrap_or_else(|NotJson| Bytes::from_static(b"null"))
}

struct Projection<'a> {
    from: Scanner<'a>,
    into: Vec<u8>,
}

impl Projection<'_> {
    /// One value. The limit is passed on its own, since it does not hold for arrays in an array.
    fn value(&mut self, fields: &Fields, limit: Option<usize>) -> Result<(), NotJson> {
        match self.from.peek()? {
            b'{' if !fields.shows_everything() => self.members(fields),
            b'[' if limit.is_some() || !fields.shows_everything() => self.elements(fields, limit),
            _ => {
                let value = self.from.value()?;
                self.into.extend_from_slice(if fields.shows_others() { value } else { b"null" });
                Ok(())
            }
        }
    }

    fn members(&mut self, fields: &Fields) -> Result<(), NotJson> {
        self.into.push(b'{');
        let start = self.into.len();
        let mut has_more = self.from.enter(b'}')?;
        while has_more {
            let key = self.from.key()?;
            match fields.child(&name_of(key)) {
                Some(child) => {
                    if self.into.len() > start {
                        self.into.push(b',');
                    }
                    self.into.extend_from_slice(key);
                    self.into.push(b':');
                    self.value(child, child.limit())?;
                }
                None => {
                    self.from.value()?;
                }
            }
            has_more = self.from.more(b'}')?;
        }
        self.into.push(b'}');
        Ok(())
    }

    fn elements(&mut self, fields: &Fields, limit: Option<usize>) -> Result<(), NotJson> {
        self.into.push(b'[');
        let mut has_more = self.from.enter(b']')?;
        let mut count = 0;
        while has_more {
            if limit.is_some_and(|limit| count >= limit) {
                self.from.value()?;
            } else {
                if count > 0 {
                    self.into.push(b',');
                }
                self.value(fields, None)?;
            }
            count += 1;
            has_more = self.from.more(b']')?;
        }
        self.into.push(b']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::testing::{NAMES, json};
    use super::*;

    fn fields(text: &str, limits: &[(&str, usize)]) -> Fields {
        let mut fields = Fields::parse(text).expect(text);
        for (path, limit) in limits {
            assert!(fields.set_limit(path, *limit), "{path}");
        }
        fields
    }

    #[track_caller]
    fn check(text: &str, limits: &[(&str, usize)], body: &str, expected: &str) {
        let shown = project(&Bytes::copy_from_slice(body.as_bytes()), &fields(text, limits));
        let shown = shown.map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"));
        assert_eq!(shown.unwrap_or_else(|error| error.to_string()), expected, "{text} of {body}");
    }

    #[test]
    fn a_part_shows_what_is_named_as_it_was_written() {
        let exact = r#" { "n" : [1e400, 0.10] , "a":"\u0041" } "#;
        check("*", &[], exact, exact.trim());
        check("n", &[], exact, r#"{"n":[1e400, 0.10]}"#);
        check("a,n", &[], exact, r#"{"n":[1e400, 0.10],"a":"\u0041"}"#);
        check("x", &[], exact, "{}");
        check("id", &[], r#"{"i\u0064":9007199254740993}"#, r#"{"i\u0064":9007199254740993}"#);
        check("id", &[], r#"{"\ud800":1,"id":2}"#, r#"{"id":2}"#);
        check("a", &[], r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1,"a":3}"#);
        check("__proto__", &[], r#"{"__proto__":1}"#, r#"{"__proto__":1}"#);
        check("a", &[], "\u{feff}{\"a\":1}", r#"{"a":1}"#);
    }

    #[test]
    fn arrays_are_crossed_and_scalars_show_no_members() {
        let body = r#"{"items":[{"id":1,"x":2},[{"id":3,"x":4},[]],5,null]}"#;
        check("items/id", &[], body, r#"{"items":[{"id":1},[{"id":3},[]],null,null]}"#);
        check("id", &[], r#"[{"id":1},{"x":2}]"#, r#"[{"id":1},{}]"#);
        check("a/b", &[], r#"{"a":"secret"}"#, r#"{"a":null}"#);
        check("a/b", &[], r#""secret""#, "null");
        check("a/b", &[], "{}", "{}");
    }

    #[test]
    fn a_limit_cuts_the_array_at_its_path_and_nothing_else() {
        let body = r#"{"items":[[1,2,3],[4],[5]],"other":[1,2,3]}"#;
        check("*", &[("items", 2)], body, r#"{"items":[[1,2,3],[4]],"other":[1,2,3]}"#);
        check("items", &[("items", 0)], body, r#"{"items":[]}"#);
        check("items", &[("items", 9)], body, r#"{"items":[[1,2,3],[4],[5]]}"#);
        check("*", &[("items", 2)], r#"{"items":"text"}"#, r#"{"items":"text"}"#);
        check("*", &[("items", 2)], r#"{"items":{"a":[1,2,3]}}"#, r#"{"items":{"a":[1,2,3]}}"#);
        let listed = r#"[{"tags":[1,2]},{"tags":[3,4]}]"#;
        check("*", &[("tags", 1)], listed, r#"[{"tags":[1]},{"tags":[3]}]"#);
    }

    #[test]
    fn hidden_bytes_are_validated_too() {
        let refused = NotJson.to_string();
        for bad in [
            r#"{"a":1,"b":01}"#,
            r#"{"a":1}x"#,
            r#"{"a":1"#,
            r#"{"b":[}"#,
            r#"{"b"}"#,
            r#"{"a":1 "b":2}"#,
            "[1,]",
            "",
        ] {
            check("a", &[], bad, &refused);
        }
        check("*", &[("a", 1)], r#"{"a":[1,2,nope]}"#, &refused);
        let deep = ["[".repeat(129), "]".repeat(129)].concat();
        check("a", &[], &deep, &refused);
        check("a", &[], &[r#"{"a":"#, &deep[1..129], &deep[129..257], "}"].concat(), &refused);
    }

    #[test]
    fn a_part_that_is_shown_whole_is_the_slice_that_arrived() {
        let body = Bytes::from_static(b" {\"a\":1} ");
        let shown = project(&body, &Fields::everything()).expect("JSON");
        assert_eq!(shown.as_ptr(), body[1..].as_ptr());
    }

    /// The same, over a tree, as anybody would write it first.
    fn naive(value: &Value, fields: &Fields, limit: Option<usize>) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter_map(|(name, value)| Some((name, value, fields.child(name)?)))
                .map(|(name, value, child)| (name.clone(), naive(value, child, child.limit())))
                .collect(),
            Value::Array(elements) => elements
                .iter()
                .take(limit.unwrap_or(usize::MAX))
                .map(|element| naive(element, fields, None))
                .collect(),
            scalar if fields.shows_others() => scalar.clone(),
            _ => Value::Null,
        }
    }

    fn fields_text() -> impl Strategy<Value = String> {
        let name = || proptest::sample::select(&NAMES[..]).prop_map(str::to_owned);
        let leaf = prop_oneof![9 => name(), 1 => Just("*".to_owned())];
        leaf.prop_recursive(4, 20, 4, move |inner| {
            prop_oneof![
                (name(), proptest::collection::vec(inner.clone(), 1..4))
                    .prop_map(|(name, below)| format!("{name}({})", below.join(","))),
                (name(), inner).prop_map(|(name, below)| format!("{name}/{below}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_one_pass_shows_what_a_tree_would(
            document in json(),
            text in proptest::collection::vec(fields_text(), 1..4),
            limits in proptest::collection::vec(
                (proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..3), 0..3_usize),
                0..3,
            ),
        ) {
            let mut fields = Fields::parse(&text.join(",")).expect("generated");
            for (path, limit) in limits {
                fields.set_limit(&path.join("/"), limit);
            }
            let shown = project(&Bytes::from(document.clone()), &fields).expect("JSON");
            let shown: Value = serde_json::from_slice(&shown).expect("JSON");
            let tree: Value = serde_json::from_str(&document).expect("JSON");
            prop_assert_eq!(shown, naive(&tree, &fields, fields.limit()));
        }
    }
}
