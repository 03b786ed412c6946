//! Layers: how several files and the environment become one configuration.
//!
//! From the weakest to the strongest: the embedded defaults, `platform.toml`, `platform.d/*.toml`
//! by name, `<gateway>.toml`, `<gateway>.<environment>.toml`, environment variables. Tables merge
//! key by key; anything else replaces what was below it, a list as a whole.
//!
//! The `config` crate merges; [`places`] remembers where each key that survived was written.
//!
//! Not here: which keys there are (`schema`), where the texts come from (`sources`).

mod file;
pub(crate) mod places;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Config, Map, Source};
use serde_json::Value;

use self::places::{Kind, Place, Places};
use crate::diagnostics::{Diagnostic, Diagnostics, Location};
use crate::merged::Merged;
use crate::sources::{Role, Sources};

/// One source's keys and where they are written.
#[derive(Debug, Clone)]
struct Layer {
    values: Map<String, config::Value>,
    places: Arc<[(Vec<String>, Place)]>,
}

/// Everything is merged below this key, since `config` reads a source's outermost keys as paths.
const ROOT: &str = "root";

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, config::ConfigError> {
        Ok(Map::from([(ROOT.to_owned(), self.values.clone().into())]))
    }
}

/// Reads and merges every layer. Beside the result: keys that two parts of the platform set.
///
/// # Errors
///
/// Every file that cannot be read or is no TOML.
pub(crate) fn merge(
    sources: &Sources,
    schema: Value,
) -> Result<(Merged, Vec<Diagnostic>), Diagnostics> {
    let (files, mut unreadable) = sources.files();
    let mut layers = Vec::new();
    for (rank, file) in files.iter().enumerate() {
        match file::read(file, rank) {
            Ok(layer) => layers.push((file.role, layer)),
            Err(diagnostic) => unreadable.push(diagnostic),
        }
    }
    let mut places = Places::new(Location::file(&sources.main_file()));
    for (_, layer) in &layers {
        places.add(&layer.places);
    }
    let variables = variables::read(&sources.variables, &places, layers.len());
    let twice = set_twice(&layers);
    match variables {
        Ok(layer) => {
            places.add(&layer.places);
            layers.push((Role::Gateway, layer));
        }
        Err(mut diagnostics) => unreadable.append(&mut diagnostics),
    }
    Diagnostics::none_or(unreadable)?;
    let value = merged_value(layers.into_iter().map(|(_, layer)| layer)).map_err(|error| {
        Diagnostics::from_iter([Diagnostic::of_source(places.locate(&[]), error.to_string())])
    })?;
    let merged = Merged { value, places, schema };
    let twice = twice.into_iter().map(|twice| twice.into_diagnostic(&merged)).collect();
    Ok((merged, twice))
}

fn merged_value(layers: impl Iterator<Item = Layer>) -> Result<Value, config::ConfigError> {
    let builder = layers.fold(Config::builder(), |builder, layer| builder.add_source(layer));
    let mut value = builder.build()?.get(ROOT)?;
    file::restore_references(&mut value);
    Ok(value)
}

/// A key that two parts of the platform set.
struct Twice {
    path: Vec<String>,
    first: Location,
    second: Location,
}

impl Twice {
    fn into_diagnostic(self, merged: &Merged) -> Diagnostic {
        let reason = format!("is set at {} already; one of the two must go", self.first);
        // A stronger layer may have replaced the value.
        let is_in_force = merged.places.locate(&self.path) == self.second;
        let value = merged.shown(&self.path).filter(|_| is_in_force);
        Diagnostic::new(merged, &self.path, value, reason).located(self.second)
    }
}

fn set_twice(layers: &[(Role, Layer)]) -> Vec<Twice> {
    let mut seen: BTreeMap<&[String], &Place> = BTreeMap::new();
    let mut twice = Vec::new();
    let parts = layers.iter().filter(|(role, _)| *role == Role::Platform);
    for (path, place) in parts.flat_map(|(_, layer)| layer.places.iter()) {
        let Some(first) = seen.insert(path, place) else { continue };
        let is_whole = |place: &Place| place.kind == Kind::Whole;
        if first.rank != place.rank && (is_whole(first) || is_whole(place)) {
            let (first, second) = (first.location.clone(), place.location.clone());
            twice.push(Twice { path: path.clone(), first, second });
        }
    }
    twice
}
