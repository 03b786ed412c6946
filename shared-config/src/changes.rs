//! Changes: which keys two configurations differ in. No values: some are secrets.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::diagnostics::Diagnostic;
use crate::loaded::Loaded;

/// The most keys that are named in one text.
const NAMED_MAX: usize = 20;

/// The keys in which a configuration differs from an earlier one, by their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes(BTreeSet<Change>);

/// One key that is new, gone, or has another value. Of a table that is new or gone, the table's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    path: Vec<String>,
    key: Box<str>,
}

impl Loaded {
    /// The keys in which `newer` differs from this configuration. A secret, or a file that
    /// a key names, differs where its text does.
    #[must_use]
    pub fn changes_to(&self, newer: &Self) -> Changes {
        let mut paths = BTreeSet::new();
        let (old, new) = (self.merged(), newer.merged());
        compare(&old.value, &new.value, &mut Vec::new(), &mut paths);
        for (path, secret) in newer.secrets() {
            let before = self.secrets().get(path);
            if before.is_some_and(|before| before.expose() != secret.expose()) {
                paths.insert(path.clone());
            }
        }
        for (path, file) in newer.files() {
            if self.files().get(path).is_some_and(|before| before != file) {
                paths.insert(path.clone());
            }
        }
        for (path, json) in newer.json() {
            if self.json().get(path).is_some_and(|before| before != json) {
                paths.insert(path.clone());
            }
        }
        let key = |path: &[String]| if new.get(path).is_some() { new } else { old }.dotted(path);
        Changes(paths.into_iter().map(|path| Change { key: key(&path).into(), path }).collect())
    }
}

fn compare(old: &Value, new: &Value, path: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            found.insert(path.clone());
        }
        return;
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        path.push(name.clone());
        match (before.get(name), after.get(name)) {
            (Some(old), Some(new)) => compare(old, new, path, found),
            _ => drop(found.insert(path.clone())),
        }
        path.pop();
    }
}

impl Changes {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// Whether one of them is at this path, below it or above it.
    #[must_use]
    pub fn touch(&self, path: &[&str]) -> bool {
        self.0.iter().any(|change| change.path.iter().zip(path).all(|(one, other)| one == other))
    }
}

impl Change {
    /// The names that lead to the key, from the root.
    #[must_use]
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The key, dotted.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with the change, at the key's place in the newer configuration.
    #[must_use]
    pub fn diagnostic(&self, newer: &Loaded, reason: &str) -> Diagnostic {
        let value = newer.merged().shown(&self.path);
        Diagnostic::new(newer.merged(), &self.path, value, reason)
    }
}

/// The keys, with commas; the first of them, where they are many.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.0.iter().take(NAMED_MAX).enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{}", change.key)?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
