//! Shaping: members of a part dropped, renamed, lifted, and arrays cut, in one pass over its bytes.
//!
//! All paths are the service's own (`items/utm`); arrays are crossed without being named. What is
//! not there is not missed: a missing member never stops the rest.
//!
//! Invariants
//! - Values keep their exact bytes, members and elements their order.
//! - No member is written twice: of two that would have one name, the first in the text stays.
//!
//! Not here: what a view shows (`projection`); anything that computes a value.

use std::collections::HashSet;

use super::fields::Fields;
use super::json_scan::{NotJson, Scanner};
use super::values::{Path, name_of, push_string};

/// What is done to a value and to what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    names: Vec<(Box<str>, Self)>,
    is_dropped: bool,
    new_name: Option<Box<str>>,
    is_flattened: bool,
    limit: Option<usize>,
}

impl Shape {
    /// Whether nothing is done.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Drops these members, wherever in the tree they end.
    pub(super) fn drop(&mut self, fields: &Fields) {
        if fields.shows_everything() {
            self.is_dropped = true;
            return;
        }
        for name in fields.names() {
            if let Some(below) = fields.child(name) {
                self.at(name).drop(below);
            }
        }
    }

    /// Gives the member at `path` another name.
    pub(super) fn rename(&mut self, path: &Path, name: &str) {
        self.below(path).new_name = Some(name.into());
    }

    /// Lifts the members of the object at `path` into the object around it; of an array in an
    /// array, its elements.
    pub(super) fn flatten(&mut self, path: &Path) {
        self.below(path).is_flattened = true;
    }

    /// Cuts the array at `path`.
    pub(super) fn limit(&mut self, path: &Path, limit: usize) {
        self.below(path).limit = Some(limit);
    }

    /// The value in its shape.
    pub(super) fn apply(&self, json: &[u8]) -> Result<Vec<u8>, NotJson> {
        let mut shaping =
            Shaping { from: Scanner::try_new(json)?, into: Vec::with_capacity(json.len()) };
        shaping.value(self, self.limit, self.is_flattened)?;
        shaping.from.end()?;
        Ok(shaping.into)
    }

    fn below(&mut self, path: &Path) -> &mut Self {
        path.names().iter().fold(self, |place, name| place.at(name))
    }

    fn at(&mut self, name: &str) -> &mut Self {
        let place = match self.names.iter().position(|(known, _)| **known == *name) {
            Some(place) => place,
            None => {
                self.names.push((name.into(), Self::default()));
                self.names.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.names[place].1
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.names.iter().find(|(known, _)| **known == *name).map(|(_, child)| child)
    }

    /// Whether members of this object may come to have one another's names.
    fn moves_names(&self) -> bool {
        self.names.iter().any(|(_, child)| child.new_name.is_some() || child.is_flattened)
    }
}

struct Shaping<'a> {
    from: Scanner<'a>,
    into: Vec<u8>,
}

/// The object that is being written.
struct Object {
    start: usize,
    /// The names it has, where any could come twice.
    names: Option<HashSet<String>>,
}

impl Object {
    /// Whether a member of that name may be written.
    fn takes(&mut self, name: &str) -> bool {
        self.names.as_mut().is_none_or(|names| names.insert(name.to_owned()))
    }
}

impl Shaping<'_> {
    /// One value. Limit and flattening are passed on their own: they hold for one array, and not
    /// for those in it.
    fn value(
        &mut self,
        shape: &Shape,
        limit: Option<usize>,
        flattens: bool,
    ) -> Result<(), NotJson> {
        match self.from.peek()? {
            b'{' if !shape.names.is_empty() => {
                self.into.push(b'{');
                let names = shape.moves_names().then(HashSet::new);
                let mut object = Object { start: self.into.len(), names };
                self.members(shape, &mut object)?;
                self.into.push(b'}');
            }
            b'[' if limit.is_some() || flattens || !shape.names.is_empty() => {
                self.into.push(b'[');
                let start = self.into.len();
                self.elements(shape, limit, flattens, start)?;
                self.into.push(b']');
            }
            _ => {
                let value = self.from.value()?;
                self.into.extend_from_slice(value);
            }
        }
        Ok(())
    }

