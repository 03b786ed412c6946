//! Inspection: what a request's body must be before a service hears of it.
//!
//! Read in this order: [`BodySchema`] is the schema, compiled; [`BodyRefused`] what is wrong with a
//! body; [`openapi`] finds a schema in an OpenAPI document; [`members`] are what limits are keyed by.
//!
//! Invariants
//! - Media type and size come first: nothing is read of what could not be right.
//! - A body that fits goes on byte by byte as it came; it is read here, never written.
//! - Errors say where (a JSON pointer) and what is due, and repeat no value of the body. Their
//!   number, and the length of each, is bounded.
//! - Patterns are matched in linear time, and nothing is fetched: a schema is whole in itself.
//!
//! Not here: how a body is held whole and how long that may take (`pipeline`).

pub mod members;
pub mod openapi;

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, StatusCode, header};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use crate::error::Refusal;
use crate::strict_json;

/// Objects and arrays inside one another that a body may have.
const NESTING_MAX: u8 = 64;
/// Errors that one answer lists.
const ERRORS_MAX: usize = 20;
/// The longest text that an answer repeats of the names in a body.
const TEXT_LENGTH_MAX: usize = 128;
/// Unexpected members that one error names.
const NAMES_MAX: usize = 8;

/// A JSON Schema for bodies.
pub struct BodySchema {
    validator: Validator,
    may_be_absent: bool,
}

impl fmt::Debug for BodySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodySchema")
    }
}

/// A value that is no JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no JSON Schema: {0}")]
pub struct InvalidSchema(String);

impl BodySchema {
    /// Compiles a schema; what it refers to must be within it. `draft` is that of a schema which
    /// does not say so itself.
    ///
    /// # Errors
    ///
    /// [`InvalidSchema`], with the library's words.
    pub fn compile(schema: &Value, draft: Draft) -> Result<Self, InvalidSchema> {
        let options = jsonschema::options()
            .with_draft(draft.detect(schema))
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex());
        let validator = options.build(schema).map_err(|error| InvalidSchema(error.to_string()))?;
        Ok(Self { validator, may_be_absent: false })
    }

    /// The same where a request without a body is fine.
    #[must_use]
    pub fn or_absent(self, may_be_absent: bool) -> Self {
        Self { may_be_absent, ..self }
    }

    /// Judges by the head alone, before anything of a body is read.
    ///
    /// # Errors
    ///
    /// [`BodyRefused::MediaType`] and [`BodyRefused::Coded`].
    pub fn check_head(headers: &HeaderMap) -> Result<(), BodyRefused> {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !is_json(essence) {
            return Err(BodyRefused::MediaType);
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(BodyRefused::Coded);
        }
        Ok(())
    }

    /// Whether a request may come without a body.
    #[must_use]
    pub const fn may_be_absent(&self) -> bool {
        self.may_be_absent
    }

    /// Judges a whole body.
    ///
    /// # Errors
    ///
    /// [`BodyRefused::NotJson`] and [`BodyRefused::Invalid`].
    pub fn check(&self, body: &[u8]) -> Result<(), BodyRefused> {
        let value = strict_json::value(body, NESTING_MAX).map_err(BodyRefused::NotJson)?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let mut errors = self.validator.iter_errors(&value);
        let listed: Vec<Fault> =
            errors.by_ref().take(ERRORS_MAX).map(|error| fault(&error)).collect();
        Err(BodyRefused::Invalid { listed, has_more: errors.next().is_some() })
    }
}

/// `application/json`, and whatever is JSON by its suffix (RFC 6839).
fn is_json(essence: &str) -> bool {
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pointer: Box<str>,
    keyword: Box<str>,
    detail: Box<str>,
}

/// What is wrong with a body.
#[derive(Debug, thiserror::Error)]
pub enum BodyRefused {
    /// It is not declared as JSON.
    #[error("the body is not declared as JSON")]
    MediaType,
    /// It is compressed.
    #[error("the body is compressed, and has to be inspected")]
    Coded,
    /// It is no JSON, or two readers could read it differently.
    #[error("the body is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// It does not fit the schema.
    #[error("the body does not fit its schema in {} places", listed.len())]
    Invalid {
        /// What is wrong, as far as it is listed.
        listed: Vec<Fault>,
        /// Whether there is more.
        has_more: bool,
    },
}

