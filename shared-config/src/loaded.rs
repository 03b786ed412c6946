//! Loading: from sources to a configuration that holds together, or to everything wrong with it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostics::{Diagnostic, Diagnostics, Location};
use crate::layers;
use crate::merged::{self, Merged};
use crate::platform::Platform;
use crate::schema::{self, Section};
use crate::secret::{self, Secret};
use crate::sources::Sources;
use crate::{render, rules, structure};

/// A configuration that loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The core's sections.
    pub platform: Platform,
    merged: Merged,
    secrets: BTreeMap<Vec<String>, Secret>,
    sources: Sources,
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
    let secrets = secret::resolve(&merged, sources, &mut found);
    rules::check(&merged, &mut found);
    Diagnostics::none_or(found)?;
    let mut core = merged.value.clone();
    if let Value::Object(members) = &mut core {
        members.retain(|key, _| sections.iter().all(|own| own.key() != key));
    }
    let mut platform: Platform = read(&merged, &secrets, core, &[])?;
    platform.keep_order(&merged.places);
    Ok(Loaded { platform, merged, secrets, sources: sources.clone() })
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
        read(&self.merged, &self.secrets, value.clone(), &path)
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
        &self.secrets
    }
}

/// Reads what stands at a path into its type, each secret's text in its place.
fn read<T: DeserializeOwned>(
    merged: &Merged,
    secrets: &BTreeMap<Vec<String>, Secret>,
    mut value: Value,
    path: &[String],
) -> Result<T, Diagnostics> {
    for (place, secret) in secrets {
        let below = place.strip_prefix(path);
        if let Some(reference) = below.and_then(|below| merged::get_mut(&mut value, below)) {
            *reference = Value::String(secret.expose().to_owned());
        }
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