    fn members(&mut self, shape: &Shape, object: &mut Object) -> Result<(), NotJson> {
        let mut has_more = self.from.enter(b'}')?;
        while has_more {
            let key = self.from.key()?.written;
            self.member(key, shape.child(&name_of(key)), object)?;
            has_more = self.from.more(b'}')?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        key: &[u8],
        shape: Option<&Shape>,
        object: &mut Object,
    ) -> Result<(), NotJson> {
        let is_lifted = shape.is_some_and(|shape| shape.is_flattened && !shape.is_dropped)
            && self.from.peek()? == b'{';
        if let (true, Some(shape)) = (is_lifted, shape) {
            // Its members are this object's own from here on; another's names come from it too.
            return self.members(shape, object);
        }
        let new_name = shape.and_then(|shape| shape.new_name.as_deref());
        let is_taken = match new_name {
            Some(name) => object.takes(name),
            None => object.names.is_none() || object.takes(&name_of(key)),
        };
        if shape.is_some_and(|shape| shape.is_dropped) || !is_taken {
            return self.from.value().map(drop);
        }
        if self.into.len() > object.start {
            self.into.push(b',');
        }
        match new_name {
            Some(name) => push_string(name, &mut self.into),
            None => self.into.extend_from_slice(key),
        }
        self.into.push(b':');
        match shape {
            Some(shape) => self.value(shape, shape.limit, shape.is_flattened),
            None => {
                let value = self.from.value()?;
                self.into.extend_from_slice(value);
                Ok(())
            }
        }
    }

    fn elements(
        &mut self,
        shape: &Shape,
        limit: Option<usize>,
        flattens: bool,
        start: usize,
    ) -> Result<(), NotJson> {
        let mut count = 0;
        let mut has_more = self.from.enter(b']')?;
        while has_more {
            if limit.is_some_and(|limit| count >= limit) {
                self.from.value()?;
            } else if flattens && self.from.peek()? == b'[' {
                self.elements(shape, None, false, start)?;
            } else {
                if self.into.len() > start {
                    self.into.push(b',');
                }
                self.value(shape, None, false)?;
            }
            count += 1;
            has_more = self.from.more(b']')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::json;
    use super::*;

    /// Shapes by rules written as `drop a/b`, `rename a/b=c`, `flatten a`, `limit a=2`.
    #[track_caller]
    fn check(rules: &[&str], json: &str, expected: &str) {
        let shaped = shape(rules).apply(json.as_bytes());
        let shaped = shaped.map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        assert_eq!(shaped.unwrap_or_else(|error| error.to_string()), expected, "{rules:?} {json}");
    }

    fn shape(rules: &[&str]) -> Shape {
        let mut shape = Shape::default();
        for rule in rules {
            let (verb, rest) = rule.split_once(' ').expect("a verb");
            let (path, value) = rest.split_once('=').unwrap_or((rest, ""));
            let path = Path::parse(path, '/');
            match verb {
                "drop" => shape.drop(&Fields::parse(rest).expect("fields")),
                "rename" => shape.rename(&path.expect("a path"), value),
                "flatten" => shape.flatten(&path.expect("a path")),
                _ => shape.limit(&path.expect("a path"), value.parse().expect("a number")),
            }
        }
        shape
    }

    #[test]
    fn members_go_move_and_get_other_names_and_the_rest_keeps_its_bytes() {
        let json = r#" { "id" : 1e400, "utm":{"source":"s","q" : 1}, "x":[ {"id":1,"y":2}, [{"y":3}], 4 ] } "#;
        check(&["drop utm"], json, r#"{"id":1e400,"x":[ {"id":1,"y":2}, [{"y":3}], 4 ]}"#);
        check(
            &["drop x/y", "drop utm(q)"],
            json,
            r#"{"id":1e400,"utm":{"source":"s"},"x":[{"id":1},[{}],4]}"#,
        );
        check(
            &["rename id=key", "rename x/y=z"],
            json,
            r#"{"key":1e400,"utm":{"source":"s","q" : 1},"x":[{"id":1,"z":2},[{"z":3}],4]}"#,
        );
        check(
            &["flatten utm", "rename utm/q=quarter", "drop x"],
            json,
            r#"{"id":1e400,"source":"s","quarter":1}"#,
        );
        check(
            &["limit x=1"],
            json,
            r#"{"id":1e400,"utm":{"source":"s","q" : 1},"x":[{"id":1,"y":2}]}"#,
        );
        check(&["drop nothing/here", "flatten none"], r#"{"a":1}"#, r#"{"a":1}"#);
        check(&["drop a"], "[1]", "[1]");
        check(&["drop a"], r#"{"a":{"#, &NotJson.to_string());
    }

    #[test]
    fn arrays_in_arrays_are_flattened_by_one_level() {
        check(&["flatten m"], r#"{"m":[[1,2],[],[[3]],4]}"#, r#"{"m":[1,2,[3],4]}"#);
        check(&["flatten m", "limit m=2"], r#"{"m":[[1,2],3,4]}"#, r#"{"m":[1,2,3]}"#);
        check(&["flatten m"], r#"{"m":"text"}"#, r#"{"m":"text"}"#);
    }

    #[test]
    fn of_two_members_with_one_name_the_first_stays() {
        check(&["rename b=a"], r#"{"a":1,"b":2}"#, r#"{"a":1}"#);
        check(&["rename a=b"], r#"{"a":1,"b":2}"#, r#"{"b":1}"#);
        check(&["flatten o"], r#"{"o":{"id":1,"x":2},"id":3}"#, r#"{"id":1,"x":2}"#);
        check(&["flatten o"], r#"{"id":3,"o":{"id":1,"x":2}}"#, r#"{"id":3,"x":2}"#);
    }

    proptest! {
        #[test]
        fn any_document_stays_valid_json(document in json()) {
            let shape = shape(&["drop a/b", "rename b=c", "flatten c", "flatten id", "limit id=1"]);
            let shaped = shape.apply(document.as_bytes()).expect("valid");
            serde_json::from_slice::<&serde_json::value::RawValue>(&shaped).expect("valid still");
        }
    }
}
