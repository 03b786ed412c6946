//! The route table: all patterns of a gateway as one tree of segments for each host.
//!
//! A request walks down its own path, static segments first; where a branch has no route for it,
//! the walk comes back and tries the parameter, then the rest. So `DELETE /a/search` hides nothing
//! of `GET /a/{id}`, and the route found is always the most special one that answers the request.

use std::borrow::Cow;
use std::collections::HashMap;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::pattern::{Pattern, Segment};
use crate::error::Refusal;

/// Finds the route of a request. A route is its index in the list that the table was built from.
#[derive(Debug, Default)]
pub struct RouteTable {
    any_host: Node,
    hosts: HashMap<Box<str>, Node>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The route.
    pub route: usize,
    /// The values of its parameters, decoded, in the order of its pattern.
    pub params: Vec<Box<str>>,
}

/// Two routes that match the same requests, so that one of them would never be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{first_pattern}` and `{second_pattern}` match the same requests ({overlap})")]
pub struct RouteConflict {
    /// The route that was declared first.
    pub first: usize,
    /// Its pattern.
    pub first_pattern: String,
    /// The other one.
    pub second: usize,
    /// Its pattern.
    pub second_pattern: String,
    /// The method they share; `*` where both match any.
    pub overlap: String,
}

/// No route answers the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRouted {
    /// No route has this path.
    #[error("no route has this path")]
    NotFound,
    /// There are routes of this path, for other methods.
    #[error("no route of this path has this method")]
    MethodNotAllowed {
        /// The methods that there are routes for, as `Allow` lists them.
        allow: HeaderValue,
    },
}

impl Refusal for NotRouted {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "route_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::NotFound => "There is nothing at this path.".into(),
            Self::MethodNotAllowed { allow } => {
                format!("This path answers {}.", allow.to_str().unwrap_or_default()).into()
            }
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        if let Self::MethodNotAllowed { allow } = self {
            headers.insert(header::ALLOW, allow.clone());
        }
    }
}

impl RouteTable {
    /// Builds the table of `patterns`; each one's index is its route.
    ///
    /// # Errors
    ///
    /// Every [`RouteConflict`], in the order of the second route.
    pub fn build(patterns: &[Pattern]) -> Result<Self, Vec<RouteConflict>> {
        let mut table = Self::default();
        let mut conflicts = Vec::new();
        for (route, pattern) in patterns.iter().enumerate() {
            let root = match &pattern.host {
                Some(host) => table.hosts.entry(host.clone()).or_default(),
                None => &mut table.any_host,
            };
            let answers = root.answers_of(&pattern.segments);
            let Err((first, overlap)) = answers.add(route, &pattern.methods) else { continue };
            conflicts.push(RouteConflict {
                first,
                first_pattern: patterns.get(first).map(ToString::to_string).unwrap_or_default(),
                second: route,
                second_pattern: pattern.to_string(),
                overlap,
            });
        }
        if conflicts.is_empty() { Ok(table) } else { Err(conflicts) }
    }

    /// Finds the one route of a request. `host` is the value of `Host`, with or without port;
    /// `path` is in its normal form, without the query.
    ///
    /// A route of that host beats one of any host; a static segment beats a parameter, and that
    /// the rest.
    ///
    /// # Errors
    ///
    /// [`NotRouted`], with the methods that the path does have, if it has any.
    pub fn find(
        &self,
        method: &Method,
        host: Option<&str>,
        path: &str,
    ) -> Result<Found, NotRouted> {
        let Some(path) = path.strip_prefix('/') else { return Err(NotRouted::NotFound) };
        let mut walk = Walk { method, captured: Vec::new(), allowed: Vec::new() };
        let named = if self.hosts.is_empty() { None } else { self.of_host(host) };
        for root in named.into_iter().chain([&self.any_host]) {
            if let Some(route) = walk.find(root, Some(path)) {
                return Ok(Found { route, params: walk.params() });
            }
        }
        Err(walk.not_routed())
    }

    fn of_host(&self, host: Option<&str>) -> Option<&Node> {
        let host = host?;
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        self.hosts.get(name).or_else(|| self.hosts.get(name.to_ascii_lowercase().as_str()))
    }
}

