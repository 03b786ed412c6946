//! Calls: a method, a service and a target with places for bindings; header fields and a body.
//!
//! ```text
//! GET link-service:/links/{path.id}?owner={identity.user_id}&limit={query.limit|20}
//! ```
//!
//! Not here: where values come from (`bindings`), how they are written (`template`).

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};

use super::bindings::{Scope, Source, header_that_may_be_sent_on};
use super::plan::PartSource;
use super::status::Reason;
use super::template::{BodyTemplate, Piece, Unfilled, pieces};

/// A call with places to fill in.
#[derive(Debug, Clone)]
pub(super) struct CallTemplate {
    pub(super) method: Method,
    pub(super) service: Box<str>,
    path: Vec<Piece>,
    query: Vec<Piece>,
    /// The target, where it has no places to fill in.
    fixed: Option<PathAndQuery>,
    headers: Vec<(HeaderName, Vec<Piece>)>,
    body: Option<BodyTemplate>,
    /// As it was written.
    pub(super) text: Box<str>,
}

/// A call as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The target.
    pub target: PathAndQuery,
    /// The header fields that the declaration names.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON, where the declaration has a body.
    pub body: Option<Bytes>,
}

impl CallTemplate {
    /// Reads a call such as `GET user-service:/users/{identity.user_id}`; the error is a reason
    /// for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (method, call) =
            text.split_once(' ').ok_or("must read \"GET service:/path\": a method, one space")?;
        let method = match method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err("the method must be GET, POST, PUT, PATCH or DELETE".into()),
        };
        let (service, target) =
            call.split_once(':').ok_or("must name the service before its path: service:/path")?;
        let (path, query, literal) = parse_target(target)?;
        let is_fixed = path.iter().chain(&query).all(|piece| piece.source().is_none());
        let fixed = is_fixed.then_some(literal);
        let (service, text) = (service.into(), text.into());
        Ok(Self { method, service, path, query, fixed, headers: Vec::new(), body: None, text })
    }

    /// Adds the declared header fields and body; each error is a key and a reason for people.
    pub(super) fn add_declared(&mut self, part: &PartSource) -> Result<(), (String, String)> {
        for (name, value) in &part.headers {
            let at = |reason: String| (format!("headers.{name}"), reason);
            let header = header_that_may_be_sent_on(name).map_err(at)?;
            let pieces = pieces(value).map_err(at)?;
            if HeaderValue::from_str(&literal(&pieces)).is_err() {
                return Err(at("must be one line of ASCII".into()));
            }
            self.headers.push((header, pieces));
        }
        let Some(body) = &part.body else { return Ok(()) };
        if self.method == Method::GET {
            return Err(("body".into(), "must be absent: a GET has no body".into()));
        }
        self.body = Some(BodyTemplate::parse(body).map_err(|reason| ("body".into(), reason))?);
        Ok(())
    }

    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it may change something.
    pub(super) fn is_write(&self) -> bool {
        !self.method.is_safe()
    }

    /// Everything it reads.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        let headers = self.headers.iter().flat_map(|(_, pieces)| pieces);
        let pieces = self.path.iter().chain(&self.query).chain(headers);
        let body = self.body.iter().flat_map(BodyTemplate::sources);
        pieces.filter_map(Piece::source).chain(body)
    }

    pub(super) fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        let headers = self.headers.iter_mut().flat_map(|(_, pieces)| pieces);
        let pieces = self.path.iter_mut().chain(&mut self.query).chain(headers);
        let body = self.body.iter_mut().flat_map(BodyTemplate::pieces_mut);
        pieces.chain(body).filter_map(Piece::source_mut)
    }

    /// The names of the header fields it sends.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter().map(|(name, _)| name)
    }

    /// The call for one request.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<Call, Unfilled> {
        let target = self.target(scope)?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, pieces) in &self.headers {
            let mut text = String::new();
            for piece in pieces {
                text.push_str(&piece.text(scope)?);
            }
            let value = HeaderValue::from_str(&text).map_err(|_| {
                Unfilled::of(Reason::InvalidInput, pieces.iter().find_map(Piece::source))
            })?;
            headers.push((name.clone(), value));
        }
        let body = self.body.as_ref().map(|body| body.fill(scope)).transpose()?.map(Bytes::from);
        Ok(Call { method: self.method.clone(), target, headers, body })
    }

    fn target(&self, scope: &Scope<'_>) -> Result<PathAndQuery, Unfilled> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let mut target = String::with_capacity(64);
        let mut last_input = None;
        for piece in &self.path {
            last_input = piece.write_encoded(scope, &mut target)?.or(last_input);
        }
        // Dots need no encoding, and encoded ones would mean the same: they cannot be a value.
        if last_input.is_some() && target.split('/').any(is_dot_segment) {
            return Err(Unfilled::of(Reason::InvalidInput, last_input));
        }
        for piece in &self.query {
            last_input = piece.write_encoded(scope, &mut target)?.or(last_input);
        }
        PathAndQuery::from_maybe_shared(Bytes::from(target))
            .map_err(|_| Unfilled::of(Reason::InvalidInput, last_input))
    }
}

/// Path, query, and the target with a letter for each value.
fn parse_target(target: &str) -> Result<(Vec<Piece>, Vec<Piece>, PathAndQuery), String> {
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
    let has_empty_default = |piece: &Piece| matches!(piece, Piece::Value { default: Some(default), .. } if default.is_empty());
    if path.iter().any(has_empty_default) {
        return Err("an empty default would leave a segment empty".into());
    }
    let query = pieces(query)?;
    let literal = PathAndQuery::try_from(literal(&path) + &literal(&query))
        .map_err(|_| "the path and query are no request target")?;
    Ok((path, query, literal))
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

#[cfg(test)]
mod tests;