impl Refusal for BodyRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::MediaType | Self::Coded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotJson(_) => StatusCode::BAD_REQUEST,
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::MediaType => "media_type_unsupported",
            Self::Coded => "content_coding_not_supported",
            Self::NotJson(_) => "body_not_json",
            Self::Invalid { .. } => "body_invalid",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::MediaType => "Send the body as `Content-Type: application/json`.".into(),
            Self::Coded => "Send the body without a content coding.".into(),
            Self::NotJson(error) => {
                let (line, column) = (error.line(), error.column());
                format!(
                    "The body must be one JSON value with no member twice and at most \
                     {NESTING_MAX} levels; see line {line}, column {column}."
                )
                .into()
            }
            Self::Invalid { .. } => "The body does not fit; `errors` says where.".into(),
        }
    }

    fn add_members(&self, members: &mut Map<String, Value>) {
        let Self::Invalid { listed, has_more } = self else { return };
        let errors = listed.iter().map(|fault| {
            json!({ "pointer": fault.pointer, "keyword": fault.keyword, "detail": fault.detail })
        });
        members.insert("errors".to_owned(), errors.collect());
        if *has_more {
            members.insert("has_more_errors".to_owned(), true.into());
        }
    }
}

fn fault(error: &ValidationError<'_>) -> Fault {
    let pointer = cut(error.instance_path().as_str());
    let (keyword, detail) = (error.kind().keyword().into(), due(error.kind()).into());
    Fault { pointer: pointer.into(), keyword, detail }
}

