//! Secrets: named in a file, found elsewhere, never printed.
//!
//! A file says where a secret stands, `{ env = "NAME" }` or `{ file = "/run/secrets/name" }`, and
//! loading reads it. Whatever shows a [`Secret`] shows `***`; its memory is wiped when it is
//! dropped.

mod resolve;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::resolve::{files, read_file, resolve};

/// What stands in a secret's place wherever configuration is shown.
pub(crate) const MASK: &str = "***";

/// Marks a key as a secret in a schema.
pub(crate) const SCHEMA_MARK: &str = "x-secret";

/// A text that cannot be printed.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself, for whoever computes with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Reads the text that loading found, not the reference.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// The reference, as files write it.
impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Where a secret stands: { env = \"NAME\" } or { file = \"PATH\" }.",
            "properties": { "env": { "type": "string" }, "file": { "type": "string" } },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            SCHEMA_MARK: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_prints_prints_a_secret() {
        let secret = Secret::from("hunter2".to_owned());
        let json = serde_json::to_string(&secret).expect("serialises");
        assert_eq!(format!("{secret} {secret:?} {json}"), "*** *** \"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}
