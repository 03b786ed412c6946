//! What a route changes on the way to its service.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, header};
use percent_encoding::utf8_percent_encode;

use super::fields::FieldPaths;
use super::header_edits::{HeaderEdits, HeaderRules, Keys, Scope};
use super::template::{Place, Template, VALUE};
use super::{InvalidTransform, TransformRefused, Values, query};

/// The rules as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestRules {
    /// The path that the service gets, as a template; `None` keeps the client's.
    pub rewrite: Option<String>,
    /// Query parameters with their values, as templates. What the client sent under these names
    /// goes.
    pub query: Vec<(String, String)>,
    /// Header fields, with templates for values.
    pub headers: HeaderRules,
    /// Members to take out of a JSON body: names, or JSON pointers.
    pub remove_body_fields: Vec<String>,
}

/// The rules of one route, compiled.
#[derive(Debug, Clone, Default)]
pub struct RequestTransform {
    rewrite: Option<Template>,
    /// The names of the parameters that are set, plain.
    query_names: Vec<Box<str>>,
    /// The same, encoded, with what they are set to.
    query_values: Vec<(Box<str>, Template)>,
    headers: HeaderEdits,
    body_fields: FieldPaths,
}

const HEADER_KEYS: Keys = Keys {
    set: "request.set_headers",
    append: "request.append_headers",
    remove: "request.remove_headers",
};

impl RequestTransform {
    /// Compiles the rules of a route whose path has these `parameters`. `reserved` are the names of
    /// header fields that only the gateway writes: the identity's, the assertion's.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the rules.
    pub fn compile(
        rules: &RequestRules,
        parameters: &[Box<str>],
        reserved: &[&str],
    ) -> Result<Self, Vec<InvalidTransform>> {
        let mut errors = Vec::new();
        let mut transform = Self::default();
        if let Some(text) = &rules.rewrite {
            let template = Template::parse(text, Place::Path, parameters);
            transform.rewrite = keep(template, "rewrite", text, &mut errors);
        }
        for (name, text) in &rules.query {
            let template = Template::parse(text, Place::Query, parameters);
            let Some(template) = keep(template, "request.query", text, &mut errors) else {
                continue;
            };
            transform.query_names.push(name.as_str().into());
            let name = utf8_percent_encode(name, VALUE).to_string();
            transform.query_values.push((name.into(), template));
        }
        let scope = Scope { keys: HEADER_KEYS, parameters: Some(parameters), reserved };
        transform.headers = HeaderEdits::compile(&rules.headers, &scope, &mut errors);
        for text in &rules.remove_body_fields {
            let added = transform.body_fields.add(text);
            keep(added, "request.remove_body_fields", text, &mut errors);
        }
        if errors.is_empty() { Ok(transform) } else { Err(errors) }
    }

    /// Edits the header fields, and makes the target that the service gets: `path` or what it is
    /// rewritten to, the client's query, and the parameters that the rules set.
    ///
    /// # Errors
    ///
    /// [`TransformRefused`] when the request lacks a value, or the target would lead elsewhere. The
    /// header fields may then have been edited in part.
    pub fn apply_head(
        &self,
        path: &str,
        headers: &mut HeaderMap,
        values: &Values<'_>,
    ) -> Result<PathAndQuery, TransformRefused> {
        self.headers.apply(headers, values)?;
        let mut target = match &self.rewrite {
            Some(template) => template.render(values)?,
            None => path.to_owned(),
        };
        let query = self.query(values)?;
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        // Path and query are made of what a target may hold; only their length is left to check.
        PathAndQuery::try_from(target).map_err(|_| TransformRefused::TargetTooLong)
    }

    fn query(&self, values: &Values<'_>) -> Result<String, TransformRefused> {
        let sent = values.query.unwrap_or_default();
        if self.query_values.is_empty() {
            return Ok(sent.to_owned());
        }
        let mut query = query::without(sent, &self.query_names);
        for (name, template) in &self.query_values {
            query::push(&mut query, &format!("{name}={}", template.render(values)?));
        }
        Ok(query)
    }

    /// Whether [`Self::apply_body`] must see the whole body.
    #[must_use]
    pub const fn needs_body(&self) -> bool {
        !self.body_fields.is_empty()
    }

    /// Takes members out of the body, and corrects the header fields that describe it. The type
    /// that a client gives its body decides nothing: what is not JSON does not pass.
    ///
    /// # Errors
    ///
    /// [`TransformRefused`] when the body is there and is not plain JSON.
    pub fn apply_body(
        &self,
        headers: &mut HeaderMap,
        body: Bytes,
    ) -> Result<Bytes, TransformRefused> {
        if body.is_empty() || self.body_fields.is_empty() {
            return Ok(body);
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(TransformRefused::BodyEncoded);
        }
        let removed = self.body_fields.remove_from(&body);
        let Some(body) = removed.map_err(|_| TransformRefused::BodyNotJson)? else {
            return Ok(body);
        };
        for name in super::DIGESTS {
            headers.remove(name);
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        Ok(body.into())
    }
}

fn keep<T, E: ToString>(
    result: Result<T, E>,
    key: &'static str,
    text: &str,
    errors: &mut Vec<InvalidTransform>,
) -> Option<T> {
    let invalid =
        |error: E| InvalidTransform { key, value: text.to_owned(), reason: error.to_string() };
    result.map_err(|error| errors.push(invalid(error))).ok()
}

#[cfg(test)]
mod tests;
