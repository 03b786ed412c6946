//! Challenges: a 401 says how to do better (RFC 9110 §15.5.2), whoever it is from.

use http::{HeaderMap, HeaderValue, header};

use crate::auth::api_key::ApiKeyPolicy;
use crate::auth::jwt::JwtScheme;
use crate::auth::session::SessionRefusal;
use crate::error::Refusal;
use crate::principal::Scheme;

/// The challenge of each configured scheme.
#[derive(Debug, Clone, Default)]
pub struct Challenges {
    session: Option<HeaderValue>,
    jwt: Option<HeaderValue>,
    api_key: Option<HeaderValue>,
}

impl Challenges {
    /// As the schemes themselves ask when no credential is shown.
    #[must_use]
    pub fn of(jwt: Option<&JwtScheme>, api_key: Option<&ApiKeyPolicy>) -> Self {
        Self {
            session: asked(&SessionRefusal::Missing),
            jwt: jwt.and_then(|scheme| asked(&scheme.refuse_missing())),
            api_key: api_key.and_then(|policy| asked(&policy.missing())),
        }
    }

    /// The challenge of a scheme.
    #[must_use]
    pub const fn of_scheme(&self, scheme: Scheme) -> Option<&HeaderValue> {
        match scheme {
            Scheme::Session => self.session.as_ref(),
            Scheme::Jwt => self.jwt.as_ref(),
            Scheme::ApiKey => self.api_key.as_ref(),
            // No field of an answer can ask for one.
            Scheme::ClientCertificate => None,
        }
    }
}

fn asked(refusal: &dyn Refusal) -> Option<HeaderValue> {
    let mut headers = HeaderMap::new();
    refusal.add_headers(&mut headers);
    headers.remove(header::WWW_AUTHENTICATE)
}
