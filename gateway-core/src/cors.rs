//! CORS: which other origins' pages may read this gateway's answers.
//!
//! Origins are compared as bytes with what browsers send; there are no patterns, since each
//! look-alike of a pattern is somebody else's site. A preflight is answered here, before limits
//! and without any service; [`Cors::apply`] goes on every other answer, refusals included, so that
//! a page can read why it was refused.
//!
//! When CORS is off no answer mentions it, and a preflight is an `OPTIONS` request like any other.
//!
//! Not here: what a service says about CORS, which `security_headers` drops; forged requests
//! (`auth::csrf`), against which CORS is no defence.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::error::Refusal;
use crate::header::vary_on;

/// What is configured, as it is written.
#[derive(Debug, Clone, Default)]
pub struct CorsConfig {
    /// Origins as browsers send them, `https://app.example`; or `*` alone, without credentials.
    pub origins: Vec<String>,
    /// Whether pages may send cookies.
    pub credentials: bool,
    /// The methods that pages may use.
    pub methods: Vec<String>,
    /// The request header fields that pages may set.
    pub headers: Vec<String>,
    /// The answer's header fields that pages may read.
    pub expose_headers: Vec<String>,
    /// How long browsers may remember a preflight's answer. Browsers cap it at two hours or less.
    pub preflight_max_age: Duration,
}

/// A configuration that would not do what it seems to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {value:?} {reason}")]
pub struct InvalidCors {
    /// Which key.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
    /// What it must be.
    pub reason: &'static str,
}

/// The compiled policy; the default is off.
#[derive(Debug, Clone, Default)]
pub struct Cors(Option<Rules>);

#[derive(Debug, Clone)]
struct Rules {
    origins: Origins,
    credentials: bool,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose_headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

#[derive(Debug, Clone)]
enum Origins {
    /// Anybody's pages, without credentials.
    Any,
    /// These, byte for byte.
    Listed(Box<[HeaderValue]>),
}

/// The fields a preflight's answer depends on.
const PREFLIGHT_VARY: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");

impl Cors {
    /// Compiles the policy. Without origins it is off.
    ///
    /// # Errors
    ///
    /// [`InvalidCors`] for an origin that no browser would ever send, for `*` beside other origins
    /// or with credentials, and for names that cannot be methods or header fields.
    pub fn build(config: &CorsConfig) -> Result<Self, InvalidCors> {
        if config.origins.is_empty() {
            return Ok(Self(None));
        }
        for method in &config.methods {
            check("methods", method, Method::from_bytes(method.as_bytes()).is_ok())?;
        }
        Ok(Self(Some(Rules {
            origins: origins(config)?,
            credentials: config.credentials,
            methods: list("methods", &config.methods)?,
            headers: names("headers", &config.headers)?,
            expose_headers: names("expose_headers", &config.expose_headers)?,
            max_age: HeaderValue::from(config.preflight_max_age.as_secs()),
        })))
    }

    /// The origins whose pages may send requests with credentials, for the CSRF policy to spare.
    #[must_use]
    pub fn credentialed_origins(&self) -> &[HeaderValue] {
        match &self.0 {
            Some(Rules { origins: Origins::Listed(origins), credentials: true, .. }) => origins,
            _ => &[],
        }
    }

    /// Answers a preflight: the header fields of its 204. `None` when the request is none, or
    /// CORS is off, and it is to be routed like any other.
    ///
    /// # Errors
    ///
    /// [`CorsRefusal`] when the page's origin is not listed.
    pub fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Result<HeaderMap, CorsRefusal>> {
        let rules = self.0.as_ref()?;
        let origin = headers.get(header::ORIGIN)?;
        if method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        Some(rules.preflight(origin))
    }

