//! A key of the merged value and what stands there, if anything does.

use std::str::FromStr;

use serde_json::{Map, Value};

/// A place in the merged value.
pub(super) struct Node<'a> {
    path: Vec<String>,
    value: Option<&'a Value>,
}

impl<'a> Node<'a> {
    /// The outermost table.
    pub(super) const fn root(value: &'a Value) -> Self {
        Self { path: Vec::new(), value: Some(value) }
    }

    /// The place below this one with that key.
    pub(super) fn get(&self, key: &str) -> Self {
        self.below(key, self.value.and_then(|value| value.get(key)))
    }

    /// The place that several keys lead to.
    pub(super) fn find<const N: usize>(&self, keys: [&str; N]) -> Self {
        let here = Self { path: self.path.clone(), value: self.value };
        keys.into_iter().fold(here, |node, key| node.get(key))
    }

    /// The members of a table; of anything else, none.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let members = self.value.and_then(Value::as_object);
        let members = members.into_iter().flat_map(Map::iter);
        members.map(|(key, value)| (key.as_str(), self.below(key, Some(value))))
    }

    /// The texts in a list; of anything else, none.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let elements = self.value.and_then(Value::as_array).into_iter().flatten().enumerate();
        elements.filter_map(|(index, value)| {
            Some((value.as_str()?, self.below(&index.to_string(), Some(value))))
        })
    }

    /// What is in a list; of anything else, nothing.
    pub(super) fn elements(&self) -> impl Iterator<Item = Self> {
        let elements = self.value.and_then(Value::as_array).into_iter().flatten().enumerate();
        elements.map(|(index, value)| self.below(&index.to_string(), Some(value)))
    }

    /// The text that stands here.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }

    /// The text that stands here, as what it is read as.
    pub(super) fn parsed<T: FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// What stands here.
    pub(super) const fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// The whole number below this place with that key.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.value?.get(key)?.as_u64()
    }

    /// The whole number that stands here.
    pub(super) fn integer(&self) -> Option<u64> {
        self.value.and_then(Value::as_u64)
    }

    /// Whether `true` stands here.
    pub(super) fn is_true(&self) -> bool {
        self.value == Some(&Value::Bool(true))
    }

    /// Whether a table stands here.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_some_and(Value::is_object)
    }

    /// Whether anything stands here.
    pub(super) const fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// Whether anything stands here, right or wrong; an empty list does not count.
    pub(super) fn is_written(&self) -> bool {
        self.value.is_some_and(|value| value != &Value::Array(Vec::new()))
    }

    /// The way here from the root.
    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    fn below(&self, key: &str, value: Option<&'a Value>) -> Self {
        Self { path: [self.path.as_slice(), &[key.to_owned()]].concat(), value }
    }
}
