//! What a route changes on the way back from its service.
//!
//! A changed body is another representation: it keeps its length right, loses the digests of the
//! old one, offers no ranges, and its validator becomes a weak one. A weak validator still does its
//! work: the client sends it back, and the service compares it with its own (RFC 9110 §8.8.3.2).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::fields::FieldPaths;
use super::header_edits::{HeaderEdits, HeaderRules, Keys, Scope};
use super::{InvalidTransform, TransformRefused, Values, xml};

/// The rules as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseRules {
    /// Header fields; the values are the same for every answer.
    pub headers: HeaderRules,
    /// Members to take out of a JSON body: names, or JSON pointers.
    pub remove_body_fields: Vec<String>,
    /// Whether an XML body becomes JSON ([`xml`] says how); its members can then be removed too.
    pub xml_to_json: bool,
}

/// The rules of one route, compiled.
#[derive(Debug, Clone, Default)]
pub struct ResponseTransform {
    headers: HeaderEdits,
    body_fields: FieldPaths,
    xml_to_json: bool,
}

const HEADER_KEYS: Keys = Keys {
    set: "response.set_headers",
    append: "response.append_headers",
    remove: "response.remove_headers",
};

impl ResponseTransform {
    /// Compiles the rules of a route.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the rules.
    pub fn compile(rules: &ResponseRules) -> Result<Self, Vec<InvalidTransform>> {
        let mut errors = Vec::new();
        let scope = Scope { keys: HEADER_KEYS, parameters: None, reserved: &[] };
        let headers = HeaderEdits::compile(&rules.headers, &scope, &mut errors);
        let mut body_fields = FieldPaths::default();
        for text in &rules.remove_body_fields {
            if let Err(invalid) = body_fields.add(text) {
                errors.push(InvalidTransform {
                    key: "response.remove_body_fields",
                    value: text.clone(),
                    reason: invalid.to_string(),
                });
            }
        }
        let transform = Self { headers, body_fields, xml_to_json: rules.xml_to_json };
        if errors.is_empty() { Ok(transform) } else { Err(errors) }
    }

    /// Asks the service for a body that can be changed: whole, and not compressed.
    pub fn prepare_request(&self, headers: &mut HeaderMap) {
        if !self.changes_bodies() {
            return;
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.remove(header::RANGE);
        headers.remove(header::IF_RANGE);
    }

    /// Whether [`Self::apply`] must see the whole body of an answer with these header fields.
    /// Streams of events are never held, and pass as they are.
    #[must_use]
    pub fn needs_body(&self, headers: &HeaderMap) -> bool {
        self.changes_bodies() && media_type(headers) != "text/event-stream"
    }

    const fn changes_bodies(&self) -> bool {
        self.xml_to_json || !self.body_fields.is_empty()
    }

    /// Applies the rules to an answer, its body first. The body is empty where the answer has none
    /// (`HEAD`, 204, 304) or is not needed; the header fields are corrected all the same.
    ///
    /// A body of another type than the rules are for passes as it is.
    ///
    /// # Errors
    ///
    /// [`TransformRefused`] when the body is compressed, or not what its type says.
    pub fn apply(&self, headers: &mut HeaderMap, body: Bytes) -> Result<Bytes, TransformRefused> {
        let body = if self.needs_body(headers) { self.apply_body(headers, body)? } else { body };
        self.headers.apply(headers, &Values::default())?;
        Ok(body)
    }

    fn apply_body(&self, headers: &mut HeaderMap, body: Bytes) -> Result<Bytes, TransformRefused> {
        let media_type = media_type(headers);
        let is_xml = self.xml_to_json && is_of(&media_type, "xml");
        let is_json = is_xml || (!self.body_fields.is_empty() && is_of(&media_type, "json"));
        // A 304 has no type, and must have the validator that the answer it stands for had.
        let is_head_alone = body.is_empty() && media_type.is_empty();
        if is_json || is_head_alone {
            describe_changed(headers);
        }
        if is_xml {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if body.is_empty() {
            return Ok(body);
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return if is_json { Err(TransformRefused::AnswerEncoded) } else { Ok(body) };
        }
        let body = if is_xml { xml::to_json(&body)?.into() } else { body };
        self.remove_fields(headers, body, is_json)
    }

    /// Looks into a body of any type: a service that mislabels its JSON must not leak by it.
    fn remove_fields(
        &self,
        headers: &mut HeaderMap,
        body: Bytes,
        is_json: bool,
    ) -> Result<Bytes, TransformRefused> {
        if self.body_fields.is_empty() {
            return Ok(body);
        }
        match self.body_fields.remove_from(&body) {
            Ok(Some(changed)) => {
                describe_changed(headers);
                Ok(changed.into())
            }
            Err(_) if is_json => Err(TransformRefused::AnswerNotJson),
            Ok(None) | Err(_) => Ok(body),
        }
    }
}

/// Takes back what the header fields say of the old body. The new length follows from the new body.
fn describe_changed(headers: &mut HeaderMap) {
    for name in super::DIGESTS {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    let Some(tag) = headers.get_mut(header::ETAG) else { return };
    if !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        *tag = weak;
    }
}

/// In small letters, without parameters; empty where there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Whether a media type is data in that format: `application/json`, `text/xml`,
/// `application/problem+xml`; not `image/svg+xml`.
fn is_of(media_type: &str, format: &str) -> bool {
    let Some((kind, subtype)) = media_type.split_once('/') else { return false };
    let is_suffixed = || subtype.strip_suffix(format).is_some_and(|start| start.ends_with('+'));
    let is_data = subtype == format || (kind == "application" && is_suffixed());
    is_data && matches!(kind, "application" | "text") && subtype != "xhtml+xml"
}

#[cfg(test)]
mod tests;
