//! Bindings: how a part's call takes values from the request it is made for.
//!
//! ```text
//! GET link-service:/links/{path.id}?owner={identity.user_id}&limit={query.limit|20}
//! ```
//!
//! A `CallTemplate` is cut into pieces once, when the configuration is loaded; a request fills
//! it in. Sources: `identity`, `path`, `query`, `header`. Behind `|` stands what is used when the
//! value is missing.
//!
//! Invariants
//! - A value is encoded for its place and never leaves it: not its segment, not its parameter.
//! - An empty value is a missing one: `/users/{identity.user_id}` never becomes `/users/`.
//! - Nothing of the client's request is sent that no binding names; credentials cannot be named.
//!
//! Not here: what a missing value means for the answer (`parts`).

use std::borrow::Cow;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::header::{HOP_BY_HOP, X_API_KEY};
use crate::principal::{IdentityField, Principal};

use super::status::Reason;

/// All but RFC 3986's unreserved characters, in a segment and in a parameter alike.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
}

impl<'a> Inputs<'a> {
    /// The first query parameter of that name, decoded as a form is. `None` when it is not there
    /// or not UTF-8.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'a, str>> {
        let pairs = self.query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .filter(|(key, _)| form_decoded(key).is_some_and(|key| key == name))
            .find_map(|(_, value)| form_decoded(value))
    }
}

/// A method, a service and a target with places to fill in.
#[derive(Debug, Clone)]
pub(super) struct CallTemplate {
    pub(super) method: Method,
    pub(super) service: Box<str>,
    path: Vec<Piece>,
    query: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(Box<str>),
    Value { source: Source, default: Option<Box<str>> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Identity(IdentityField),
    Path(Box<str>),
    Query(Box<str>),
    Header(HeaderName),
}

/// A call that cannot be made for this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfilled {
    pub(super) reason: Reason,
    /// The binding as it was written, without braces: `query.id`.
    pub(super) input: Box<str>,
}

impl CallTemplate {
    /// Reads a call such as `GET user-service:/users/{identity.user_id}`; the error is a reason
    /// for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (method, call) =
            text.split_once(' ').ok_or("must read \"GET service:/path\": a method, one space")?;
        if method != "GET" {
            return Err("must be a GET: the parts of an aggregate read".into());
        }
        let (service, target) =
            call.split_once(':').ok_or("must name the service before its path: service:/path")?;
        if !target.starts_with('/') {
            return Err("the path must start with \"/\"".into());
        }
        if let Some(bad) = target.chars().find(|char| !('!'..='~').contains(char) || *char == '#') {
            return Err(format!("{bad:?} must not stand in a target; percent-encode it"));
        }
        let (path, query) = split_query(target);
        let path = pieces(path)?;
        if literal(&path).split('/').any(is_dot_segment) {
            return Err("the path must not hold \".\" or \"..\" segments".into());
        }
        if path
            .iter()
            .any(|piece| matches!(piece, Piece::Value { default: Some(d), .. } if d.is_empty()))
        {
            return Err("an empty default would leave a segment empty".into());
        }
        let query = pieces(query)?;
        PathAndQuery::try_from(literal(&path) + &literal(&query))
            .map_err(|_| "the path and query are no request target")?;
        Ok(Self { method: Method::GET, service: service.into(), path, query })
    }

    /// The names of the path parameters that it reads.
    pub(super) fn params(&self) -> impl Iterator<Item = &str> {
        self.path.iter().chain(&self.query).filter_map(|piece| match piece {
            Piece::Value { source: Source::Path(name), .. } => Some(&**name),
            _ => None,
        })
    }

    /// The target for one request. `params` are the names of `inputs.params`, in their order.
    pub(super) fn fill(
        &self,
        inputs: &Inputs<'_>,
        params: &[Box<str>],
    ) -> Result<PathAndQuery, Unfilled> {
        let mut target = String::with_capacity(64);
        let mut last_input = None;
        for piece in &self.path {
            last_input = piece.write(inputs, params, &mut target)?.or(last_input);
        }
        // Dots need no encoding, and encoded ones would mean the same: they cannot be a value.
        if let Some(source) = last_input
            && target.split('/').any(is_dot_segment)
        {
            return Err(Unfilled { reason: Reason::InvalidInput, input: source.name() });
        }
        for piece in &self.query {
            last_input = piece.write(inputs, params, &mut target)?.or(last_input);
        }
        PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_| Unfilled {
            reason: Reason::InvalidInput,
            input: last_input.map(Source::name).unwrap_or_default(),
        })
    }
}

