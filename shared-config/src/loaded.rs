//! Loading: from sources to a configuration that holds together, or to everything wrong with it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostics::{Diagnostic, Diagnostics, Location};
use crate::layers;
use crate::merged::{self, Merged};
use crate::platform::Platform;
use crate::schema::{self, Section};
use crate::secret::{self, Secret};
use crate::sources::Sources;
use crate::text_file::{self, JSON_SIZE_MAX, TextFile};
use crate::{render, rules, structure};

/// A configuration that loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The core's sections.
    pub platform: Platform,
    merged: Merged,
    referred: Referred,
    sources: Sources,
}

/// What the configuration does not say itself but where it stands, each by the path of its key.
#[derive(Debug, Clone)]
struct Referred {
    secrets: BTreeMap<Vec<String>, Secret>,
    files: BTreeMap<Vec<String>, TextFile>,
    /// What files with JSON say, as a number.
    json: BTreeMap<Vec<String>, u64>,
}

/// Reads, merges and checks a configuration; `sections` are those that only this gateway knows.
///
/// # Errors
///
/// Every mistake in it at once, the core's sections and the gateway's own alike. Only where a
/// file cannot be read, or is no TOML, nothing but that is reported.
pub fn load(sources: &Sources, sections: &[Section]) -> Result<Loaded, Diagnostics> {
    let (mut merged, mut found) = layers::merge(sources, schema::whole(sections))?;
    structure::settle_keys(&mut merged, &mut found);
    for own in sections {
        merged.default_section(own);
    }
    merged.fill_defaults();
    structure::check_values(&merged, &mut found);
    let referred = Referred {
        secrets: secret::resolve(&merged, sources, &mut found),
        files: text_file::read(&merged, sources, &mut found),
        json: text_file::json_digests(&merged, sources),
    };
    rules::check(&merged, &mut found);
    Diagnostics::none_or(found)?;
    let mut core = merged.value.clone();
    if let Value::Object(members) = &mut core {
        members.retain(|key, _| sections.iter().all(|own| own.key() != key));
    }
    let mut platform: Platform = read(&merged, &referred, core, &[])?;
    platform.keep_order(&merged.places);
    Ok(Loaded { platform, merged, referred, sources: sources.clone() })
}

impl Loaded {
    /// One of the gateway's own sections, of the type that [`Section::of`] was given.
    ///
    /// # Errors
    ///
    /// A mistake that the section's schema cannot tell, or that there is no such section.
    pub fn section<T: DeserializeOwned>(&self, key: &str) -> Result<T, Diagnostics> {
        let path = [key.to_owned()];
        let Some(value) = self.merged.get(&path) else {
            let unknown =
                Diagnostic::new(&self.merged, &path, None, "is no section of this gateway");
            return Err(Diagnostics::from_iter([unknown]));
        };
        read(&self.merged, &self.referred, value.clone(), &path)
    }

    /// The JSON in a file that a key names: beside the configuration, unless its path is absolute.
    ///
    /// # Errors
    ///
    /// The end of a sentence that starts with the key.
    pub fn json_file(&self, name: &str) -> Result<Value, String> {
        let path = match &self.sources.directory {
            Some(directory) => directory.join(name),
            None if Path::new(name).is_absolute() => name.into(),
            None => return Err("is beside no file; say with --config which directory".to_owned()),
        };
        let shown = path.display();
        let file = std::fs::File::open(&path);
        let file = file.map_err(|error| format!("names {shown}, which cannot be read: {error}"))?;
        let mut bytes = Vec::new();
        let read = file.take(JSON_SIZE_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("names {shown}, which cannot be read: {error}"))?;
        if bytes.len() as u64 > JSON_SIZE_MAX {
            return Err(format!("names {shown}, which is longer than 4 MiB"));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("names {shown}, which is no JSON: {error}"))
    }

    /// Where a key is written; of a key that is absent, where the table is that lacks it.
    #[must_use]
    pub fn locate(&self, path: &[&str]) -> Location {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        self.merged.places.locate(&path)
    }

    /// The configuration in force as TOML, secrets masked.
    #[must_use]
    pub fn render(&self) -> String {
        render::document(&self.merged)
    }

    /// What it was read from, and can be read from again.
    #[must_use]
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) const fn merged(&self) -> &Merged {
        &self.merged
    }

    pub(crate) const fn secrets(&self) -> &BTreeMap<Vec<String>, Secret> {
        &self.referred.secrets
    }

    pub(crate) const fn files(&self) -> &BTreeMap<Vec<String>, TextFile> {
        &self.referred.files
    }

    pub(crate) const fn json(&self) -> &BTreeMap<Vec<String>, u64> {
        &self.referred.json
    }
}

/// Reads what stands at a path into its type, what is referred to in its place.
fn read<T: DeserializeOwned>(
    merged: &Merged,
    referred: &Referred,
    mut value: Value,
    path: &[String],
) -> Result<T, Diagnostics> {
    let mut put = |place: &[String], found: Value| {
        let below = place.strip_prefix(path);
        if let Some(reference) = below.and_then(|below| merged::get_mut(&mut value, below)) {
            *reference = found;
        }
    };
    for (place, secret) in &referred.secrets {
        put(place, Value::String(secret.expose().to_owned()));
    }
    for (place, file) in &referred.files {
        put(place, file.to_value());
    }
    T::deserialize(value).map_err(|error| {
        // The text may quote a value.
        let reason = if merged.may_hold_secret(path) {
            "does not fit its type, although it fits its schema".to_owned()
        } else {
            format!("does not fit its type: {error}")
        };
        Diagnostics::from_iter([Diagnostic::new(merged, path, None, reason)])
    })
}

#[cfg(test)]
mod tests;
