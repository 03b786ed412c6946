//! Insertion: a part's value put into another part's, at its place.
//!
//! Items are counted as `values::elements` counts them, so what was fetched for the third item
//! stands in the third.
//!
//! Invariants
//! - Bytes that are not touched stay as they were.
//! - An item that is no object, and so has no room for a member, stays as it is.
//!
//! Not here: which part goes where (`place`), what a view shows of the whole (`projection`).

use bytes::Bytes;

use super::json_scan::{NotJson, Scanner};
use super::merge::{Policy, merge};
use super::values::{Path, push_string, spells};

/// What goes in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inserted<'a> {
    /// The same value into each object at the path.
    One(&'a [u8]),
    /// One for each item at the path, by its number.
    Each(&'a [Bytes]),
}

/// The value `json` with a member more in each object at `path`.
pub(super) fn insert(
    json: &[u8],
    path: &Path,
    name: &str,
    values: Inserted<'_>,
    (policy, size_max): (Policy, usize),
) -> Result<Vec<u8>, NotInserted> {
    let into = Vec::with_capacity(json.len() + json.len() / 4);
    let from = Scanner::of_valid(json);
    let mut insertion = Insertion { from, into, name, values, policy, size_max, item: 0 };
    insertion.value(path.names())?;
    Ok(insertion.into)
}

/// What goes in does not go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotInserted {
    /// The host is not what it was validated as.
    NotJson,
    /// The whole would be larger than an answer may be: one value goes into each of many objects.
    TooLarge,
}

impl From<NotJson> for NotInserted {
    fn from(_: NotJson) -> Self {
        Self::NotJson
    }
}

struct Insertion<'a> {
    from: Scanner<'a>,
    into: Vec<u8>,
    name: &'a str,
    values: Inserted<'a>,
    policy: Policy,
    size_max: usize,
    /// The number of the next item.
    item: usize,
}

