//! Templates: texts and JSON bodies with places for bindings, cut into pieces once.
//!
//! Behind `|` stands what is used when the value is missing: `{query.limit|20}`.
//!
//! Invariants
//! - A value is encoded for its place and never leaves it: not its segment, not its parameter, not
//!   its header field, not its JSON string.
//! - In a body, a text that is nothing but one binding becomes the value itself, number, object or
//!   list, byte for byte; in a longer text only scalars can stand.
//! - No call is ever sent with "null" or nothing where a value was due.
//!
//! Not here: where values come from (`bindings`), whole calls (`call`).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::bindings::{Found, Scope, Source};
use super::status::Reason;
use super::values::push_string;

/// All but RFC 3986's unreserved characters, in a segment and in a parameter alike.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A call that cannot be made for this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfilled {
    pub(super) reason: Reason,
    /// The binding as it was written, without braces: `query.id`.
    pub(super) input: Box<str>,
    /// Whether the client could have sent it.
    pub(super) is_client_s: bool,
}

impl Unfilled {
    pub(super) fn of(reason: Reason, source: Option<&Source>) -> Self {
        let is_part_s =
            matches!(source, Some(Source::Part(..) | Source::Item(_) | Source::Items(_)));
        let input = source.map(ToString::to_string).unwrap_or_default().into();
        Self { reason, input, is_client_s: !is_part_s }
    }
}

/// One piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(Box<str>),
    Value { source: Source, default: Option<Box<str>> },
}

impl Piece {
    /// Appends itself, percent-encoded; the source of its value, where it is one.
    pub(super) fn write_encoded(
        &self,
        scope: &Scope<'_>,
        target: &mut String,
    ) -> Result<Option<&Source>, Unfilled> {
        let (source, default) = match self {
            Self::Text(text) => {
                target.push_str(text);
                return Ok(None);
            }
            Self::Value { source, default } => (source, default),
        };
        match (texts_of(source, scope), default) {
            (Some(texts), _) => {
                for (place, text) in texts.iter().enumerate() {
                    // A list is one value to the service, and the comma its own.
                    target.push_str(if place == 0 { "" } else { "," });
                    target.extend(utf8_percent_encode(text, RESERVED));
                }
            }
            (None, Some(default)) => target.extend(utf8_percent_encode(default, RESERVED)),
            (None, None) => return Err(Unfilled::of(Reason::MissingInput, Some(source))),
        }
        Ok(Some(source))
    }

    /// Its text as it is; a list's texts have commas between them.
    pub(super) fn text<'a>(&'a self, scope: &Scope<'a>) -> Result<Cow<'a, str>, Unfilled> {
        let (source, default) = match self {
            Self::Text(text) => return Ok(Cow::Borrowed(text)),
            Self::Value { source, default } => (source, default),
        };
        match (texts_of(source, scope), default) {
            (Some(mut texts), _) if texts.len() == 1 => Ok(texts.swap_remove(0)),
            (Some(texts), _) => Ok(texts.join(",").into()),
            (None, Some(default)) => Ok(Cow::Borrowed(default)),
            (None, None) => Err(Unfilled::of(Reason::MissingInput, Some(source))),
        }
    }

    pub(super) const fn source(&self) -> Option<&Source> {
        match self {
            Self::Text(_) => None,
            Self::Value { source, .. } => Some(source),
        }
    }

    pub(super) const fn source_mut(&mut self) -> Option<&mut Source> {
        match self {
            Self::Text(_) => None,
            Self::Value { source, .. } => Some(source),
        }
    }
}

/// One text, or those of a list; `None` where there is none.
fn texts_of<'a>(source: &Source, scope: &Scope<'a>) -> Option<Vec<Cow<'a, str>>> {
    let texts: Vec<Cow<'a, str>> = match source.read(scope)? {
        Found::Several(values) => values.into_iter().filter_map(super::values::scalar).collect(),
        one => one.into_text().into_iter().collect(),
    };
    (!texts.is_empty()).then_some(texts)
}

/// Cuts a text at its bindings; the error is a reason for people.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, from_brace)) = rest.split_once('{') {
        let (binding, after) =
            from_brace.split_once('}').ok_or("a \"{\" has no \"}\" behind it")?;
        push_text(&mut pieces, before)?;
        let (source, default) = match binding.split_once('|') {
            Some((source, default)) => (source, Some(default.into())),
            None => (binding, None),
        };
        pieces.push(Piece::Value { source: Source::parse(source)?, default });
        rest = after;
    }
    push_text(&mut pieces, rest)?;
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if text.contains('}') {
        return Err("a \"}\" has no \"{\" before it".into());
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(())
}

