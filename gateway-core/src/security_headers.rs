//! Header fields that protect whoever reads an answer, on every answer.
//!
//! Read in this order: [`strip_internal`] takes from a service's answer what only the gateway may
//! say, [`SecurityHeaders::apply`] says it, [`vary`] and [`keep_private`] keep one
//! caller's answer from another.
//!
//! Not here: CORS (`cors`), cookies (`auth::session`).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::header::{HOP_BY_HOP, vary_on};
use crate::principal::Scheme;

/// What is configured, as it is written.
#[derive(Debug, Clone)]
pub struct SecurityHeadersConfig {
    /// `Referrer-Policy`, such as `no-referrer`.
    pub referrer_policy: String,
    /// `Cross-Origin-Resource-Policy`, such as `same-origin`.
    pub resource_policy: String,
    /// `Strict-Transport-Security`; empty for none.
    pub hsts: String,
}

/// A text that is no value of its header field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {value:?} cannot be the value of a header field")]
pub struct InvalidSecurityHeader {
    /// Which key.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
}

/// The compiled fields.
#[derive(Debug, Clone)]
pub struct SecurityHeaders {
    referrer_policy: HeaderValue,
    resource_policy: HeaderValue,
    hsts: Option<HeaderValue>,
}

/// Not in the `http` crate.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// For everything that is no page: should it be opened as one, it can do nothing.
const CSP_DATA: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// For a page that brings no policy of its own: its own files, and no script within it.
const CSP_PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'",
);

impl SecurityHeaders {
    /// Compiles the fields.
    ///
    /// # Errors
    ///
    /// [`InvalidSecurityHeader`] when a text is empty (except `hsts`) or cannot be a field's value.
    pub fn build(config: &SecurityHeadersConfig) -> Result<Self, InvalidSecurityHeader> {
        let value = |key, text: &str| match HeaderValue::from_str(text) {
            Ok(value) if !value.is_empty() => Ok(value),
            _ => Err(InvalidSecurityHeader { key, value: text.to_owned() }),
        };
        let hsts = Some(config.hsts.as_str()).filter(|text| !text.is_empty());
        Ok(Self {
            referrer_policy: value("referrer_policy", &config.referrer_policy)?,
            resource_policy: value("resource_policy", &config.resource_policy)?,
            hsts: hsts.map(|text| value("hsts", text)).transpose()?,
        })
    }

    /// Puts the fields on an answer, whatever it is. `is_https` says how the client connected.
    ///
    /// A policy for content that stands there already is kept: one of the gateway's own pages set
    /// it.
    pub fn apply(&self, headers: &mut HeaderMap, is_https: bool) {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.insert(header::REFERRER_POLICY, self.referrer_policy.clone());
        headers.insert(RESOURCE_POLICY, self.resource_policy.clone());
        if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            let policy = if is_page(headers) { CSP_PAGE } else { CSP_DATA };
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        match &self.hsts {
            Some(hsts) if is_https => {
                headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
            }
            // RFC 6797 §7.2: never over plain HTTP.
            _ => {
                headers.remove(header::STRICT_TRANSPORT_SECURITY);
            }
        }
    }
}

/// HTML in either syntax; SVG and other XML too can hold scripts, but need none from here.
fn is_page(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii();
        essence.eq_ignore_ascii_case(b"text/html")
            || essence.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// What a service may not say to a client: who it thinks the user is, what it is made of, and
/// what is the gateway's to say.
const DROPPED: [HeaderName; 5] = [
    header::SERVER,
    header::VIA,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    header::STRICT_TRANSPORT_SECURITY,
];
const DROPPED_TEXTS: [&str; 3] = ["x-powered-by", "x-aspnet-version", "x-runtime"];
const DROPPED_PREFIXES: [&str; 3] = ["x-user-", "x-internal-", "access-control-"];

/// Takes from a service's answer what its client must not see, and what was said for the service's
/// own connection only (RFC 9110 §7.6.1).
///
/// A length beside a transfer coding is a lie that somebody may believe (RFC 9112 §6.3): the
/// coding has decided where the body ended.
pub fn strip_internal(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // It stays unless a transfer coding has taken its place; nobody can name it away.
        .filter(|name| *name != header::CONTENT_LENGTH)
        .collect();
    let is_dropped = |name: &&HeaderName| {
        DROPPED.contains(name)
            || HOP_BY_HOP.contains(&name.as_str())
            || named.contains(name)
            || DROPPED_TEXTS.contains(&name.as_str())
            || DROPPED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(is_dropped).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Names what an authenticated route's answer depends on, for caches.
pub fn vary(headers: &mut HeaderMap, scheme: Scheme) {
    vary_on(
        headers,
        match scheme {
            Scheme::Session => "Cookie, Origin, Accept, Accept-Encoding",
            Scheme::Jwt => "Authorization, Origin, Accept, Accept-Encoding",
            // What was shown before the first request is in none of its fields.
            Scheme::ClientCertificate => "Origin, Accept, Accept-Encoding",
            Scheme::ApiKey => "Authorization, X-API-Key, Origin, Accept, Accept-Encoding",
        },
    );
}

/// Keeps an authenticated route's answer out of shared caches, and out of use without asking:
/// `private, no-cache`, or `no-store` where that was said.
pub fn keep_private(headers: &mut HeaderMap) {
    let says = |directive: &str| {
        let mut fields = headers.get_all(header::CACHE_CONTROL).iter();
        fields.any(|field| {
            field
                .as_bytes()
                .split(|&byte| byte == b',')
                .any(|one| one.trim_ascii().eq_ignore_ascii_case(directive.as_bytes()))
        })
    };
    let value = match (says("no-store"), says("no-transform")) {
        (true, false) => "no-store",
        (true, true) => "no-store, no-transform",
        (false, false) => "private, no-cache",
        (false, true) => "private, no-cache, no-transform",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests;
