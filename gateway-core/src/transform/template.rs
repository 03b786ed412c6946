//! Templates: texts with values of the request in them, split when they are loaded.
//!
//! ```text
//! {id}                  a parameter of the route's path, as one segment
//! {*rest}               the same, with its slashes kept
//! {identity.user_id}    of the caller: user_id, role, tenant, tier
//! {query.page|1}        of the client's query, with what to take where it is missing
//! {{ and }}             the braces themselves
//! ```
//!
//! Invariants
//! - A value is encoded for the [`Place`] it lands in: `1?x=` becomes `1%3Fx%3D`.
//! - A missing value without a default is an error; it is never an empty text.
//! - A rendered path has no segment that the values made `.`, `..` or empty.

use std::borrow::Cow;
use std::fmt;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{TransformRefused, query};
use crate::principal::{IdentityField, Principal};

/// Where a template's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A path: its own text is a path, with escapes where it needs them.
    Path,
    /// The value of a query parameter: its own text is plain and gets encoded.
    Query,
    /// The value of a header field.
    Header,
}

/// What a template takes its values from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// The values of the path's parameters, decoded, in the order of the route's pattern.
    pub params: &'a [Box<str>],
    /// The caller; `None` for an anonymous one.
    pub principal: Option<&'a Principal>,
    /// The client's query, as it was written.
    pub query: Option<&'a str>,
}

/// A text with values in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    place: Place,
    pieces: Vec<Piece>,
}

/// A text that is no template; the reason says how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(pub String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Encoded already.
    Text(Box<str>),
    Value {
        binding: Binding,
        default: Option<Box<str>>,
    },
}

/// What a template names between braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// A parameter of the path: its place in the pattern, and its name.
    Parameter(usize, Box<str>),
    /// The same, with its slashes kept.
    Rest(usize, Box<str>),
    /// A field of the caller's identity.
    Identity(IdentityField),
    /// A parameter of the client's query; of several of one name, the first.
    Query(Box<str>),
}

impl Binding {
    /// Reads what stands between the braces, without a default.
    ///
    /// # Errors
    ///
    /// [`InvalidTemplate`] when it names nothing there is; it lists what there is.
    pub fn parse(text: &str, parameters: &[Box<str>]) -> Result<Self, InvalidTemplate> {
        if let Some(name) = text.strip_prefix("identity.") {
            let known = IdentityField::NAMES.join(", ");
            let unknown = || InvalidTemplate(format!("`{{{text}}}` is not one of {known}"));
            return IdentityField::parse(name).map(Self::Identity).ok_or_else(unknown);
        }
        if let Some(name) = text.strip_prefix("query.").filter(|name| !name.is_empty()) {
            return Ok(Self::Query(name.into()));
        }
        let (name, is_rest) = match text.strip_prefix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        match parameters.iter().position(|known| **known == *name) {
            Some(index) if is_rest => Ok(Self::Rest(index, name.into())),
            Some(index) => Ok(Self::Parameter(index, name.into())),
            None => Err(unknown_name(text, parameters)),
        }
    }

    /// The value; `None` when the request has none.
    fn value<'a>(&self, values: &Values<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Parameter(index, _) | Self::Rest(index, _) => {
                values.params.get(*index).map(|value| Cow::Borrowed(&**value))
            }
            Self::Identity(field) => {
                values.principal?.field(*field).map(|text| Cow::Borrowed(text.as_str()))
            }
            Self::Query(name) => query::value(values.query?, name),
        }
    }

    fn missing(&self) -> TransformRefused {
        let binding = self.to_string();
        match self {
            Self::Identity(_) => TransformRefused::IdentityMissing { binding },
            _ => TransformRefused::ValueMissing { binding },
        }
    }
}

fn unknown_name(text: &str, parameters: &[Box<str>]) -> InvalidTemplate {
    let mut known: Vec<String> = parameters.iter().map(|name| format!("{{{name}}}")).collect();
    known.extend(["{identity.…}".to_owned(), "{query.…}".to_owned()]);
    InvalidTemplate(format!("`{{{text}}}` is unknown; there is {}", known.join(", ")))
}

/// As it is written, without braces.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(_, name) => f.write_str(name),
            Self::Rest(_, name) => write!(f, "*{name}"),
            Self::Identity(IdentityField::UserId) => f.write_str("identity.user_id"),
            Self::Identity(IdentityField::Role) => f.write_str("identity.role"),
            Self::Identity(IdentityField::Tenant) => f.write_str("identity.tenant"),
            Self::Identity(IdentityField::Tier) => f.write_str("identity.tier"),
            Self::Query(name) => write!(f, "query.{name}"),
        }
    }
}