/// A JSON body, cut into what is the same for every call and what is not.
#[derive(Debug, Clone, Default)]
pub(super) struct BodyTemplate(Vec<BodyPiece>);

#[derive(Debug, Clone)]
enum BodyPiece {
    Json(Vec<u8>),
    /// A string that is nothing but one binding: its value, whatever it is.
    Whole(Piece),
    /// A string with bindings in it.
    Mixed(Vec<Piece>),
}

impl BodyTemplate {
    /// Cuts a declared body; the error is a reason for people.
    pub(super) fn parse(declared: &Value) -> Result<Self, String> {
        let mut template = Self::default();
        template.push(declared)?;
        Ok(template)
    }

    fn push(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(elements) => {
                self.json().push(b'[');
                for (place, element) in elements.iter().enumerate() {
                    if place > 0 {
                        self.json().push(b',');
                    }
                    self.push(element)?;
                }
                self.json().push(b']');
            }
            Value::Object(members) => {
                self.json().push(b'{');
                for (place, (name, member)) in members.iter().enumerate() {
                    if place > 0 {
                        self.json().push(b',');
                    }
                    push_string(name, self.json());
                    self.json().push(b':');
                    self.push(member)?;
                }
                self.json().push(b'}');
            }
            Value::String(text) => self.push_text(text)?,
            scalar => self.json().extend_from_slice(scalar.to_string().as_bytes()),
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Result<(), String> {
        let mut pieces = pieces(text)?;
        match (&*pieces, pieces.len()) {
            ([] | [Piece::Text(_)], _) => push_string(text, self.json()),
            ([Piece::Value { .. }], _) => self.0.extend(pieces.pop().map(BodyPiece::Whole)),
            _ => self.0.push(BodyPiece::Mixed(pieces)),
        }
        Ok(())
    }

    /// Where fixed bytes are appended.
    fn json(&mut self) -> &mut Vec<u8> {
        if !matches!(self.0.last(), Some(BodyPiece::Json(_))) {
            self.0.push(BodyPiece::Json(Vec::new()));
        }
        match self.0.last_mut() {
            Some(BodyPiece::Json(bytes)) => bytes,
            _ => unreachable!("pushed just above"),
        }
    }

    /// The body of one call.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<Vec<u8>, Unfilled> {
        let mut body = Vec::with_capacity(128);
        for piece in &self.0 {
            match piece {
                BodyPiece::Json(json) => body.extend_from_slice(json),
                BodyPiece::Whole(piece) => push_whole(piece, scope, &mut body)?,
                BodyPiece::Mixed(pieces) => {
                    let texts = pieces.iter().map(|piece| piece.text(scope));
                    push_string(&texts.collect::<Result<String, _>>()?, &mut body);
                }
            }
        }
        Ok(body)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.pieces().filter_map(Piece::source)
    }

    pub(super) fn pieces_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.0.iter_mut().flat_map(|piece| match piece {
            BodyPiece::Json(_) => [].iter_mut(),
            BodyPiece::Whole(piece) => std::slice::from_mut(piece).iter_mut(),
            BodyPiece::Mixed(pieces) => pieces.iter_mut(),
        })
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.0.iter().flat_map(|piece| match piece {
            BodyPiece::Json(_) => [].iter(),
            BodyPiece::Whole(piece) => std::slice::from_ref(piece).iter(),
            BodyPiece::Mixed(pieces) => pieces.iter(),
        })
    }
}

fn push_whole(piece: &Piece, scope: &Scope<'_>, body: &mut Vec<u8>) -> Result<(), Unfilled> {
    let Piece::Value { source, default } = piece else { return Ok(()) };
    match (source.read(scope), default) {
        (Some(Found::Json(json)), _) => body.extend_from_slice(json),
        (Some(Found::Several(values)), _) => {
            body.push(b'[');
            body.extend_from_slice(&values.join(&b','));
            body.push(b']');
        }
        (Some(Found::Text(text)), _) if !text.is_empty() => push_string(&text, body),
        (_, Some(default)) => push_string(default, body),
        (_, None) => return Err(Unfilled::of(Reason::MissingInput, Some(source))),
    }
    Ok(())
}