    /// Marks an answer, whatever it is, with what the page of this `Origin` may do with it.
    /// Also without an `Origin`: a cache must not give that answer to a page.
    pub fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(rules) = &self.0 else { return };
        if matches!(rules.origins, Origins::Listed(_)) {
            vary_on(headers, "Origin");
        }
        if let Some(origin) = origin
            && rules.allow(origin, headers)
            && let Some(exposed) = &rules.expose_headers
        {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

impl Rules {
    fn preflight(&self, origin: &HeaderValue) -> Result<HeaderMap, CorsRefusal> {
        let mut answer = HeaderMap::new();
        if !self.allow(origin, &mut answer) {
            return Err(CorsRefusal::OriginNotListed);
        }
        vary_on(&mut answer, PREFLIGHT_VARY);
        let fields = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                answer.insert(name, value.clone());
            }
        }
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        Ok(answer)
    }

    /// Names the origin on the answer if its pages may read it.
    fn allow(&self, origin: &HeaderValue, answer: &mut HeaderMap) -> bool {
        let named = match &self.origins {
            Origins::Any => ANY,
            Origins::Listed(origins) if origins.contains(origin) => origin.clone(),
            Origins::Listed(_) => return false,
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, named);
        if self.credentials {
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        true
    }
}

fn origins(config: &CorsConfig) -> Result<Origins, InvalidCors> {
    let invalid =
        |value: &str, reason| Err(InvalidCors { key: "origins", value: value.to_owned(), reason });
    if config.origins.iter().any(|origin| origin == "*") {
        return match (config.origins.len(), config.credentials) {
            (1, false) => Ok(Origins::Any),
            (1, true) => invalid("*", "cannot be used with credentials: list the origins"),
            _ => invalid("*", "must stand alone"),
        };
    }
    let mut listed = Vec::with_capacity(config.origins.len());
    for origin in &config.origins {
        match HeaderValue::from_str(origin) {
            Ok(value) if is_origin(origin) => listed.push(value),
            _ => {
                let reason = "must be as browsers send it: scheme://host or scheme://host:port, \
                              in small letters, without the scheme's own port, a path or a dot \
                              at the end";
                return invalid(origin, reason);
            }
        }
    }
    Ok(Origins::Listed(listed.into()))
}

/// Whether the text is the serialisation of an origin (HTML, "ASCII serialization of an origin").
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_of = |text: &str, others: &[u8]| {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || others.contains(&b);
        !text.is_empty() && text.bytes().all(is_plain)
    };
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => ":",
    };
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if authority.ends_with(']') || !is_port(port) { authority } else { host }
    });
    is_of(scheme, b"+-.")
        && is_of(host, b".-_[]:")
        && host.contains(':') == (host.starts_with('[') && host.ends_with(']'))
        && !host.ends_with('.')
        && !authority.ends_with(own_port)
}

fn is_port(text: &str) -> bool {
    !text.starts_with('0') && text.parse::<u16>().is_ok()
}

fn names(key: &'static str, list_of: &[String]) -> Result<Option<HeaderValue>, InvalidCors> {
    for name in list_of {
        check(key, name, HeaderName::from_bytes(name.as_bytes()).is_ok())?;
    }
    list(key, list_of)
}

fn list(key: &'static str, of: &[String]) -> Result<Option<HeaderValue>, InvalidCors> {
    let joined = of.join(", ");
    if joined.is_empty() {
        return Ok(None);
    }
    let reason = "cannot be written into a header field";
    HeaderValue::from_str(&joined).map(Some).map_err(|_| InvalidCors { key, value: joined, reason })
}

/// A `*` would be a name of its own with credentials, so no list takes it.
fn check(key: &'static str, value: &str, is_name: bool) -> Result<(), InvalidCors> {
    if is_name && value != "*" {
        return Ok(());
    }
    Err(InvalidCors { key, value: value.to_owned(), reason: "must be a name of its kind" })
}

/// Why a preflight fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CorsRefusal {
    /// The page stands at an origin that is not configured.
    #[error("the preflight's origin is not listed")]
    OriginNotListed,
}

impl Refusal for CorsRefusal {
    fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }

    fn code(&self) -> &'static str {
        "cors_origin_not_listed"
    }

    fn detail(&self) -> Cow<'static, str> {
        "Pages of this origin may not call this gateway.".into()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        vary_on(headers, PREFLIGHT_VARY);
    }
}

#[cfg(test)]
mod tests;