impl Template {
    /// Reads a template for a place; `parameters` are the names of the route's pattern.
    ///
    /// # Errors
    ///
    /// [`InvalidTemplate`] when a brace is left open, a name is unknown, or the text itself could
    /// not stand in that place.
    pub fn parse(
        text: &str,
        place: Place,
        parameters: &[Box<str>],
    ) -> Result<Self, InvalidTemplate> {
        let mut template = Self { place, pieces: Vec::new() };
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.extend(from.chars().next());
                rest = after;
                continue;
            }
            let value = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let Some((value, after)) = value else {
                let reason = "has a brace without its other half; write braces as `{{` and `}}`";
                return Err(InvalidTemplate(reason.into()));
            };
            template.push_text(&std::mem::take(&mut plain))?;
            template.push_value(value, parameters)?;
            rest = after;
        }
        plain.push_str(rest);
        template.push_text(&plain)?;
        template.check()?;
        Ok(template)
    }

    /// The text, where it is the same for every request.
    #[must_use]
    pub fn as_constant(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text of one request, encoded for its place.
    ///
    /// # Errors
    ///
    /// [`TransformRefused`] when a value is missing, or would lead a path elsewhere.
    pub fn render(&self, values: &Values<'_>) -> Result<String, TransformRefused> {
        let mut out = String::with_capacity(64);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { binding, default } => {
                    let value = binding.value(values);
                    // Nothing at all is no segment of a path.
                    let value = value.filter(|text| self.place != Place::Path || !text.is_empty());
                    let value = value.as_deref().or(default.as_deref());
                    let value = value.ok_or_else(|| binding.missing())?;
                    out.extend(utf8_percent_encode(value, self.encoding_of(binding)));
                }
            }
        }
        if self.place == Place::Path && !is_direct(&out) {
            return Err(TransformRefused::ValueLeavesSegment);
        }
        Ok(out)
    }

    const fn encoding_of(&self, binding: &Binding) -> &'static AsciiSet {
        match (self.place, binding) {
            (Place::Header, _) => HEADER_VALUE,
            (Place::Path, Binding::Rest(..)) => PATH_VALUE,
            (Place::Path | Place::Query, _) => VALUE,
        }
    }

    fn push_text(&mut self, text: &str) -> Result<(), InvalidTemplate> {
        let text: Cow<'_, str> = match self.place {
            Place::Path if text.contains(['?', '#', ';', '\\']) || has_stray_percent(text) => {
                let reason = "a path has no `?`, `#`, `;`, `\\` and no stray `%`; query parameters \
                              are set under `query`";
                return Err(InvalidTemplate(reason.into()));
            }
            Place::Path => utf8_percent_encode(text, PATH_TEXT).into(),
            Place::Query => utf8_percent_encode(text, VALUE).into(),
            Place::Header if HeaderValue::from_str(text).is_err() || !text.is_ascii() => {
                return Err(InvalidTemplate("a header value is one line of ASCII".into()));
            }
            Place::Header => text.into(),
        };
        if !text.is_empty() {
            self.pieces.push(Piece::Text(text.into()));
        }
        Ok(())
    }

    fn push_value(&mut self, text: &str, parameters: &[Box<str>]) -> Result<(), InvalidTemplate> {
        let (name, default) = match text.split_once('|') {
            Some((name, default)) => (name, Some(default.into())),
            None => (text, None),
        };
        let binding = Binding::parse(name, parameters)?;
        self.pieces.push(Piece::Value { binding, default });
        Ok(())
    }

    /// What can be known of a path before there are values.
    fn check(&self) -> Result<(), InvalidTemplate> {
        if self.place != Place::Path {
            return Ok(());
        }
        let mut sample = String::new();
        for piece in &self.pieces {
            sample.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Value { .. } => "value",
            });
        }
        if is_direct(&sample) {
            return Ok(());
        }
        let reason = "a path starts with a slash and has no `//` and no segment `.` or `..`";
        Err(InvalidTemplate(reason.into()))
    }
}

/// Everything but the unreserved characters of RFC 3986: right for any place, because nothing
/// that separates is left in it.
pub(super) const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a value that may have several segments.
const PATH_VALUE: &AsciiSet = &VALUE.remove(b'/');
/// What cannot stand raw in a path; its escapes stay.
const PATH_TEXT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'^');
/// What cannot stand raw in a header field, and the percent sign, so that it can be undone.
const HEADER_VALUE: &AsciiSet = &CONTROLS.add(b'%');

fn has_stray_percent(text: &str) -> bool {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.split('%').skip(1).any(|after| !is_escape(after))
}

/// Whether a path leads where its segments say: absolute, no dot segment, escaped or not, and none
/// empty but the last.
fn is_direct(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    let is_dots = |segment: &str| {
        let decoded = percent_encoding::percent_decode_str(segment);
        segment.len() <= 6 && matches!(&*decoded.collect::<Vec<u8>>(), b"." | b"..")
    };
    let inner = path.strip_suffix('/').unwrap_or(path);
    path.is_empty() || !inner.split('/').any(|segment| segment.is_empty() || is_dots(segment))
}

#[cfg(test)]
mod tests;
