//! Header fields that several requests have in common, written once for all of them.
//!
//! Not here: what they say (the pipeline), what each request has of its own.

use http::{HeaderMap, HeaderName};

use crate::upstream::http1::write_fields;

/// Fields that stand in each of several requests, beside those of its own.
#[derive(Debug, Default)]
pub struct SharedFields {
    fields: HeaderMap,
    /// The same, as HTTP/1.1 has them.
    lines: Vec<u8>,
}

impl SharedFields {
    /// Writes them down. None of them says anything of a body.
    #[must_use]
    pub fn new(fields: HeaderMap) -> Self {
        let mut lines = Vec::with_capacity(512);
        write_fields(&fields, &mut lines);
        Self { fields, lines }
    }

    /// Whether a field of this name is among them.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.fields.contains_key(name)
    }

    /// All of them.
    #[must_use]
    pub const fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }
}
