//! Transformation: what changes on the way to a service and on the way back.
//!
//! Read in this order: [`template`] (texts with values of the request in them), [`request`] and
//! [`response`] (the rules of one route, compiled), then what they are made of: [`header_edits`],
//! [`query`], [`fields`] (members taken out of a JSON body) and [`xml`] (XML answers as JSON).
//!
//! Invariants
//! - A value is encoded for its place and never leaves it: a path parameter stays one segment.
//! - What a rule does not name keeps its bytes: other query parameters, other members of a body,
//!   the text of every number.
//! - A rule that cannot be followed refuses the request; it is never skipped.
//!
//! Not here: identity headers and the assertion (the gateway adds them after these rules),
//! reading bodies and holding them to a size (`pipeline`).

use std::borrow::Cow;

use http::StatusCode;

use crate::error::Refusal;

pub mod fields;
pub mod header_edits;
pub mod query;
pub mod request;
pub mod response;
pub mod template;
pub mod xml;

pub use request::{RequestRules, RequestTransform};
pub use response::{ResponseRules, ResponseTransform};
pub use template::{Place, Template, Values};

/// Header fields that hold a digest of a body, and are wrong once it has changed.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// A rule that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = `{value}`: {reason}")]
pub struct InvalidTransform {
    /// The key within the route, such as `request.set_headers`.
    pub key: &'static str,
    /// The text at fault.
    pub value: String,
    /// What is wrong and how to write it.
    pub reason: String,
}

/// A request or an answer to which a route's rules cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum TransformRefused {
    /// The caller's identity lacks a field that a rule needs.
    #[error("the identity has no value for {binding}")]
    IdentityMissing {
        /// The binding as it is written in the rule.
        binding: String,
    },
    /// The request lacks a value that a rule needs.
    #[error("the request has no value for {binding}")]
    ValueMissing {
        /// The binding as it is written in the rule.
        binding: String,
    },
    /// A value such as `..` would lead the rewritten path elsewhere.
    #[error("a value would change where the rewritten path leads")]
    ValueLeavesSegment,
    /// The target that the rules make is longer than a target can be.
    #[error("the rewritten target is too long")]
    TargetTooLong,
    /// The rules take members out of the body, and it is not JSON.
    #[error("the request's body is not JSON")]
    BodyNotJson,
    /// The rules take members out of the body, and it is compressed.
    #[error("the request's body has a content coding")]
    BodyEncoded,
    /// The rules change the answer's body, and it is compressed although we asked for plain.
    #[error("the answer's body has a content coding that was not asked for")]
    AnswerEncoded,
    /// The answer says that it is JSON, and is not.
    #[error("the answer's body is not JSON")]
    AnswerNotJson,
    /// The answer says that it is XML, and cannot be read as such.
    #[error("the answer's body cannot be read as XML")]
    AnswerNotXml(#[from] xml::XmlRefused),
}

impl Refusal for TransformRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::IdentityMissing { .. } => StatusCode::FORBIDDEN,
            Self::ValueMissing { .. } | Self::ValueLeavesSegment | Self::BodyNotJson => {
                StatusCode::BAD_REQUEST
            }
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyEncoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::AnswerEncoded | Self::AnswerNotJson | Self::AnswerNotXml(_) => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::IdentityMissing { .. } => "identity_incomplete",
            Self::ValueMissing { .. } => "value_missing",
            Self::ValueLeavesSegment => "value_not_a_segment",
            Self::TargetTooLong => "target_too_long",
            Self::BodyNotJson => "body_not_json",
            Self::BodyEncoded => "content_coding_not_supported",
            Self::AnswerEncoded | Self::AnswerNotJson | Self::AnswerNotXml(_) => {
                "upstream_body_invalid"
            }
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::IdentityMissing { binding } => {
                format!("This needs an identity that has {binding}.").into()
            }
            Self::ValueMissing { binding } => {
                format!("This needs a value for {binding}; send it.").into()
            }
            Self::ValueLeavesSegment => "A segment of the path cannot be `.` or `..`.".into(),
            Self::TargetTooLong => "Path and query are too long.".into(),
            Self::BodyNotJson => "The body must be JSON in UTF-8.".into(),
            Self::BodyEncoded => "Send the body without Content-Encoding.".into(),
            Self::AnswerEncoded | Self::AnswerNotJson | Self::AnswerNotXml(_) => {
                "The service's answer could not be read.".into()
            }
        }
    }
}