impl Insertion<'_> {
    fn value(&mut self, path: &[Box<str>]) -> Result<(), NotInserted> {
        match (self.from.peek()?, path) {
            (b'[', _) => self.elements(path),
            (b'{', [name, rest @ ..]) => self.members(name, rest),
            (b'{', []) => self.item(),
            _ => {
                let value = self.from.value()?;
                self.item += usize::from(path.is_empty() && value != b"null");
                self.into.extend_from_slice(value);
                Ok(())
            }
        }
    }

    fn elements(&mut self, path: &[Box<str>]) -> Result<(), NotInserted> {
        self.into.push(b'[');
        let mut has_more = self.from.enter(b']')?;
        while has_more {
            self.value(path)?;
            has_more = self.from.more(b']')?;
            if has_more {
                self.into.push(b',');
            }
        }
        self.into.push(b']');
        Ok(())
    }

    /// An object on the way.
    fn members(&mut self, name: &str, rest: &[Box<str>]) -> Result<(), NotInserted> {
        self.into.push(b'{');
        let mut has_more = self.from.enter(b'}')?;
        while has_more {
            let key = self.from.key()?;
            self.into.extend_from_slice(key.written);
            self.into.push(b':');
            if spells(&key, name) {
                self.value(rest)?;
            } else {
                let value = self.from.value()?;
                self.into.extend_from_slice(value);
            }
            has_more = self.from.more(b'}')?;
            if has_more {
                self.into.push(b',');
            }
        }
        self.into.push(b'}');
        Ok(())
    }

    /// An object at the end of the way.
    fn item(&mut self) -> Result<(), NotInserted> {
        if self.into.len() > self.size_max {
            return Err(NotInserted::TooLarge);
        }
        let value: &[u8] = match self.values {
            Inserted::One(value) => value,
            Inserted::Each(values) => values.get(self.item).map_or(b"null", |value| value),
        };
        self.item += 1;
        self.into.push(b'{');
        let start = self.into.len();
        let mut is_there = false;
        let mut has_more = self.from.enter(b'}')?;
        while has_more {
            let key = self.from.key()?;
            let own = self.from.value()?;
            self.comma_unless_at(start);
            self.into.extend_from_slice(key.written);
            self.into.push(b':');
            if spells(&key, self.name) && !is_there {
                is_there = true;
                let merged = merge(own, value, self.policy)?;
                self.into.extend_from_slice(&merged);
            } else {
                self.into.extend_from_slice(own);
            }
            has_more = self.from.more(b'}')?;
        }
        if !is_there {
            self.comma_unless_at(start);
            push_string(self.name, &mut self.into);
            self.into.push(b':');
            self.into.extend_from_slice(value);
        }
        self.into.push(b'}');
        Ok(())
    }

    fn comma_unless_at(&mut self, start: usize) {
        if self.into.len() > start {
            self.into.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, path: &str, values: &[&str], expected: &str) {
        let values: Vec<Bytes> =
            values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
        let path = Path::parse_rest(path).expect("a path");
        let inserted =
            insert(json.as_bytes(), &path, "n", Inserted::Each(&values), (Policy::Last, 1 << 20));
        let inserted = String::from_utf8(inserted.expect("valid")).expect("UTF-8");
        assert_eq!(inserted, expected);
        serde_json::from_str::<&serde_json::value::RawValue>(&inserted).expect("valid still");
    }

    #[test]
    fn each_item_gets_the_value_of_its_number() {
        check(
            r#"{"x" : 1e400,"items":[{"id":1},[{ }],null,7,{"n":0,"id":2}]}"#,
            "items",
            &["10", "20", "30", "40"],
            r#"{"x":1e400,"items":[{"id":1,"n":10},[{"n":20}],null,7,{"n":40,"id":2}]}"#,
        );
        check(r#"[{"a":{}},{"a":{}}]"#, "a", &["1"], r#"[{"a":{"n":1}},{"a":{"n":null}}]"#);
        check(r#"{"a":1}"#, "", &["2"], r#"{"a":1,"n":2}"#);
        check(r#"{"a":1}"#, "b", &["2"], r#"{"a":1}"#);
    }

    #[test]
    fn one_value_in_many_objects_ends_at_the_bound() {
        let host = format!("[{}]", vec!["{}"; 1_000].join(","));
        let guest = vec![b'1'; 1_000];
        let into = |size_max| {
            let path = Path::default();
            let one = Inserted::One(&guest);
            insert(host.as_bytes(), &path, "n", one, (Policy::Last, size_max))
                .map(|whole| whole.len())
        };
        assert_eq!(into(100_000), Err(NotInserted::TooLarge));
        assert!(into(2_000_000).is_ok_and(|length| length > 1_000_000));
    }

    proptest::proptest! {
        /// Whatever the document: what is found third is what got the third value.
        #[test]
        fn items_are_counted_as_they_are_found(
            document in super::super::testing::json(),
            path in proptest::sample::select(&["", "a", "a.b", "c.id"][..]),
        ) {
            use super::super::values::{elements, lookup};

            let path = Path::parse_rest(path).expect("a path");
            let count = elements(document.as_bytes(), &path).len();
            let values: Vec<Bytes> = (0..count).map(|number| number.to_string().into()).collect();
            let inserted =
                insert(document.as_bytes(), &path, "n", Inserted::Each(&values), (Policy::Last, 1 << 20))
                    .expect("valid");
            serde_json::from_slice::<&serde_json::value::RawValue>(&inserted).expect("valid still");
            let items = elements(&inserted, &path);
            proptest::prop_assert_eq!(items.len(), count);
            let name = Path::parse("n", '.').expect("a path");
            for (item, value) in items.iter().zip(&values).filter(|(item, _)| item[0] == b'{') {
                proptest::prop_assert_eq!(lookup(item, &name), Some(&**value));
            }
        }
    }
}