impl Piece {
    /// Appends itself; returns the source of the value, where it is one.
    fn write(
        &self,
        inputs: &Inputs<'_>,
        params: &[Box<str>],
        target: &mut String,
    ) -> Result<Option<&Source>, Unfilled> {
        let (source, default) = match self {
            Self::Text(text) => {
                target.push_str(text);
                return Ok(None);
            }
            Self::Value { source, default } => (source, default),
        };
        match (source.read(inputs, params).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => target.extend(utf8_percent_encode(&value, RESERVED)),
            (None, Some(default)) => target.extend(utf8_percent_encode(default, RESERVED)),
            (None, None) => {
                return Err(Unfilled { reason: Reason::MissingInput, input: source.name() });
            }
        }
        Ok(Some(source))
    }
}

impl Source {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once('.').filter(|(_, name)| !name.is_empty()) else {
            return Err(format!("{{{text}}} must name a source and a value: {{query.limit}}"));
        };
        match kind {
            "identity" => IdentityField::parse(name).map(Self::Identity).ok_or_else(|| {
                format!("{{{text}}}: an identity has {}", IdentityField::NAMES.join(", "))
            }),
            "path" => Ok(Self::Path(name.into())),
            "query" => Ok(Self::Query(name.into())),
            "header" => header_that_may_be_sent_on(name).map(Self::Header),
            _ => Err(format!(
                "{{{text}}}: values come from identity, path, query or header; a part does not \
                 read another part's answer"
            )),
        }
    }

    fn read<'a>(&self, inputs: &Inputs<'a>, params: &[Box<str>]) -> Option<Cow<'a, str>> {
        match self {
            Self::Identity(field) => {
                inputs.principal?.field(*field).map(|text| text.as_str().into())
            }
            Self::Path(name) => {
                let place = params.iter().position(|param| param == name)?;
                inputs.params.get(place).map(|value| (**value).into())
            }
            Self::Query(name) => inputs.query(name),
            Self::Header(name) => inputs.headers.get(name)?.to_str().ok().map(Cow::Borrowed),
        }
    }

    /// The binding as it was written.
    fn name(&self) -> Box<str> {
        match self {
            Self::Identity(field) => format!("identity.{}", identity_name(*field)),
            Self::Path(name) => format!("path.{name}"),
            Self::Query(name) => format!("query.{name}"),
            Self::Header(name) => format!("header.{name}"),
        }
        .into()
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
fn header_that_may_be_sent_on(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is no name of a header field"))?;
    let is_credential =
        [http::header::AUTHORIZATION, http::header::COOKIE, X_API_KEY].contains(&header);
    if is_credential || HOP_BY_HOP.contains(&header.as_str()) {
        return Err(format!("the {header} field never reaches a part"));
    }
    Ok(header)
}

/// Cuts a text at its bindings.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
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

/// A text with a letter for each value: what of it is fixed.
fn literal(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Value { .. } => "x",
        })
        .collect()
}

/// Cuts a target before its `?`, wherever braces stand.
fn split_query(target: &str) -> (&str, &str) {
    let mut is_binding = false;
    let query = target.find(|char| {
        is_binding = char == '{' || (is_binding && char != '}');
        char == '?' && !is_binding
    });
    target.split_at(query.unwrap_or(target.len()))
}

/// `.` and `..`, also where a dot is written `%2e`.
fn is_dot_segment(segment: &str) -> bool {
    let mut dots = 0;
    let mut rest = segment;
    while let Some(after) = rest
        .strip_prefix('.')
        .or_else(|| rest.strip_prefix("%2e"))
        .or_else(|| rest.strip_prefix("%2E"))
    {
        dots += 1;
        rest = after;
    }
    rest.is_empty() && (dots == 1 || dots == 2)
}

