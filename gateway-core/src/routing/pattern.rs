//! Patterns: what a route says it matches, as text and as parts.
//!
//! ```text
//! GET /links/{id}                  one method
//! GET,POST /links                  several
//! * /files/{*rest}                 any method; the rest of the path, slashes and all
//! GET api.example.com/links        one host only
//! ```

use std::fmt;

use http::Method;
use percent_encoding::percent_decode_str;

/// A route's pattern: methods, perhaps a host, and a path of segments.
///
/// A `GET` pattern answers `HEAD` too, unless another one says `HEAD`. A trailing slash makes
/// another path. A parameter is one whole segment and never empty; neither is the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// Empty: any method.
    pub(super) methods: Vec<Method>,
    /// In small letters, without port.
    pub(super) host: Option<Box<str>>,
    pub(super) segments: Vec<Segment>,
    parameters: Vec<Box<str>>,
}

/// A part of a path between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, decoded; empty at the end of a path with a trailing slash.
    Static(Box<str>),
    /// Any text.
    Parameter,
    /// Any number of segments, to the end.
    Rest,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` {reason}")]
pub struct InvalidPattern {
    /// The text.
    pub pattern: String,
    /// What is wrong and how to write it, to be read after the pattern.
    pub reason: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`], which says what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        parse(text).map_err(|reason| InvalidPattern { pattern: text.to_owned(), reason })
    }

    /// The names of the path's parameters, from left to right; the rest is the last of them.
    #[must_use]
    pub fn parameters(&self) -> &[Box<str>] {
        &self.parameters
    }

    /// The path, as it was written.
    #[must_use]
    pub fn path(&self) -> &str {
        // Neither methods nor hosts have slashes.
        self.text.find('/').and_then(|start| self.text.get(start..)).unwrap_or_default()
    }

    /// The same pattern behind a prefix (`/v1`), as a gateway exposes it.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] when the prefix is not a static path such as `/v1`.
    pub fn with_prefix(&self, prefix: &str) -> Result<Self, InvalidPattern> {
        let invalid =
            |reason: &str| InvalidPattern { pattern: prefix.to_owned(), reason: reason.to_owned() };
        let is_plain = prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/'));
        if !is_plain || prefix.contains(['{', '}', ' ']) {
            return Err(invalid("is no prefix: write a path such as `/v1`, without parameters"));
        }
        let before_path = self.text.find('/').unwrap_or(self.text.len());
        let (start, path) = self.text.split_at(before_path);
        Self::parse(&format!("{start}{prefix}{path}"))
    }
}

impl Pattern {
    /// Whether a request that only reads can match it.
    #[must_use]
    pub fn takes_safe_methods(&self) -> bool {
        self.methods.is_empty() || self.methods.iter().any(Method::is_safe)
    }
}

/// The pattern as it was written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Result<Pattern, String> {
    let Some((methods, target)) = text.split_once(' ') else {
        return Err("lacks a method or a path: write `GET /links/{id}`".into());
    };
    let Some(path_start) = target.find('/') else {
        return Err("has no path: write a slash first, as in `GET /links`".into());
    };
    let (host, path) = target.split_at(path_start);
    let mut parameters = Vec::new();
    Ok(Pattern {
        text: text.into(),
        methods: parse_methods(methods)?,
        host: parse_host(host)?,
        segments: parse_path(path, &mut parameters)?,
        parameters,
    })
}

fn parse_methods(text: &str) -> Result<Vec<Method>, String> {
    if text == "*" {
        return Ok(Vec::new());
    }
    let mut methods = Vec::new();
    for name in text.split(',') {
        let method = match Method::from_bytes(name.as_bytes()) {
            Ok(Method::CONNECT | Method::TRACE) => {
                return Err(format!("has the method {name}, which no gateway answers"));
            }
            Ok(method) if !name.bytes().any(|byte| byte.is_ascii_lowercase()) => method,
            _ => {
                return Err(format!(
                    "has `{name}` where a method stands: write it in capitals, several as \
                     `GET,POST`, any as `*`"
                ));
            }
        };
        if methods.contains(&method) {
            return Err(format!("has the method {name} twice"));
        }
        methods.push(method);
    }
    Ok(methods)
}

fn parse_host(text: &str) -> Result<Option<Box<str>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(is_letter)
    };
    if !text.split('.').all(is_label) {
        return Err(format!(
            "has `{text}` where a host stands: write a full name without port, as in \
             `GET api.example.com/links`"
        ));
    }
    Ok(Some(text.to_ascii_lowercase().into()))
}

fn parse_path(path: &str, parameters: &mut Vec<Box<str>>) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut texts = path.split('/').skip(1).peekable();
    while let Some(text) = texts.next() {
        let is_last = texts.peek().is_none();
        let segment = match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => parse_parameter(name, is_last, parameters)?,
            None => parse_static(text, is_last)?,
        };
        segments.push(segment);
    }
    Ok(segments)
}

