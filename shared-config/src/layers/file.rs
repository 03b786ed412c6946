//! One TOML file as a layer.

use std::sync::Arc;

use config::{Map, Value, ValueKind};
use toml_edit::{Document, Item, TableLike};

use super::Layer;
use super::places::{Kind, Place};
use crate::diagnostics::{Diagnostic, Location};
use crate::sources::SourceFile;

/// Reads a file's text; `rank` is the layer's, from the weakest.
///
/// # Errors
///
/// The first place at which the text is no TOML.
pub(super) fn read(file: &SourceFile, rank: usize) -> Result<Layer, Diagnostic> {
    let lines = Lines::of(&file.text);
    let document = Document::parse(file.text.as_str()).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let location = Location::line_of(Arc::clone(&file.name), lines.number(offset));
        Diagnostic::of_source(location, format!("is no TOML: {}", error.message()))
    })?;
    let locate = |offset| Location::line_of(Arc::clone(&file.name), lines.number(offset));
    let mut reader = Reader::new(&locate, rank, Vec::new());
    let values = reader.table(document.as_table(), 0);
    Ok(Layer { values, places: reader.into_places().into() })
}

/// Turns TOML into `config`'s values and notes where each key stands.
pub(super) struct Reader<'a> {
    locate: &'a dyn Fn(usize) -> Location,
    rank: usize,
    path: Vec<String>,
    /// How many lists are around the current key.
    lists: usize,
    places: Vec<(Vec<String>, Place)>,
}

impl<'a> Reader<'a> {
    /// A reader of what stands at a path, in the layer of that rank; `locate` tells where an
    /// offset in its text is.
    pub(super) fn new(
        locate: &'a dyn Fn(usize) -> Location,
        rank: usize,
        path: Vec<String>,
    ) -> Self {
        Self { locate, rank, path, lists: 0, places: Vec::new() }
    }

    /// Where the keys stand that were read.
    pub(super) fn into_places(self) -> Vec<(Vec<String>, Place)> {
        self.places
    }

    fn table(&mut self, table: &dyn TableLike, around: usize) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, item) in table.iter() {
            let span = table.key(name).and_then(toml_edit::Key::span);
            let offset = span.map_or(around, |span| span.start);
            let value = self.below(name, |reader| reader.item(item, offset));
            values.insert(name.to_owned(), value);
        }
        values
    }

    fn item(&mut self, item: &Item, offset: usize) -> Value {
        match item {
            Item::None => plain(ValueKind::Nil),
            Item::Value(value) => self.value(value, offset),
            Item::Table(table) => self.table_or_reference(table, offset),
            Item::ArrayOfTables(tables) => {
                self.note(Kind::Whole, offset);
                self.list(tables.iter(), |reader, table| {
                    let offset = table.span().map_or(offset, |span| span.start);
                    reader.table_or_reference(table, offset)
                })
            }
        }
    }

    /// Reads what stands at the reader's path.
    pub(super) fn value(&mut self, value: &toml_edit::Value, offset: usize) -> Value {
        if !value.is_inline_table() {
            self.note(Kind::Whole, offset);
        }
        match value {
            toml_edit::Value::String(text) => plain(text.value().clone()),
            toml_edit::Value::Integer(number) => plain(*number.value()),
            // JSON has no such numbers; as text they are of the wrong type wherever they stand.
            toml_edit::Value::Float(number) if !number.value().is_finite() => {
                plain(number.display_repr().into_owned())
            }
            toml_edit::Value::Float(number) => plain(*number.value()),
            toml_edit::Value::Boolean(is_true) => plain(*is_true.value()),
            toml_edit::Value::Datetime(time) => plain(time.value().to_string()),
            toml_edit::Value::InlineTable(table) => self.table_or_reference(table, offset),
            toml_edit::Value::Array(elements) => self.list(elements.iter(), |reader, element| {
                let offset = element.span().map_or(offset, |span| span.start);
                reader.value(element, offset)
            }),
        }
    }

    fn list<T>(
        &mut self,
        elements: impl Iterator<Item = T>,
        read: impl Fn(&mut Self, T) -> Value,
    ) -> Value {
        self.lists += 1;
        let elements = elements
            .enumerate()
            .map(|(index, element)| self.below(&index.to_string(), |reader| read(reader, element)));
        let elements = elements.collect();
        self.lists -= 1;
        plain(ValueKind::Array(elements))
    }

    fn table_or_reference(&mut self, table: &dyn TableLike, offset: usize) -> Value {
        if let Some(reference) = reference(table) {
            self.note(Kind::Whole, offset);
            return reference;
        }
        self.note(Kind::Table, offset);
        self.table(table, offset).into()
    }

    fn below(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Value) -> Value {
        self.path.push(key.to_owned());
        let value = read(self);
        self.path.pop();
        value
    }

    fn note(&mut self, kind: Kind, offset: usize) {
        let location = (self.locate)(offset);
        let kind = if self.lists > 0 { Kind::Inside } else { kind };
        self.places.push((self.path.clone(), Place { location, rank: self.rank, offset, kind }));
    }
}

fn plain(kind: impl Into<ValueKind>) -> Value {
    Value::new(None, kind)
}

/// `{ env = "NAME" }` and `{ file = "PATH" }` are one value, although they are tables: if they
/// merged, a stronger layer's `file` would stand beside the `env` it replaces. While layers
/// merge, each is a list that begins with nothing, which TOML cannot write.
fn reference(table: &dyn TableLike) -> Option<Value> {
    let (key, place) = table.iter().next()?;
    let is_reference = table.len() == 1 && matches!(key, "env" | "file");
    let place = place.as_str().filter(|_| is_reference)?;
    Some(plain(ValueKind::Array(vec![plain(ValueKind::Nil), plain(key), plain(place)])))
}

/// Makes tables again of what [`reference`] made lists.
pub(super) fn restore_references(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(elements) => {
            if let [serde_json::Value::Null, serde_json::Value::String(key), place] =
                elements.as_mut_slice()
            {
                *value = serde_json::json!({ key.as_str(): place.take() });
            } else {
                elements.iter_mut().for_each(restore_references);
            }
        }
        serde_json::Value::Object(members) => members.values_mut().for_each(restore_references),
        _ => {}
    }
}

/// Line numbers of a text, by offset.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(offset, _)| offset).collect())
    }

    /// The number of the line an offset is in; the first is 1.
    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|&end| end < offset) + 1
    }
}
