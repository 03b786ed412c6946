//! Why a reload left everything as it was.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};
use shared_config::Diagnostics;

use crate::error::{InternalError, Refusal};
use crate::server::tls::TlsUnusable;
use crate::upstream::key_source::KeySourceUnusable;

/// Why a reload left everything as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReloadRefused {
    /// The configuration is wrong, or changes what takes a restart.
    #[error("{0}")]
    Configuration(Diagnostics),
    /// An issuer is new, and its keys cannot be had.
    #[error("the keys of the new issuer `{0}` cannot be fetched")]
    Keys(Arc<str>),
    /// No client for an issuer's keys can be made.
    #[error("{0}")]
    NoClient(Arc<KeySourceUnusable>),
    /// TLS cannot be spoken as it says.
    #[error("{0}")]
    Tls(Arc<TlsUnusable>),
    /// Many reloads wait already.
    #[error("too many reloads wait")]
    Busy,
    /// A fault of the gateway's own.
    #[error("a panic while reloading")]
    Panicked,
}

impl From<Diagnostics> for ReloadRefused {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Configuration(diagnostics)
    }
}

impl From<KeySourceUnusable> for ReloadRefused {
    fn from(unusable: KeySourceUnusable) -> Self {
        Self::NoClient(Arc::new(unusable))
    }
}

impl Refusal for ReloadRefused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Configuration(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Keys(_) | Self::NoClient(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Tls(_) | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "configuration_refused",
            Self::Keys(_) | Self::NoClient(_) => "configuration_keys_unavailable",
            Self::Busy => "configuration_busy",
            Self::Tls(_) | Self::Panicked => InternalError::CODE,
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Configuration(_) => "What was in force stays in force. See `errors`.".into(),
            Self::Keys(_) | Self::NoClient(_) => {
                format!("What was in force stays in force: {self}.").into()
            }
            Self::Busy => "Many reloads wait already. Try again.".into(),
            Self::Tls(_) | Self::Panicked => {
                "What was in force stays in force. The log says more.".into()
            }
        }
    }

    fn add_members(&self, members: &mut Map<String, Value>) {
        if let Self::Configuration(diagnostics) = self {
            let errors = diagnostics.iter().map(|error| {
                let (at, key) = (error.location().to_string(), error.key());
                json!({ "at": at, "key": key, "reason": error.reason(), "text": error.to_string() })
            });
            members.insert("errors".to_owned(), errors.collect());
        }
    }
}
