//! Structure: unknown keys, missing keys, and values that are not what their key takes.
//!
//! Everything is found in one pass over the merged value, each mistake with one sentence of its
//! own. A misspelt key is reported and then read as the key that was meant, so that one mistake
//! does not look like three.
//!
//! Not here: what must hold between keys (`rules`), secrets (`secret`).

mod format;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, JsonType, ValidationError};
use serde_json::{Map, Value};

use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::{Diagnostic, Location};
use crate::merged::{self, Merged};
use crate::{render, schema, secret};

/// Keys that stand elsewhere now.
const MOVED: [(&str, &str); 1] = [("aggregation.time_left_header", "upstream.time_left_header")];

/// A key that its table does not have.
struct UnknownKey {
    table: Vec<String>,
    key: String,
    meant: Option<String>,
    diagnostic: Diagnostic,
}

/// Reports unknown keys and takes them out, or reads them as what was meant.
pub(crate) fn settle_keys(merged: &mut Merged, found: &mut Vec<Diagnostic>) {
    loop {
        let unknown = unknown_keys(merged);
        if unknown.is_empty() {
            return;
        }
        // What is read as something else may hold unknown keys in turn.
        for key in unknown {
            found.extend(settle(merged, key));
        }
    }
}

fn settle(merged: &mut Merged, unknown: UnknownKey) -> Option<Diagnostic> {
    let table = merged::get_mut(&mut merged.value, &unknown.table)?.as_object_mut()?;
    let value = table.remove(&unknown.key)?;
    if let Some(meant) = unknown.meant {
        fill(table, meant.clone(), value);
        let at = |key| [unknown.table.as_slice(), &[key]].concat();
        merged.places.read_as(&at(unknown.key), &at(meant));
    }
    Some(unknown.diagnostic)
}

fn unknown_keys(merged: &Merged) -> Vec<UnknownKey> {
    let mut unknown = Vec::new();
    schema::walk(&merged.value, &merged.schema, &mut Vec::new(), &mut |value, schema, path| {
        let Value::Object(members) = value else { return };
        if !schema::is_closed(schema) || schema::is_secret(schema) {
            return;
        }
        let known = schema::keys(schema);
        for member in members.iter().filter(|(key, _)| known.clone().all(|known| known != *key)) {
            unknown.push(UnknownKey::new(merged, path, member, schema));
        }
    });
    unknown
}

impl UnknownKey {
    fn new(
        merged: &Merged,
        table: &[String],
        (key, value): (&String, &Value),
        schema: &Value,
    ) -> Self {
        let meant = nearest(key, schema::keys(schema));
        let due = meant.as_deref().and_then(|meant| schema::member(schema, meant));
        let diagnostic = unknown_key(merged, table, (key, value), due);
        Self {
            table: table.to_vec(),
            key: key.clone(),
            // Of another type it would be a second mistake; perhaps something else was meant.
            meant: meant.filter(|_| due.is_some_and(|due| schema::takes_type(due, value))),
            diagnostic: diagnostic.suggest(key, schema::keys(schema)),
        }
    }
}

/// The value is shown only where the key that was meant is known, and is no secret's.
fn unknown_key(
    merged: &Merged,
    table: &[String],
    (key, value): (&String, &Value),
    meant: Option<&Value>,
) -> Diagnostic {
    let is_harmless = meant.is_some_and(|meant| !schema::holds_secret(meant));
    let shown = match value {
        Value::Object(_) => None,
        value if is_harmless => Some(render::inline(value)),
        _ => Some(secret::MASK.to_owned()),
    };
    let moved = MOVED.iter().find(|(old, _)| merged.dotted(table) + "." + key == *old);
    let reason = match table {
        _ if let Some((_, now)) = moved => format!("has moved to `{now}`"),
        [] => "is no section of this gateway's configuration".to_owned(),
        [list @ .., _] if merged.get(list).is_some_and(Value::is_array) => {
            format!("is no key of [[{}]]", merged.dotted(list))
        }
        table => format!("is no key of [{}]", merged.dotted(table)),
    };
    Diagnostic::new(merged, &[table, std::slice::from_ref(key)].concat(), shown, reason)
}

/// Sets a key that is absent; of two tables, the keys that are absent.
fn fill(table: &mut Map<String, Value>, key: String, value: Value) {
    match (table.get_mut(&key), value) {
        (None, value) => {
            table.insert(key, value);
        }
        (Some(Value::Object(present)), Value::Object(added)) => {
            for (key, value) in added {
                present.entry(key).or_insert(value);
            }
        }
        (Some(_), _) => {}
    }
}

