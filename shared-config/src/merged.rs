//! The merged configuration: its value, where each key is written, what each key may be.
//!
//! Invariant: nothing that is shown here is a secret, or could be one.

use serde_json::Value;

use crate::layers::places::Places;
use crate::schema::{self, Section};
use crate::{render, secret};

/// A configuration whose layers are merged.
#[derive(Debug, Clone)]
pub(crate) struct Merged {
    /// The keys and values; secrets are references still.
    pub(crate) value: Value,
    /// Where they are written.
    pub(crate) places: Places,
    /// What they may be.
    pub(crate) schema: Value,
}

impl Merged {
    /// What stands at a path.
    pub(crate) fn get(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, key| match value {
            Value::Object(members) => members.get(key),
            Value::Array(elements) => elements.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Reads a section that is absent as an empty one.
    pub(crate) fn default_section(&mut self, section: &Section) {
        if let Value::Object(sections) = &mut self.value {
            sections.entry(section.key()).or_insert_with(|| section.empty());
        }
    }

    /// Writes out the plain values that absent keys stand for, so that rules and readers see them.
    pub(crate) fn fill_defaults(&mut self) {
        schema::fill_defaults(&mut self.value, &self.schema);
    }

    /// A path as its reader would write it: `routes.links-get.limits[0]`.
    pub(crate) fn dotted(&self, path: &[String]) -> String {
        let mut text = String::new();
        for (depth, key) in path.iter().enumerate() {
            let is_element =
                matches!(path.get(..depth).and_then(|path| self.get(path)), Some(Value::Array(_)));
            if is_element {
                text.push_str(&format!("[{key}]"));
                continue;
            }
            if depth > 0 {
                text.push('.');
            }
            text.push_str(&render::key(key));
        }
        text
    }

    /// The value at a path as it may be shown; nothing for a table, which its keys tell enough of.
    pub(crate) fn shown(&self, path: &[String]) -> Option<String> {
        let value = self.get(path).filter(|value| !value.is_object())?;
        if self.may_hold_secret(path) {
            return Some(secret::MASK.to_owned());
        }
        Some(render::inline(value))
    }

    /// A text as the value at a path: masked where a secret is due, quoted where text is.
    pub(crate) fn shown_as(&self, path: &[String], text: String) -> Option<String> {
        match self.get(path) {
            _ if self.may_hold_secret(path) => Some(secret::MASK.to_owned()),
            Some(Value::String(_)) => Some(render::inline(&Value::String(text))),
            _ if text.is_empty() => None,
            None => Some(render::inline(&Value::String(text))),
            Some(_) => Some(render::shortened(&text)),
        }
    }

    /// Whether a secret is due at a path, above it or below it; a text where a table with a secret
    /// in it is due is likely to be that secret. So may be whatever stands under a key that
    /// nobody knows: perhaps the key of a secret, misspelt.
    pub(crate) fn may_hold_secret(&self, path: &[String]) -> bool {
        let schemas = self.schemas(path);
        let is_known = schemas.len() > path.len();
        let Some(last) = schemas.last() else { return true };
        let below = if is_known { schema::holds_secret(last) } else { schema::is_closed(last) };
        below || schemas.into_iter().any(schema::is_secret)
    }

    /// Whether a path leads to a secret's reference or into it.
    pub(crate) fn is_in_secret(&self, path: &[String]) -> bool {
        self.schemas(path).into_iter().any(schema::is_secret)
    }

    /// The schemas on the way to a path, from the root, as far as there are any.
    fn schemas(&self, path: &[String]) -> Vec<&Value> {
        let mut schemas = vec![&self.schema];
        let mut schema = &self.schema;
        for (depth, key) in path.iter().enumerate() {
            let below = match path.get(..depth).and_then(|path| self.get(path)) {
                Some(Value::Array(_)) => schema::element(schema),
                _ => schema::member(schema, key),
            };
            let Some(below) = below else { break };
            schemas.push(below);
            schema = below;
        }
        schemas
    }
}

/// What stands at a path of a value, to be changed.
pub(crate) fn get_mut<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(members) => members.get_mut(key),
        Value::Array(elements) => elements.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}
