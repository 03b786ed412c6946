//! Projection: what a view shows of one part, in one pass over the part's bytes.
//!
//! No tree is built: shown members are copied as they were written, as many at once as follow one
//! another; hidden ones are stepped over. A part of which nothing is hidden is not even copied; it
//! stays the slice that arrived.
//!
//! Invariants
//! - Numbers, strings and keys keep their exact bytes, members and elements their order.
//! - All of the part is validated, the hidden bytes too.
//! - The kind of a value is kept: an object stays one, an array keeps its length unless a limit
//!   says otherwise. A scalar where the view names members shows none of them: null.
//!
//! Not here: the language of fields (`fields`), where parts stand in the answer (`compose`).

use std::ops::Range;

use bytes::Bytes;

use super::fields::Fields;
use super::json_scan::{
    DEPTH_MAX, Key, NotJson, Rest, after_value, in_utf8, one_value, token, trimmed,
};
use super::values::name_of;

/// What `fields` shows of the one JSON value in `body`.
pub(super) fn project(body: &Bytes, fields: &Fields) -> Result<Bytes, NotJson> {
    if fields.shows_everything() && fields.limit().is_none() {
        return Ok(body.slice_ref(one_value(body)?));
    }
    let mut shown = Shown::of(body);
    let rest = shown.value(in_utf8(body)?, 0, fields, fields.limit())?;
    if trimmed(rest).is_empty() { Ok(shown.done()) } else { Err(NotJson) }
}

/// The same of a value that has been validated before: shown whole, it is not looked at again.
pub(super) fn project_valid(value: &Bytes, fields: &Fields) -> Bytes {
    if fields.shows_everything() && fields.limit().is_none() {
        return value.clone();
    }
    // What was valid once is valid still.
    project(value, fields).unwrap_or_else(|NotJson| Bytes::from_static(b"null"))
}

/// What is shown, as stretches of the body: one is copied only where the next does not go on
/// from it.
struct Shown<'a> {
    body: &'a Bytes,
    copied: Vec<u8>,
    /// The last stretch, which is not copied yet.
    last: Range<usize>,
}

impl<'a> Shown<'a> {
    const fn of(body: &'a Bytes) -> Self {
        Self { body, copied: Vec::new(), last: 0..0 }
    }