fn parse_parameter(
    text: &str,
    is_last: bool,
    parameters: &mut Vec<Box<str>>,
) -> Result<Segment, String> {
    let (name, segment) = match text.strip_prefix('*') {
        Some(name) => (name, Segment::Rest),
        None => (text, Segment::Parameter),
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_letter) {
        return Err(format!(
            "has the parameter `{{{text}}}`: name it with letters, digits and `_`, as in \
             `{{id}}` or `{{*rest}}`"
        ));
    }
    if segment == Segment::Rest && !is_last {
        return Err(format!("goes on after `{{{text}}}`, which takes the rest of the path"));
    }
    if parameters.iter().any(|known| **known == *name) {
        return Err(format!("has two parameters of the name `{name}`"));
    }
    parameters.push(name.into());
    Ok(segment)
}

fn parse_static(text: &str, is_last: bool) -> Result<Segment, String> {
    if text.contains(['{', '}']) {
        return Err(format!("has `{text}`: a parameter is a whole segment, as in `/links/{{id}}`"));
    }
    if text.contains(|letter: char| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, '?' | '#' | ';' | '\\')
    }) {
        return Err(format!("has `{text}`: a path has no `?`, `#`, `;`, `\\` and no spaces"));
    }
    let Ok(decoded) = percent_decode_str(text).decode_utf8() else {
        return Err(format!("has `{text}`, whose escapes are not UTF-8"));
    };
    // No request ever gets here with such a path: the guard refuses it.
    let is_never_sent = matches!(&*decoded, "." | "..")
        || (decoded.is_empty() && !is_last)
        || decoded.contains(|letter: char| letter.is_ascii_control() || "/\\".contains(letter));
    if is_never_sent {
        return Err(
            "has a segment that no request can have: no `//`, `.`, `..` or escaped slash".into()
        );
    }
    Ok(Segment::Static(decoded.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_its_parameters_from_left_to_right() {
        for (text, expected) in [
            ("GET /", &[][..]),
            ("GET /links/{id}", &["id"]),
            ("GET,POST api.example.com/{tenant}/links/{link_id}", &["tenant", "link_id"]),
            ("* /files/{bucket}/{*rest}", &["bucket", "rest"]),
        ] {
            let pattern = Pattern::parse(text).expect(text);
            let names: Vec<&str> = pattern.parameters().iter().map(AsRef::as_ref).collect();
            assert_eq!(names, expected, "{text}");
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn a_message_says_what_is_wrong_and_how_to_write_it() {
        for (text, expected) in [
            ("/links", "lacks a method or a path: write `GET /links/{id}`"),
            ("GET", "lacks a method"),
            ("GET links", "has no path: write a slash first"),
            ("get /links", "has `get` where a method stands: write it in capitals"),
            ("GET, POST /links", "has `` where a method stands"),
            ("GET,GET /links", "has the method GET twice"),
            ("TRACE /links", "has the method TRACE, which no gateway answers"),
            ("GET api.example.com:80/links", "where a host stands: write a full name without port"),
            ("GET *.example.com/links", "where a host stands"),
            ("GET /links/{id}.json", "has `{id}.json`: a parameter is a whole segment"),
            ("GET /links/{}", "has the parameter `{}`: name it with letters"),
            ("GET /links/{a-b}", "has the parameter `{a-b}`"),
            ("GET /{*rest}/x", "goes on after `{*rest}`"),
            ("GET /{id}/{id}", "has two parameters of the name `id`"),
            ("GET /links?x=1", "a path has no `?`"),
            ("GET /links  ", "a path has no `?`, `#`, `;`, `\\` and no spaces"),
            ("GET /a//b", "has a segment that no request can have"),
            ("GET /a/../b", "has a segment that no request can have"),
            ("GET /a/%2e", "has a segment that no request can have"),
            ("GET /a%2Fb", "has a segment that no request can have"),
            ("GET /a%ff", "whose escapes are not UTF-8"),
        ] {
            let error = Pattern::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("`{text}` ")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_prefix_stands_between_host_and_path() {
        for (text, prefix, expected) in [
            ("GET /links/{id}", "/v1", "GET /v1/links/{id}"),
            ("GET api.example.com/links", "/v1", "GET api.example.com/v1/links"),
            ("GET /links", "", "GET /links"),
        ] {
            let pattern = Pattern::parse(text).expect(text).with_prefix(prefix).expect(prefix);
            assert_eq!(pattern.to_string(), expected);
        }
        for bad in ["v1", "/v1/", "/", "/{tenant}", "/a//b"] {
            assert!(Pattern::parse("GET /x").expect("valid").with_prefix(bad).is_err(), "{bad}");
        }
    }
}
