//! Rendering: the configuration in force as TOML, secrets masked, and single values of it.

use serde_json::Value;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Key, Table};

use crate::merged::Merged;
use crate::{schema, secret};

/// Longest value that a diagnostic shows, in characters.
const SHOWN_MAX: usize = 100;

/// The whole configuration, keys in the order in which they are declared.
pub(crate) fn document(merged: &Merged) -> String {
    let mut document = DocumentMut::new();
    let mut path = Vec::new();
    if let Value::Object(members) = &merged.value {
        let renderer = Renderer { merged };
        *document.as_table_mut() = renderer.table(members, &merged.schema, &mut path);
        document.as_table_mut().set_implicit(true);
    }
    format!("# The configuration in force. Secrets are masked.\n\n{document}")
}

/// A value on one line, shortened where it is long.
pub(crate) fn inline(value: &Value) -> String {
    shortened(&plain(value).to_string())
}

/// A text without what does not belong on a line, cut where it is long.
pub(crate) fn shortened(text: &str) -> String {
    let is_short = text.chars().nth(SHOWN_MAX).is_none();
    let tail = if is_short { "" } else { "…" };
    let shown = text.chars().take(SHOWN_MAX);
    shown.map(|c| if c.is_control() { ' ' } else { c }).chain(tail.chars()).collect()
}

/// A key, quoted where it must be.
pub(crate) fn key(key: &str) -> String {
    shortened(&Key::new(key).display_repr())
}

struct Renderer<'a> {
    merged: &'a Merged,
}

impl Renderer<'_> {
    fn table(
        &self,
        members: &serde_json::Map<String, Value>,
        schema: &Value,
        path: &mut Vec<String>,
    ) -> Table {
        let mut table = Table::new();
        let mut keys: Vec<_> = members.iter().collect();
        keys.sort_by_cached_key(|(key, _)| {
            let path = [path.as_slice(), &[(*key).clone()]].concat();
            self.merged.places.order(&path)
        });
        for (key, value) in keys {
            path.push(key.clone());
            let known = schema::member(schema, key).unwrap_or(&Value::Null);
            table.insert(key, self.item(value, known, path));
            path.pop();
        }
        let has_only_tables = table.iter().all(|(_, item)| !item.is_value());
        table.set_implicit(has_only_tables && !table.is_empty());
        table
    }

    fn item(&self, value: &Value, schema: &Value, path: &mut Vec<String>) -> Item {
        if schema::is_secret(schema) {
            return Item::Value(secret::MASK.into());
        }
        match value {
            Value::Object(members) => Item::Table(self.table(members, schema, path)),
            Value::Array(elements) if has_tables(elements) => {
                let schema = schema::element(schema).unwrap_or(&Value::Null);
                let mut tables = ArrayOfTables::new();
                for (index, members) in elements.iter().filter_map(Value::as_object).enumerate() {
                    path.push(index.to_string());
                    tables.push(self.table(members, schema, path));
                    path.pop();
                }
                Item::ArrayOfTables(tables)
            }
            value => Item::Value(plain(value)),
        }
    }
}

fn has_tables(elements: &[Value]) -> bool {
    !elements.is_empty() && elements.iter().all(Value::is_object)
}

/// A value as TOML writes it within a line. TOML has no null, and neither has what it is read to.
fn plain(value: &Value) -> toml_edit::Value {
    match value {
        Value::Null => "".into(),
        Value::Bool(is_true) => (*is_true).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => elements.iter().map(plain).collect::<Array>().into(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key, plain(value))).collect::<InlineTable>().into()
        }
    }
}
