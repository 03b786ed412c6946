//! Where a key is written.

use std::fmt;
use std::sync::Arc;

/// A line of a file, a file as a whole, or an environment variable. Files sort first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location(Source);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    File { name: Arc<str>, line: Option<usize> },
    Variable { name: Arc<str> },
}

impl Location {
    /// A line of a file; the first is 1.
    pub(crate) const fn line_of(file: Arc<str>, line: usize) -> Self {
        Self(Source::File { name: file, line: Some(line) })
    }

    /// A whole file.
    pub(crate) fn file(name: &str) -> Self {
        Self(Source::File { name: name.into(), line: None })
    }

    /// An environment variable.
    pub(crate) fn variable(name: &str) -> Self {
        Self(Source::Variable { name: name.into() })
    }

    /// The name of the file or of the variable.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Source::File { name, .. } | Source::Variable { name } => name,
        }
    }

    /// The line; none for a file as a whole and for a variable.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self.0 {
            Source::File { line, .. } => line,
            Source::Variable { .. } => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File { name, line: Some(line) } => write!(f, "{name}:{line}"),
            Source::File { name, line: None } => f.write_str(name),
            Source::Variable { name } => write!(f, "environment variable {name}"),
        }
    }
}
