//! A refusal on its way through a body's error: the answer is decided where the body was cut off.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::error::Refusal;

/// The error of a client's body that was cut off, and the answer this deserves.
///
/// A body's error passes through several libraries, each of which wraps it; [`BodyRefused::find`]
/// gets it back.
#[derive(Debug, Clone)]
pub struct BodyRefused(Arc<dyn Refusal>);

impl BodyRefused {
    /// An error of a body that is answered as `refusal` says.
    pub fn new(refusal: impl Refusal) -> Self {
        Self(Arc::new(refusal))
    }

    /// The refusal among an error and its causes.
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return Some(refused.clone());
            }
            // An I/O error's source is the source of what it holds, and not what it holds.
            let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source());
        }
        None
    }
}

impl fmt::Display for BodyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BodyRefused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Refusal for BodyRefused {
    fn status(&self) -> StatusCode {
        self.0.status()
    }

    fn code(&self) -> &'static str {
        self.0.code()
    }

    fn detail(&self) -> Cow<'static, str> {
        self.0.detail()
    }

    fn problem_type(&self) -> &'static str {
        self.0.problem_type()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        self.0.add_headers(headers);
    }

    fn add_members(&self, members: &mut Map<String, Value>) {
        self.0.add_members(members);
    }
}