/// What is due, in words that come from the schema; names of members are the client's own.
fn due(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Type { kind } => format!("must be {}", types(kind)),
        ValidationErrorKind::Required { property } => format!("must have the member {property}"),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let names = unexpected.iter().take(NAMES_MAX).map(|name| format!("{:?}", cut(name)));
            format!("must not have {}", names.collect::<Vec<_>>().join(", "))
        }
        ValidationErrorKind::Enum { options } => {
            format!("must be one of {}", cut(&options.to_string()))
        }
        ValidationErrorKind::Constant { expected_value } => {
            format!("must be {}", cut(&expected_value.to_string()))
        }
        ValidationErrorKind::Format { format } => format!("must be of the format {format}"),
        ValidationErrorKind::Pattern { pattern } => format!("must match {}", cut(pattern)),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => {
            format!("must be a multiple of {multiple_of}")
        }
        ValidationErrorKind::MinLength { limit } => format!("must have {limit} characters or more"),
        ValidationErrorKind::MaxLength { limit } => {
            format!("must have {limit} characters or fewer")
        }
        ValidationErrorKind::MinItems { limit } => format!("must have {limit} elements or more"),
        ValidationErrorKind::MaxItems { limit } => format!("must have {limit} elements or fewer"),
        ValidationErrorKind::MinProperties { limit } => {
            format!("must have {limit} members or more")
        }
        ValidationErrorKind::MaxProperties { limit } => {
            format!("must have {limit} members or fewer")
        }
        ValidationErrorKind::UniqueItems => "must not have an element twice".to_owned(),
        ValidationErrorKind::FalseSchema => "must be absent".to_owned(),
        other => format!("violates `{}`", other.keyword()),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => kind.to_string(),
        TypeKind::Multiple(kinds) => {
            kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_LENGTH_MAX)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn schema() -> BodySchema {
        let schema = json!({
            "type": "object",
            "required": ["target_url"],
            "additionalProperties": false,
            "properties": {
                "target_url": { "type": "string", "format": "uri", "maxLength": 40 },
                "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 100 },
                "secret": { "type": "integer" },
                "slug": { "type": "string", "pattern": "^(a+)+$" },
            },
        });
        BodySchema::compile(&schema, Draft::Draft202012).expect("a schema")
    }

    fn members(body: &str) -> Map<String, Value> {
        let refused = schema().check(body.as_bytes()).expect_err(body);
        let mut members = Map::new();
        refused.add_members(&mut members);
        members.insert("code".to_owned(), refused.code().into());
        members
    }

    #[test]
    fn every_error_is_listed_with_its_place() {
        let found = members(r#"{"target_url":7,"tags":["a","c"],"owner":1}"#);
        let mut errors: Vec<String> = found["errors"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|error| format!("{} {}", error["pointer"], error["detail"]))
            .collect();
        errors.sort();
        let expected = [
            r#""" "must not have \"owner\"""#,
            r#""/tags/1" "must be one of [\"a\",\"b\"]""#,
            r#""/target_url" "must be string""#,
        ];
        assert_eq!(errors, expected);
        assert_eq!(found["code"], "body_invalid");
        let found = members("{}");
        assert_eq!(found["errors"][0]["detail"], r#"must have the member "target_url""#);
        assert_eq!(found["errors"][0]["keyword"], "required");
    }

    #[test]
    fn no_value_of_the_body_is_repeated_and_the_list_has_an_end() {
        let body = r#"{"target_url":"hunter2 hunter2","secret":"hunter2","slug":"hunter2"}"#;
        let found = Value::from(members(body)).to_string();
        assert!(!found.contains("hunter2"), "{found}");
        let tags = vec!["x"; 50];
        let body = json!({ "target_url": "https://a.example/", "tags": tags }).to_string();
        let found = members(&body);
        assert_eq!(found["errors"].as_array().map(Vec::len), Some(ERRORS_MAX));
        assert_eq!(found["has_more_errors"], true);
        let names: Map<String, Value> =
            (0..100).map(|n| (format!("{n}{}", "x".repeat(500)), Value::Null)).collect();
        assert!(Value::from(members(&Value::from(names).to_string())).to_string().len() < 3_000);
    }

    #[test]
    fn what_fits_passes_and_what_is_no_json_says_where() {
        schema().check(br#"{"target_url":"https://a.example/","slug":"aaa"}"#).expect("fits");
        let refused = schema().check(b"{\n x").expect_err("no JSON");
        assert_eq!((refused.status().as_u16(), refused.code()), (400, "body_not_json"));
        assert!(refused.detail().ends_with("see line 2, column 2."), "{}", refused.detail());
        let twice = br#"{"target_url":"https://a.example/","target_url":7}"#;
        assert_eq!(schema().check(twice).expect_err("two readings").code(), "body_not_json");
        let deep = "[".repeat(100_000);
        assert_eq!(schema().check(deep.as_bytes()).expect_err("too deep").code(), "body_not_json");
    }

    #[test]
    fn a_pattern_that_backtracks_elsewhere_takes_linear_time_here() {
        let body = json!({ "target_url": "https://a.example/", "slug": format!("{}!", "a".repeat(50_000)) });
        let refused = schema().check(body.to_string().as_bytes()).expect_err("no match");
        assert_eq!(refused.code(), "body_invalid");
    }

    #[test]
    fn the_media_type_is_json_by_name_or_suffix_and_without_a_coding() {
        let check = |content_type: Option<&'static str>, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let fields = [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, coding)];
            for (name, value) in fields {
                headers.extend(value.map(|value| (name, HeaderValue::from_static(value))));
            }
            BodySchema::check_head(&headers).map_err(|refused| refused.code())
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
            assert_eq!(check(Some(good), None), Ok(()), "{good}");
        }
        for bad in [None, Some("text/plain"), Some("application/jsonp"), Some("+json"), Some("")] {
            assert_eq!(check(bad, None), Err("media_type_unsupported"), "{bad:?}");
        }
        let coded = check(Some("application/json"), Some("gzip"));
        assert_eq!(coded, Err("content_coding_not_supported"));
    }

    #[test]
    fn a_schema_is_whole_in_itself() {
        let foreign = json!({ "$ref": "https://schemas.example/link.json" });
        let error = BodySchema::compile(&foreign, Draft::Draft202012).expect_err("not fetched");
        assert!(error.to_string().starts_with("is no JSON Schema"), "{error}");
        let wrong = json!({ "type": "text" });
        BodySchema::compile(&wrong, Draft::Draft202012).expect_err("no such type");
    }
}
