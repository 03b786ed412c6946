//! Text files: named in the configuration, and read when it is loaded.
//!
//! A certificate is no secret and too long for a key's value. The configuration says which file
//! it is in, and whoever compiles the configuration finds the text.
//!
//! Files with JSON, such as an OpenAPI document, are longer: of them only a digest is kept, so that a
//! change is noticed, and whoever compiles the configuration reads them.
//!
//! Not here: files that hold a secret (`secret`), and what a text must say (`gateway-core`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::diagnostics::Diagnostic;
use crate::merged::Merged;
use crate::schema;
use crate::sources::Sources;

/// Marks a key as a file's name in a schema.
pub(crate) const SCHEMA_MARK: &str = "x-text-file";

/// Marks a key as the name of a file with JSON in a schema.
pub(crate) const JSON_MARK: &str = "x-json-file";

/// Longest file with JSON, in bytes.
pub(crate) const JSON_SIZE_MAX: u64 = 4 * 1024 * 1024;

/// Longest text of a file, in bytes: a bundle of a few hundred authorities.
pub(crate) const SIZE_MAX: u64 = 1024 * 1024;

/// A file that the configuration names, and its text.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct TextFile {
    name: String,
    text: String,
}

impl TextFile {
    /// The file's name as it is written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands in it, without a line break at the end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What takes the place of the name where a section is read into its type.
    pub(crate) fn to_value(&self) -> Value {
        json!({ "name": self.name, "text": self.text })
    }
}

/// The name alone: the text is long, and says nothing to a reader.
impl fmt::Debug for TextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TextFile").field(&self.name).finish()
    }
}

/// The name, as files write it.
impl JsonSchema for TextFile {
    fn schema_name() -> Cow<'static, str> {
        "TextFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A file; a relative name starts at the configuration's directory.",
            "minLength": 1,
            SCHEMA_MARK: true,
        })
    }
}

/// Reads every file that a configuration names, and reports those that cannot be.
pub(crate) fn read(
    merged: &Merged,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<Vec<String>, TextFile> {
    let mut files = BTreeMap::new();
    schema::walk(&merged.value, &merged.schema, &mut Vec::new(), &mut |value, schema, path| {
        // What is no text is reported by its schema.
        let Some(name) = value.as_str().filter(|_| schema.get(SCHEMA_MARK).is_some()) else {
            return;
        };
        match sources.read_text(name, SIZE_MAX) {
            Ok(text) => {
                files.insert(path.to_vec(), TextFile { name: name.to_owned(), text });
            }
            Err(why) => {
                let reason = format!("names a file that {why}");
                found.push(Diagnostic::new(merged, path, merged.shown(path), reason));
            }
        }
    });
    files
}

/// The files that a configuration names by keys with this mark, by the keys' paths.
pub(crate) fn names(merged: &Merged, mark: &str) -> Vec<(Vec<String>, String)> {
    let mut names = Vec::new();
    schema::walk(&merged.value, &merged.schema, &mut Vec::new(), &mut |value, schema, path| {
        if schema.get(mark).is_some() {
            names.extend(value.as_str().map(|name| (path.to_vec(), name.to_owned())));
        }
    });
    names
}

/// A number for what each file with JSON says, or for why it cannot be read, by the keys' paths.
pub(crate) fn json_digests(merged: &Merged, sources: &Sources) -> BTreeMap<Vec<String>, u64> {
    let mut known = BTreeMap::new();
    let names = names(merged, JSON_MARK).into_iter();
    let digests = names.map(|(path, name)| {
        let digest = known.entry(name).or_insert_with_key(|name| json_digest(sources, name));
        (path, *digest)
    });
    digests.collect()
}

/// A number for what a file with JSON says, or for why it cannot be read.
pub(crate) fn json_digest(sources: &Sources, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    sources.read_text(name, JSON_SIZE_MAX).hash(&mut hasher);
    hasher.finish()
}
