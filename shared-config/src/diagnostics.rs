//! Diagnostics: what is wrong with a configuration, all of it at once.
//!
//! Each one names the place, the key, the value, what must hold instead, and the nearest name
//! that exists. A value is shown only where it cannot be a secret.
//!
//! Read in this order: [`Diagnostics`] is what loading fails with, [`Diagnostic`] one mistake in
//! it.

mod location;
pub(crate) mod suggestion;

use std::fmt;

pub use self::location::Location;
use crate::Loaded;
use crate::merged::Merged;

/// One mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    location: Location,
    key: Box<str>,
    value: Option<Box<str>>,
    reason: Box<str>,
    suggestion: Option<Box<str>>,
}

impl Diagnostic {
    /// A mistake at a key of a configuration that loaded, found by whoever compiles it.
    ///
    /// `path` leads from the root to the key, an index being a decimal number; `reason` is the
    /// end of a sentence that starts with the key: `must be a path`. The value of a secret is
    /// masked, whatever the caller says it is.
    #[must_use]
    pub fn at(
        loaded: &Loaded,
        path: &[&str],
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        let value = loaded.merged().shown_as(&path, value.into());
        Self::new(loaded.merged(), &path, value, reason)
    }

    /// A mistake at a key, with its value as it may be shown.
    pub(crate) fn new(
        merged: &Merged,
        path: &[String],
        value: Option<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            location: merged.places.locate(path),
            key: merged.dotted(path).into(),
            value: value.map(Into::into),
            reason: reason.into().into(),
            suggestion: None,
        }
    }

    /// The same mistake, in a place other than where its key is written last.
    pub(crate) fn located(self, location: Location) -> Self {
        Self { location, ..self }
    }

    /// A mistake of a source as a whole, or of a line that holds no key.
    pub(crate) fn of_source(location: Location, reason: impl Into<String>) -> Self {
        let reason = reason.into().into();
        Self { location, key: "".into(), value: None, reason, suggestion: None }
    }

    /// Adds the name that was probably meant, if one of the known ones is near what was written.
    #[must_use]
    pub fn suggest<N: AsRef<str>>(
        mut self,
        written: &str,
        known: impl IntoIterator<Item = N>,
    ) -> Self {
        self.suggestion = suggestion::nearest(written, known).map(Into::into);
        self
    }

    /// Where the mistake stands.
    #[must_use]
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// The key, dotted; empty when a whole file is meant.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What must hold instead.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// A block of two lines: where and what, then why.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, "\n    {}", self.reason)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

/// Every mistake in a configuration, by file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing when nothing was found.
    ///
    /// # Errors
    ///
    /// What was found.
    pub fn none_or(found: impl IntoIterator<Item = Diagnostic>) -> Result<(), Self> {
        let found: Self = found.into_iter().collect();
        if found.0.is_empty() { Ok(()) } else { Err(found) }
    }

    /// The mistakes.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

/// Sorts, and keeps one of several that say the same.
impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(found: I) -> Self {
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort();
        found.dedup();
        Self(found)
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Diagnostics {}

/// One block for each mistake, then how many there are.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self {
            writeln!(f, "{diagnostic}\n")?;
        }
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "{} error{plural}", self.0.len())
    }
}
