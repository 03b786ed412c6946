//! Bindings: where the values in a part's call come from.
//!
//! ```text
//! {identity.user_id}  {path.id}  {query.limit|20}  {header.accept-language}  {body.title}
//! {part.profile.plan.id}  {item.owner_id}  {items.id}
//! ```
//!
//! A `Source` is what stands between the braces, read once when the configuration is loaded; a
//! `Scope` is what it may read for one call.
//!
//! Invariants
//! - An empty value is a missing one, and so are null, objects and arrays where a text is due.
//! - Nothing of the client's request is sent that no binding names; credentials cannot be named.
//!
//! Not here: how values are written (`template`), what a missing value means (`run`).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use crate::header::{HOP_BY_HOP, X_API_KEY};
use crate::principal::{IdentityField, Principal};
use crate::transform::query;

use super::values::{Path, elements, lookup, scalar};

/// What bindings may read of one request.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Who asks.
    pub principal: Option<&'a Principal>,
    /// The path's parameters, decoded, in the order of the route's pattern.
    pub params: &'a [Box<str>],
    /// The raw query.
    pub query: Option<&'a str>,
    /// The request's header fields, after the guard.
    pub headers: &'a HeaderMap,
    /// The request's body, where it is one JSON value and the plan reads it.
    pub body: Option<&'a Bytes>,
}

impl<'a> Inputs<'a> {
    /// The first query parameter of that name, decoded as a form is. `None` when it is not there
    /// or not UTF-8.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
        query::value(self.query?, name)
    }
}

/// What bindings may read for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    /// The names of `inputs.params`, in their order.
    pub(super) params: &'a [Box<str>],
    /// The parts' values, by number; empty where there is none.
    pub(super) values: &'a [Bytes],
    /// The items of the call: one, or all of a batch.
    pub(super) items: &'a [&'a [u8]],
}

/// A value that a binding has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A text of the request.
    Text(Cow<'a, str>),
    /// The exact bytes of a JSON value.
    Json(&'a [u8]),
    /// The exact bytes of several, each once, in their order.
    Several(Vec<&'a [u8]>),
}

impl<'a> Found<'a> {
    /// The text of a value that has one.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(json) => scalar(json),
            Self::Several(_) => None,
        }
        .filter(|text| !text.is_empty())
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Identity(IdentityField),
    Path(Box<str>),
    Query(Box<str>),
    Header(HeaderName),
    Body(Path),
    /// A part's answer, by the part's name until the plan knows its number.
    Part(Box<str>, usize, Path),
    Item(Path),
    Items(Path),
}

impl Source {
    /// Reads what stands between braces; the error is a reason for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('.').unwrap_or((text, ""));
        match kind {
            "body" => return Path::parse_rest(name).map(Self::Body),
            "item" => return Path::parse_rest(name).map(Self::Item),
            "items" => return Path::parse_rest(name).map(Self::Items),
            _ if name.is_empty() => {
                let reason = "must name a source and a value: {query.limit}";
                return Err(format!("{{{text}}} {reason}"));
            }
            _ => {}
        }
        match kind {
            "identity" => IdentityField::parse(name).map(Self::Identity).ok_or_else(|| {
                format!("{{{text}}}: an identity has {}", IdentityField::NAMES.join(", "))
            }),
            "path" => Ok(Self::Path(name.into())),
            "query" => Ok(Self::Query(name.into())),
            "header" => header_that_may_be_sent_on(name).map(Self::Header),
            "part" => {
                let (part, path) = name.split_once('.').unwrap_or((name, ""));
                Ok(Self::Part(part.into(), usize::MAX, Path::parse_rest(path)?))
            }
            _ => Err(format!(
                "{{{text}}}: values come from identity, path, query, header, body, part, item or \
                 items"
            )),
        }
    }

    /// The value for one call; `None` where there is none.
    pub(super) fn read<'a>(&self, scope: &Scope<'a>) -> Option<Found<'a>> {
        let inputs = scope.inputs;
        match self {
            Self::Identity(field) => {
                inputs.principal?.field(*field).map(|text| Found::Text(text.as_str().into()))
            }
            Self::Path(name) => {
                let place = scope.params.iter().position(|param| param == name)?;
                inputs.params.get(place).map(|value| Found::Text((**value).into()))
            }
            Self::Query(name) => inputs.query(name).map(Found::Text),
            Self::Header(name) => {
                inputs.headers.get(name)?.to_str().ok().map(|text| Found::Text(text.into()))
            }
            Self::Body(path) => json_at(inputs.body?, path),
            Self::Part(_, part, path) => json_at(scope.values.get(*part)?, path),
            Self::Item(path) => json_at(scope.items.first()?, path),
            Self::Items(path) => several(scope.items, path),
        }
    }
}

fn json_at<'a>(json: &'a [u8], path: &Path) -> Option<Found<'a>> {
    lookup(json, path).filter(|json| !json.is_empty() && *json != b"null").map(Found::Json)
}

/// Each value once: fifty items with ten owners ask for ten.
fn several<'a>(items: &[&'a [u8]], path: &Path) -> Option<Found<'a>> {
    let mut seen = HashSet::with_capacity(items.len());
    let values = items.iter().flat_map(|item| elements(item, path));
    let found: Vec<&[u8]> = values.filter(|value| seen.insert(*value)).collect();
    (!found.is_empty()).then_some(Found::Several(found))
}

/// As it was written, without braces.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path) = match self {
            Self::Identity(field) => return write!(f, "identity.{}", identity_name(*field)),
            Self::Path(name) => return write!(f, "path.{name}"),
            Self::Query(name) => return write!(f, "query.{name}"),
            Self::Header(name) => return write!(f, "header.{name}"),
            Self::Part(part, _, path) => {
                write!(f, "part.{part}")?;
                ("", path)
            }
            Self::Body(path) => ("body", path),
            Self::Item(path) => ("item", path),
            Self::Items(path) => ("items", path),
        };
        f.write_str(kind)?;
        if path.names().is_empty() { Ok(()) } else { write!(f, ".{path}") }
    }
}

const fn identity_name(field: IdentityField) -> &'static str {
    match field {
        IdentityField::UserId => "user_id",
        IdentityField::Role => "role",
        IdentityField::Tenant => "tenant",
        IdentityField::Tier => "tier",
    }
}

/// Credentials and what belongs to one connection are the gateway's own business.
pub(super) fn header_that_may_be_sent_on(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is no name of a header field"))?;
    let is_credential =
        [http::header::AUTHORIZATION, http::header::COOKIE, X_API_KEY].contains(&header);
    if is_credential || HOP_BY_HOP.contains(&header.as_str()) {
        return Err(format!("the {header} field never reaches a part"));
    }
    Ok(header)
}
