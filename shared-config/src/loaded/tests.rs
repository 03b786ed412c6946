//! Loading as its users see it: files in, a platform or every mistake out.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::testing::{Files, GATEWAY, PLATFORM};

mod any_input;
mod changes;
mod layers;
mod mistakes;
mod results;
mod samples;
mod secrets;

fn files() -> Files {
    Files::new(PLATFORM, GATEWAY)
}

/// A section as a gateway's own crate has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    service: String,
    #[serde(default)]
    attempts_max: u32,
    password: Option<Secret>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    id: String,
    digest: Option<Secret>,
}

fn own_sections() -> [Section; 2] {
    [Section::of::<Login>("login"), Section::of::<Vec<Key>>("keys")]
}
