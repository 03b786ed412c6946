//! Reading what the references stand for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Secret;
use crate::diagnostics::Diagnostic;
use crate::merged::Merged;
use crate::schema;
use crate::sources::Sources;

/// Longest secret in a file, in bytes.
const FILE_SIZE_MAX: u64 = 64 * 1024;

const HOW_TO_WRITE: &str = "must say where the secret is, { env = \"NAME\" } or \
                            { file = \"PATH\" }; no secret stands in a configuration file";

/// Reads every secret of a configuration, and reports those that cannot be.
pub(crate) fn resolve(
    merged: &Merged,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<Vec<String>, Secret> {
    let mut secrets = BTreeMap::new();
    schema::walk(&merged.value, &merged.schema, &mut Vec::new(), &mut |value, schema, path| {
        if !schema::is_secret(schema) {
            return;
        }
        let text = match Reference::of(value) {
            Some(reference) => reference.read(sources),
            None => Err(HOW_TO_WRITE.to_owned()),
        };
        match text {
            Ok(text) => {
                secrets.insert(path.to_vec(), Secret::from(text));
            }
            Err(reason) => {
                found.push(Diagnostic::new(merged, path, merged.shown(path), reason));
            }
        }
    });
    secrets
}

/// The files that the secrets of a configuration stand in, as it names them.
pub(crate) fn files(merged: &Merged) -> Vec<String> {
    let mut files = Vec::new();
    schema::walk(&merged.value, &merged.schema, &mut Vec::new(), &mut |value, schema, _| {
        if let (true, Some(Reference::File(name))) =
            (schema::is_secret(schema), Reference::of(value))
        {
            files.push(name.to_owned());
        }
    });
    files
}

/// Where a secret stands.
enum Reference<'a> {
    Variable(&'a str),
    File(&'a str),
}

impl<'a> Reference<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        let mut members = value.as_object()?.iter();
        let (Some((key, place)), None) = (members.next(), members.next()) else { return None };
        match key.as_str() {
            "env" => place.as_str().map(Self::Variable),
            "file" => place.as_str().map(Self::File),
            _ => None,
        }
    }

    fn read(&self, sources: &Sources) -> Result<String, String> {
        let (place, text) = match self {
            Self::Variable(name) => {
                let place = format!("environment variable {name}");
                let text = sources.variables.get(*name).cloned();
                (place, text.ok_or_else(|| "is not set".to_owned()))
            }
            Self::File(name) => (format!("file {name}"), sources.read_text(name, FILE_SIZE_MAX)),
        };
        match text {
            Ok(text) if text.is_empty() => Err(format!("is due in {place}, which is empty")),
            Ok(text) => Ok(text),
            Err(why) => Err(format!("is due in {place}, which {why}")),
        }
    }
}

/// A file's text, as it stands in for a secret.
pub(crate) fn read_file(sources: &Sources, name: &str) -> Result<String, String> {
    sources.read_text(name, FILE_SIZE_MAX)
}