/// Reports missing keys and values that are not what their key takes.
pub(crate) fn check_values(merged: &Merged, found: &mut Vec<Diagnostic>) {
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    let options = options.should_validate_formats(true);
    let options = format::FORMATS
        .iter()
        .fold(options, |options, format| options.with_format(format.name, format.accepts));
    match options.build(&merged.schema) {
        Ok(validator) => {
            let errors = validator.iter_errors(&merged.value);
            found.extend(errors.filter_map(|error| mistake(merged, &error)));
        }
        Err(error) => {
            let reason = format!("has sections whose schema is invalid: {error}");
            found.push(Diagnostic::of_source(Location::file("this gateway"), reason));
        }
    }
    whole_numbers(merged, found);
}

/// JSON Schema takes 2.0 for a whole number; the types do not.
fn whole_numbers(merged: &Merged, found: &mut Vec<Diagnostic>) {
    schema::walk(&merged.value, &merged.schema, &mut Vec::new(), &mut |value, schema, path| {
        let is_due = schema.get("type").is_some_and(|kind| kind == "integer");
        if is_due && value.as_f64().is_some_and(|number| value.is_f64() && number.fract() == 0.0) {
            found.push(Diagnostic::new(
                merged,
                path,
                merged.shown(path),
                type_name(JsonType::Integer),
            ));
        }
    });
}

fn mistake(merged: &Merged, error: &ValidationError<'_>) -> Option<Diagnostic> {
    let mut path = keys_of(error.instance_path().as_str());
    if merged.is_in_secret(&path) {
        return None;
    }
    if let ValidationErrorKind::Required { property } = error.kind() {
        path.push(property.as_str()?.to_owned());
        return Some(Diagnostic::new(merged, &path, None, "is missing"));
    }
    let diagnostic = Diagnostic::new(merged, &path, merged.shown(&path), reason(merged, error));
    Some(match (error.kind(), error.instance().as_str()) {
        (ValidationErrorKind::Enum { options }, Some(written)) => {
            diagnostic.suggest(written, texts(options))
        }
        _ => diagnostic,
    })
}

/// The keys in a JSON pointer (RFC 6901).
fn keys_of(pointer: &str) -> Vec<String> {
    let keys = pointer.split('/').skip(1);
    keys.map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}

/// The end of a sentence that begins with the key.
fn reason(merged: &Merged, error: &ValidationError<'_>) -> String {
    let format = || format::of(parent_schema(merged, error)?.get("format")?.as_str()?);
    match error.kind() {
        ValidationErrorKind::Type { kind } => match format() {
            Some(format) if !error.instance().is_object() => format.reason(""),
            _ => due_type(kind),
        },
        ValidationErrorKind::Format { .. } => match (format(), error.instance().as_str()) {
            (Some(format), Some(text)) => format.reason(text),
            _ => "is not what it takes".to_owned(),
        },
        ValidationErrorKind::Enum { options } => {
            let options: Vec<String> = texts(options).map(|text| format!("{text:?}")).collect();
            match options.as_slice() {
                [only] => format!("must be {only}"),
                all => format!("must be one of {}", all.join(", ")),
            }
        }
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::MinLength { .. }
        | ValidationErrorKind::MinItems { .. }
        | ValidationErrorKind::MinProperties { .. } => "must not be empty".to_owned(),
        ValidationErrorKind::MaxLength { limit } => format!("must be at most {limit} long"),
        ValidationErrorKind::Pattern { pattern } => format!("must match {pattern}"),
        kind => format!("is not what it takes (`{}` in the schema)", kind.keyword()),
    }
}

/// The schema whose keyword is violated.
fn parent_schema<'m>(merged: &'m Merged, error: &ValidationError<'_>) -> Option<&'m Value> {
    let keyword = error.schema_path().as_str();
    let (parent, _) = keyword.rsplit_once('/')?;
    merged.schema.pointer(parent)
}

fn texts(options: &Value) -> impl Iterator<Item = &str> {
    options.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn due_type(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => type_name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            let names: Vec<_> =
                kinds.iter().map(|kind| type_name(kind).trim_start_matches("must be ")).collect();
            format!("must be {}", names.join(" or "))
        }
    }
}

const fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "must be a list: [ … ]",
        JsonType::Boolean => "must be true or false",
        JsonType::Integer => "must be a whole number",
        JsonType::Null => "must be absent",
        JsonType::Number => "must be a number",
        JsonType::Object => "must be a table",
        JsonType::String => "must be text in quotes",
    }
}
