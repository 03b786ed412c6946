//! The environment as a layer: `GATEWAY__SERVER__LISTEN=0.0.0.0:3000` sets `server.listen`.
//!
//! Names are matched without regard to case, and `_` stands for `-` where such a key exists, so
//! that `GATEWAY__SERVICES__LINK_SERVICE__URL` reaches `services.link-service.url`. A value is
//! read as TOML where it is a number, a truth value, a quoted text, a list or a table; anything
//! else is text as it stands.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::Layer;
use super::file::Reader;
use super::places::Places;
use crate::diagnostics::{Diagnostic, Location};

const PREFIX: &str = "GATEWAY__";
const SEPARATOR: &str = "__";

/// As deep as TOML files may nest.
const DEPTH_MAX: usize = 80;

/// Reads the variables that begin with `GATEWAY__`; `places` are the keys of the files.
///
/// # Errors
///
/// Every variable that names no key.
pub(super) fn read(
    variables: &BTreeMap<String, String>,
    places: &Places,
    rank: usize,
) -> Result<Layer, Vec<Diagnostic>> {
    let mut values = Value::from(Map::<String, Value>::new());
    let mut noted = Vec::new();
    let mut wrong = Vec::new();
    for (name, text) in variables {
        let Some(segments) = name.strip_prefix(PREFIX) else { continue };
        let segments: Vec<&str> = segments.split(SEPARATOR).collect();
        if segments.len() > DEPTH_MAX || segments.iter().any(|segment| segment.is_empty()) {
            let reason = "must name a key as GATEWAY__SECTION__KEY";
            wrong.push(Diagnostic::of_source(Location::variable(name), reason));
            continue;
        }
        let path = resolve(&segments, places);
        let locate = |_| Location::variable(name);
        let mut reader = Reader::new(&locate, rank, path.clone());
        insert(&mut values, &path, reader.value(&typed(text), 0));
        noted.append(&mut reader.into_places());
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let values = match values.kind {
        ValueKind::Table(table) => table,
        _ => Map::new(),
    };
    Ok(Layer { values, places: noted.into() })
}

/// The path that a variable's name means.
fn resolve(segments: &[&str], places: &Places) -> Vec<String> {
    let mut path: Vec<String> = Vec::with_capacity(segments.len());
    for segment in segments {
        let lower = segment.to_lowercase();
        let is_meant = |key: &&str| key.to_lowercase().replace('-', "_") == lower.replace('-', "_");
        let known = places.children(&path).find(|key| **key == lower);
        let known = known.or_else(|| places.children(&path).find(is_meant)).map(str::to_owned);
        path.push(known.unwrap_or(lower));
    }
    path
}

fn typed(text: &str) -> toml_edit::Value {
    match text.trim().parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::Datetime(_)) | Err(_) => text.into(),
        Ok(toml_edit::Value::Float(number)) if !number.value().is_finite() => text.into(),
        Ok(value) => value,
    }
}

/// Sets a value at a path, making tables on the way.
fn insert(table: &mut Value, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        *table = value;
        return;
    };
    if !matches!(table.kind, ValueKind::Table(_)) {
        *table = Map::<String, Value>::new().into();
    }
    if let ValueKind::Table(members) = &mut table.kind {
        insert(members.entry(key.clone()).or_default(), rest, value);
    }
}
