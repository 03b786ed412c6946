//! Schema: which keys there are, and what their values may be.
//!
//! Derived from the types in [`crate::platform`] and from those of a gateway's own sections, then
//! made plain, so that whatever is wrong with a value has one sentence: no `null` (TOML has
//! none), no choice between constants where a list of them does, nothing by reference.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use crate::platform::Platform;
use crate::secret::SCHEMA_MARK;

/// A section of the configuration that only one gateway knows.
///
/// A section that is absent is read as an empty one, so that its type decides whether it may be.
#[derive(Debug, Clone)]
pub struct Section {
    key: &'static str,
    schema: Value,
}

impl Section {
    /// The section at the outermost key `key`, of the type it is read as: a table (a struct), or
    /// a list of tables (a `Vec`).
    #[must_use]
    pub fn of<T: JsonSchema>(key: &'static str) -> Self {
        Self { key, schema: schema_of::<T>() }
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// What an absent section is read as.
    pub(crate) fn empty(&self) -> Value {
        if self.schema.get("type").is_some_and(|kind| kind == "array") {
            json!([])
        } else {
            json!({})
        }
    }
}

/// The schema of the core's sections and a gateway's own.
pub(crate) fn whole(sections: &[Section]) -> Value {
    let mut schema = schema_of::<Platform>();
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        members.extend(sections.iter().map(|own| (own.key.to_owned(), own.schema.clone())));
    }
    schema
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(make_plain))
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// The schema of a member of a table.
pub(crate) fn member<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    let named = schema.get("properties").and_then(|members| members.get(key));
    named.or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
}

/// The schema of an element of a list.
pub(crate) fn element(schema: &Value) -> Option<&Value> {
    schema.get("items")
}

/// Whether a table may have no keys but those that are known.
pub(crate) fn is_closed(schema: &Value) -> bool {
    schema.get("additionalProperties") == Some(&Value::Bool(false))
}

/// The keys that are known.
pub(crate) fn keys(schema: &Value) -> impl Iterator<Item = &str> + Clone {
    let members = schema.get("properties").and_then(Value::as_object);
    members.into_iter().flat_map(|members| members.keys()).map(String::as_str)
}

/// Whether a value is of the type that is due, whatever else is wrong with it.
pub(crate) fn takes_type(schema: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        Some(kind) => kind == name,
        None => true,
    }
}

/// Whether a secret is due here.
pub(crate) fn is_secret(schema: &Value) -> bool {
    schema.get(SCHEMA_MARK).is_some()
}

/// Whether a secret is due here or below.
pub(crate) fn holds_secret(schema: &Value) -> bool {
    let members = schema.get("properties").and_then(Value::as_object);
    let mut below = members
        .into_iter()
        .flat_map(|members| members.values())
        .chain(schema.get("additionalProperties"))
        .chain(schema.get("items"));
    is_secret(schema) || below.any(holds_secret)
}

/// Visits a value and everything in it, each with its schema; what nobody knows is left out, and
/// so is the inside of a secret's reference.
pub(crate) fn walk(
    value: &Value,
    schema: &Value,
    path: &mut Vec<String>,
    visit: &mut dyn FnMut(&Value, &Value, &[String]),
) {
    visit(value, schema, path);
    let mut below = |key: &str, value, schema: Option<&Value>| {
        if let Some(schema) = schema {
            path.push(key.to_owned());
            walk(value, schema, path, visit);
            path.pop();
        }
    };
    match value {
        _ if is_secret(schema) => {}
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| below(key, value, member(schema, key)));
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, value)| below(&index.to_string(), value, element(schema)));
        }
        _ => {}
    }
}

/// Writes out the plain values that absent keys stand for; lists and tables that are absent are
/// empty, and need no writing out.
pub(crate) fn fill_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(members) => {
            let known = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            for (key, schema) in known {
                let default = schema.get("default");
                // TOML has no null: an optional key that is absent stays so.
                let is_plain =
                    |value: &&Value| !value.is_object() && !value.is_array() && !value.is_null();
                let plain = default.filter(is_plain);
                if let (false, Some(default)) = (members.contains_key(key), plain) {
                    members.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in members {
                member(schema, key).into_iter().for_each(|schema| fill_defaults(value, schema));
            }
        }
        Value::Array(elements) => {
            let element = element(schema).into_iter();
            element.for_each(|schema| {
                elements.iter_mut().for_each(|value| fill_defaults(value, schema))
            });
        }
        _ => {}
    }
}

fn make_plain(schema: &mut Schema) {
    unwrap_optional(schema);
    list_constants(schema);
    drop_null(schema);
    bound_integers(schema);
}

/// `anyOf [X, null]`, an optional X, becomes X.
fn unwrap_optional(schema: &mut Schema) {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    let Some(Value::Array(choices)) = schema.get("anyOf") else { return };
    let mut others = choices.iter().filter(|choice| !is_null(choice));
    let (Some(Value::Object(only)), None) = (others.next().cloned(), others.next()) else { return };
    schema.remove("anyOf");
    for (key, value) in only {
        // What the key says of itself counts for more than what its type does.
        if schema.get(&key).is_none() {
            schema.insert(key, value);
        }
    }
}

/// `oneOf` constants, an enum whose variants are documented, becomes `enum`.
fn list_constants(schema: &mut Schema) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let constants: Option<Vec<Value>> =
        choices.iter().map(|choice| choice.get("const").cloned()).collect();
    if let Some(constants) = constants.filter(|all| all.iter().all(Value::is_string)) {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), "string".into());
        schema.insert("enum".to_owned(), constants.into());
    }
}

fn drop_null(schema: &mut Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
}

/// Says how large a number may be where its type knows; schemars says so for the small ones only.
fn bound_integers(schema: &mut Schema) {
    let bounds: &[(&str, i64)] = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => &[("maximum", u32::MAX as i64)],
        Some("int32") => &[("minimum", i32::MIN as i64), ("maximum", i32::MAX as i64)],
        _ => return,
    };
    for &(keyword, bound) in bounds {
        if schema.get(keyword).is_none() {
            schema.insert(keyword.to_owned(), bound.into());
        }
    }
}