/// A place in the tree: what may follow, and who answers here.
#[derive(Debug, Default)]
struct Node {
    statics: HashMap<Box<str>, Self>,
    parameter: Option<Box<Self>>,
    /// Routes that take the rest of the path from here.
    rest: Answers,
    /// Routes whose path ends here.
    end: Answers,
}

impl Node {
    fn of_static(&self, segment: &str) -> Option<&Self> {
        self.statics.get(&*decode(segment))
    }

    /// Who answers a path of `segments`; grows the tree as needed.
    fn answers_of(&mut self, segments: &[Segment]) -> &mut Answers {
        match segments {
            [] => &mut self.end,
            [Segment::Rest, ..] => &mut self.rest,
            [Segment::Parameter, after @ ..] => {
                self.parameter.get_or_insert_default().answers_of(after)
            }
            [Segment::Static(text), after @ ..] => {
                self.statics.entry(text.clone()).or_default().answers_of(after)
            }
        }
    }
}

/// The routes of one path, by method.
#[derive(Debug, Default)]
struct Answers {
    by_method: Vec<(Method, usize)>,
    any_method: Option<usize>,
}

impl Answers {
    /// Adds a route; no methods are any method. The first route in its way is the error, with the
    /// method they share.
    fn add(&mut self, route: usize, methods: &[Method]) -> Result<(), (usize, String)> {
        if methods.is_empty() {
            return match self.any_method.replace(route) {
                None => Ok(()),
                Some(first) => Err((first, "*".to_owned())),
            };
        }
        for method in methods {
            if let Some(first) = self.exactly(method) {
                return Err((first, method.to_string()));
            }
            self.by_method.push((method.clone(), route));
        }
        Ok(())
    }

    fn find(&self, method: &Method) -> Option<usize> {
        let get_for_head =
            || if method == Method::HEAD { self.exactly(&Method::GET) } else { None };
        self.exactly(method).or_else(get_for_head).or(self.any_method)
    }

    fn exactly(&self, method: &Method) -> Option<usize> {
        self.by_method.iter().find(|(known, _)| known == method).map(|(_, route)| *route)
    }
}

/// One request's way through a tree.
#[derive(Debug)]
struct Walk<'a> {
    method: &'a Method,
    /// What stands where the pattern has parameters, still escaped.
    captured: Vec<&'a str>,
    /// Methods that the path has routes for.
    allowed: Vec<&'a Method>,
}

impl<'a> Walk<'a> {
    /// The most special route below `node` for the rest of the path; `None` as a path means that
    /// it ended before. As deep as the deepest pattern, however long the path.
    fn find(&mut self, node: &'a Node, path: Option<&'a str>) -> Option<usize> {
        let Some(path) = path else { return self.ask(&node.end) };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        if let Some(child) = node.of_static(segment)
            && let Some(route) = self.find(child, after)
        {
            return Some(route);
        }
        if let Some(child) = &node.parameter
            && !segment.is_empty()
            && let Some(route) = self.capture(segment, |walk| walk.find(child, after))
        {
            return Some(route);
        }
        if path.is_empty() {
            return None;
        }
        self.capture(path, |walk| walk.ask(&node.rest))
    }

    /// Goes on with a value captured, and forgets it where that leads nowhere.
    fn capture(
        &mut self,
        value: &'a str,
        go_on: impl FnOnce(&mut Self) -> Option<usize>,
    ) -> Option<usize> {
        self.captured.push(value);
        let route = go_on(self);
        if route.is_none() {
            self.captured.pop();
        }
        route
    }

    fn ask(&mut self, answers: &'a Answers) -> Option<usize> {
        let route = answers.find(self.method);
        if route.is_none() {
            self.allowed.extend(answers.by_method.iter().map(|(method, _)| method));
        }
        route
    }

    fn params(&self) -> Vec<Box<str>> {
        self.captured.iter().map(|value| decode(value).into()).collect()
    }

    fn not_routed(self) -> NotRouted {
        let mut names: Vec<&str> = self.allowed.iter().map(|method| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.dedup();
        match HeaderValue::from_str(&names.join(", ")) {
            Ok(allow) if !names.is_empty() => NotRouted::MethodNotAllowed { allow },
            _ => NotRouted::NotFound,
        }
    }
}

/// Borrows what has no escapes. A normal path is UTF-8 throughout, so nothing is ever replaced.
fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests;