fn form_decoded(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        return Some(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use crate::principal::{IdentityText, Scheme};

    use super::*;

    fn principal() -> Principal {
        let text = |text| IdentityText::parse(text).expect("visible");
        Principal {
            scheme: Scheme::Jwt,
            user_id: text("a/b?c=d&e"),
            role: Some(text("editor")),
            roles: Vec::new(),
            tenant: None,
            tier: text("pro"),
            scopes: Vec::new(),
            credential_id: None,
            expires_at: None,
        }
    }

    /// Fills a target in for one request, or says why not.
    #[track_caller]
    fn check(target: &str, param: &str, query: &str, expected: &str) {
        let template = CallTemplate::parse(&format!("GET s:{target}")).expect(target);
        let mut headers = HeaderMap::new();
        headers.insert("accept-language", HeaderValue::from_static("de, en"));
        headers.insert("x-raw", HeaderValue::from_bytes(b"\xff").expect("opaque"));
        let principal = principal();
        let inputs = Inputs {
            principal: Some(&principal),
            params: &[param.into()],
            query: Some(query),
            headers: &headers,
        };
        let filled = template.fill(&inputs, &["id".into()]);
        let filled = filled.map(|target| target.to_string());
        let shown = filled.unwrap_or_else(|no| format!("{} {}", no.reason.as_str(), no.input));
        assert_eq!(shown, expected, "{target} with {param:?} and {query:?}");
    }

    #[test]
    fn a_value_is_encoded_for_its_place_and_never_leaves_it() {
        check("/users/{identity.user_id}", "", "", "/users/a%2Fb%3Fc%3Dd%26e");
        check("/x?owner={identity.user_id}", "", "", "/x?owner=a%2Fb%3Fc%3Dd%26e");
        check("/x/{path.id}/y", "../../admin", "", "/x/..%2F..%2Fadmin/y");
        check("/x/{path.id}", "é ~\0\r\n%2F#", "", "/x/%C3%A9%20~%00%0D%0A%252F%23");
        check("/x?q={query.q}", "", "q=a%26b=c%23+d", "/x?q=a%26b%3Dc%23%20d");
        check("/x?l={header.accept-language}", "", "", "/x?l=de%2C%20en");
        check("/a{path.id}b?c={path.id}d", "1", "", "/a1b?c=1d");
    }

    #[test]
    fn a_segment_is_never_made_of_dots() {
        check("/x/{path.id}", "..", "", "invalid_input path.id");
        check("/x/{path.id}/y", ".", "", "invalid_input path.id");
        check("/x/.{path.id}", ".", "", "invalid_input path.id");
        check("/x/%2E{path.id}", ".", "", "invalid_input path.id");
        check("/x/{path.id}", "...", "", "/x/...");
        check("/x/{path.id}", "%2e%2e", "", "/x/%252e%252e");
        check("/x?y={path.id}", "..", "", "/x?y=..");
    }

    #[test]
    fn a_missing_value_is_its_default_or_no_call() {
        check("/x?l={query.limit|20}", "", "", "/x?l=20");
        check("/x?l={query.limit|20}", "", "limit=5&limit=9", "/x?l=5");
        check("/x?l={query.limit|20}", "", "limit=", "/x?l=20");
        check("/x?l={query.limit|20}", "", "limit=%FF", "/x?l=20");
        check("/x?l={query.limit|a&b}", "", "", "/x?l=a%26b");
        check("/x?l={query.limit|}", "", "", "/x?l=");
        check("/x?l={query.limit}", "", "LIMIT=1&limits=2", "missing_input query.limit");
        check("/x/{path.id}", "", "", "missing_input path.id");
        check("/x/{identity.tenant}", "", "", "missing_input identity.tenant");
        check("/x/{header.x-none}", "", "", "missing_input header.x-none");
        check("/x/{header.x-raw}", "", "", "missing_input header.x-raw");
        check("/x?q={query.q}", "", &format!("q={}", "a".repeat(70_000)), "invalid_input query.q");
    }

    #[test]
    fn a_call_that_cannot_be_read_says_why() {
        for (call, reason) in [
            ("/links", "must read"),
            ("POST s:/links", "must be a GET"),
            ("GET /links", "must name the service"),
            ("GET s:links", "must start with"),
            ("GET s:/a b", "' ' must not stand"),
            ("GET s:/a#b", "'#' must not stand"),
            ("GET s:/é", "'é' must not stand"),
            ("GET s:/a<b>", "no request target"),
            ("GET s:/a/../b", "segments"),
            ("GET s:/a/%2e%2E", "segments"),
            ("GET s:/{query.a", "has no \"}\""),
            ("GET s:/query.a}", "has no \"{\""),
            ("GET s:/{limit}", "must name a source"),
            ("GET s:/{query.}", "must name a source"),
            ("GET s:/{identity.email}", "user_id, role, tenant, tier"),
            ("GET s:/{part.links.id}", "does not read another part"),
            ("GET s:/{path.id|}", "empty default"),
            ("GET s:/?a={header.cookie}", "never reaches"),
            ("GET s:/?a={header.Authorization}", "never reaches"),
            ("GET s:/?a={header.connection}", "never reaches"),
            ("GET s:/?a={header.x y}", "must not stand"),
        ] {
            let error = CallTemplate::parse(call).expect_err(call);
            assert!(error.contains(reason), "{call}: {error}");
        }
    }
}