    /// One value, which lies in so many containers. The limit is passed on its own, since it does
    /// not hold for arrays in an array.
    fn value(
        &mut self,
        rest: &'a [u8],
        depth: u32,
        fields: &Fields,
        limit: Option<usize>,
    ) -> Rest<'a> {
        let start = trimmed(rest);
        let (first, inside) = token(start)?;
        match first {
            b'{' if !fields.shows_everything() => self.members(start, depth, fields),
            b'[' if limit.is_some() || !fields.shows_everything() => {
                self.elements(start, depth, fields, limit)
            }
            _ => {
                let rest = after_value(first, inside, depth)?;
                if fields.shows_others() {
                    self.show(start, rest);
                } else {
                    self.say(b"null");
                }
                Ok(rest)
            }
        }
    }

    fn members(&mut self, start: &'a [u8], depth: u32, fields: &Fields) -> Rest<'a> {
        let mut rest = self.open(start, depth)?;
        let mut is_first = true;
        if let (b'}', end) = token(rest)? {
            self.show_mark(b'}', end.len());
            return Ok(end);
        }
        loop {
            let start = trimmed(rest);
            let key = Key::at(start)?;
            rest = match child_of(fields, &key) {
                None => skip(key.value, depth + 1)?,
                Some(child) => {
                    if !is_first {
                        self.show_mark(b',', start.len());
                    }
                    is_first = false;
                    self.member(start, &key, depth + 1, child)?
                }
            };
            match token(rest)? {
                (b',', next) => rest = next,
                (b'}', end) => {
                    self.show_mark(b'}', end.len());
                    return Ok(end);
                }
                _ => return Err(NotJson),
            }
        }
    }

    /// A member that is shown, from its key on.
    #[inline]
    fn member(&mut self, start: &'a [u8], key: &Key<'a>, depth: u32, child: &Fields) -> Rest<'a> {
        if child.shows_everything() && child.limit().is_none() && key.is_tight(start) {
            let rest = skip(key.value, depth)?;
            self.show(start, rest);
            return Ok(rest);
        }
        self.show(start, start.get(key.written.len()..).unwrap_or_default());
        self.show_mark(b':', key.value.len());
        self.value(key.value, depth, child, child.limit())
    }

    fn elements(
        &mut self,
        start: &'a [u8],
        depth: u32,
        fields: &Fields,
        limit: Option<usize>,
    ) -> Rest<'a> {
        let mut rest = self.open(start, depth)?;
        if let (b']', end) = token(rest)? {
            self.show_mark(b']', end.len());
            return Ok(end);
        }
        let mut count = 0;
        loop {
            rest = if limit.is_some_and(|limit| count >= limit) {
                skip(rest, depth + 1)?
            } else {
                if count > 0 {
                    self.show_mark(b',', trimmed(rest).len());
                }
                self.value(rest, depth + 1, fields, None)?
            };
            count += 1;
            match token(rest)? {
                (b',', next) => rest = next,
                (b']', end) => {
                    self.show_mark(b']', end.len());
                    return Ok(end);
                }
                _ => return Err(NotJson),
            }
        }
    }

    /// Shows the bracket at `start`.
    fn open(&mut self, start: &'a [u8], depth: u32) -> Rest<'a> {
        let (_, inside) = start.split_first().ok_or(NotJson)?;
        if depth == DEPTH_MAX {
            return Err(NotJson);
        }
        self.show(start, inside);
        Ok(inside)
    }

    /// What was read on the way from one place to a later one comes next.
    #[inline]
    fn show(&mut self, start: &[u8], rest: &[u8]) {
        self.show_stretch(self.body.len() - start.len()..self.body.len() - rest.len());
    }

    #[inline]
    fn show_stretch(&mut self, stretch: Range<usize>) {
        if self.last.end != stretch.start {
            self.copy_last();
            self.last.start = stretch.start;
        }
        self.last.end = stretch.end;
    }

    /// This punctuation comes next; unless there is whitespace, it is in the body where `left`
    /// bytes are left behind it.
    #[inline]
    fn show_mark(&mut self, mark: u8, left: usize) {
        let end = self.body.len() - left;
        if end > 0 && self.body.get(end - 1) == Some(&mark) {
            self.show_stretch(end - 1..end);
        } else {
            self.say(&[mark]);
        }
    }

    /// These come next, which are not in the body.
    #[inline(never)]
    fn say(&mut self, bytes: &[u8]) {
        self.copy_last();
        self.copied.extend_from_slice(bytes);
    }

    fn copy_last(&mut self) {
        if !self.last.is_empty() {
            if self.copied.capacity() == 0 {
                self.copied.reserve(self.body.len() / 2);
            }
            self.copied.extend_from_slice(self.body.get(self.last.clone()).unwrap_or_default());
            // Nothing goes on from here.
            self.last = usize::MAX..usize::MAX;
        }
    }

    /// All of it.
    fn done(mut self) -> Bytes {
        if self.copied.is_empty() {
            return self.body.slice(self.last);
        }
        self.copy_last();
        self.copied.into()
    }
}

/// What is shown of a member.
#[inline]
fn child_of<'f>(fields: &'f Fields, key: &Key<'_>) -> Option<&'f Fields> {
    match key.written {
        [b'"', name @ .., b'"'] if key.is_plain => fields.child_of_bytes(name),
        written => fields.child(&name_of(written)),
    }
}

/// Behind a value that is not shown.
fn skip(rest: &[u8], depth: u32) -> Rest<'_> {
    let (first, rest) = token(rest)?;
    after_value(first, rest, depth)
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
        let named = project(&body, &fields("a/b,a", &[])).expect("JSON");
        assert_eq!((named.as_ptr(), &named[..]), (body[1..].as_ptr(), &b"{\"a\":1}"[..]));
    }

    #[test]
    fn whitespace_between_what_is_shown_and_what_is_not_disappears() {
        let spaced = "\u{feff} [ { \"a\" :1 ,\"b\":2, \"c\": [ ] , \"d\":3 } , { } , [ ] ]\n";
        check("a,c/x", &[], spaced, r#"[{"a":1,"c":[]},{},[]]"#);
        check("b", &[], spaced, r#"[{"b":2},{},[]]"#);
        check("c,d", &[], spaced, r#"[{"c":[ ],"d":3},{},[]]"#);
    }

    #[test]
    fn a_member_is_found_among_few_names_and_among_many() {
        for count in [1, 16, 17, 300] {
            let names: Vec<String> = (0..count).map(|number| format!("n{number}")).collect();
            let member = |name: &String| format!("\"{name}\":1");
            let all = names.iter().map(member).collect::<Vec<_>>().join(",");
            check(&names.join(","), &[], &format!("{{{all},\"n\":2}}"), &format!("{{{all}}}"));
        }
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
