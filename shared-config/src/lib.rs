//! Configuration as code: layers, units, secrets, and every error at once.
//!
//! [`load`] reads [`Sources`], merges the layers, and checks structure, secrets and rules in turn;
//! its answer is a [`Loaded`] or all [`Diagnostics`] together.
//!
//! Read in this order: [`platform`] is what can be written, [`load`] the way from text to types,
//! `layers` how files become one value, `structure` and `rules` what that value must be.
//!
//! Invariants
//! - Nothing else in the workspace reads configuration files or the environment, and here only
//!   [`Sources::from_process`] reads the environment.
//! - No secret stands in a file, and none is ever shown: not by `Debug`, not in a diagnostic, not
//!   in [`Loaded::render`].
//! - A mistake never hides another, except that of a file which cannot be read.
//!
//! Not here: what patterns, templates and fields mean (`gateway-core`).

mod changes;
mod diagnostics;
mod layers;
mod loaded;
mod merged;
pub mod platform;
mod render;
mod rules;
mod schema;
mod secret;
mod sources;
mod structure;
mod text_file;
pub mod units;
mod watched;

pub use self::changes::{Change, Changes};
pub use self::diagnostics::{Diagnostic, Diagnostics, Location};
pub use self::loaded::{Loaded, load};
pub use self::schema::Section;
pub use self::secret::Secret;
pub use self::sources::Sources;
pub use self::text_file::TextFile;
pub use self::watched::Watched;

#[cfg(test)]
mod testing;
