//! Spoofed headers: what a client sends under names that only the gateway may speak under.
//!
//! Dropped from the client's header fields before the gateway adds its own:
//! - the identity's names and whatever else the caller lists;
//! - what tells servers another host, path, method or client than the one there is
//!   (`Forwarded`, `X-Forwarded-*`, `X-Original-*`, `X-Rewrite-*`, `X-HTTP-Method-Override`, …);
//! - hop-by-hop fields, with those that `Connection` itself names (RFC 9110 §7.6.1).
//!
//! Names are compared without case and with `_` as `-`, because CGI-like servers cannot tell these
//! apart. All fields of a name go, however many there are.
//!
//! Not here: believing listed proxies (`client_address`), which reads `X-Forwarded-For` first.

use http::{HeaderMap, HeaderName, header};

use crate::header::HOP_BY_HOP;

/// Names that make some server believe in another request than the one it got.
const MISLEADING: [&str; 20] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-remote-user",
    "remote-user",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-host",
    "x-http-host-override",
    "x-url-scheme",
    "front-end-https",
    // The variable HTTP_PROXY of CGI, which HTTP clients obey.
    "proxy",
    "x-forwarded",
];

/// Names that mislead only where an underscore stands for the dash: a second length or type.
const MISSPELT: [&str; 2] = ["content_length", "content_type"];

/// Families of such names.
const MISLEADING_PREFIXES: [&str; 4] = ["x-forwarded-", "x-original-", "x-rewrite-", "x-envoy-"];

/// The names to drop, compiled.
#[derive(Debug, Clone)]
pub struct SpoofedHeaders {
    /// Folded names, by their length: most names are settled by one look at an empty list.
    by_length: Vec<Vec<Box<[u8]>>>,
}

impl SpoofedHeaders {
    /// The names that are always dropped, and `names`: the identity's, the assertion's, and those
    /// that carry credentials where the services shall not see them.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut spoofed = Self { by_length: Vec::new() };
        for name in names.into_iter().chain(MISLEADING).chain(HOP_BY_HOP) {
            spoofed.add(name);
        }
        spoofed
    }

    fn add(&mut self, name: &str) {
        let folded: Box<[u8]> = name.bytes().map(fold).collect();
        if self.by_length.len() <= folded.len() {
            self.by_length.resize(folded.len() + 1, Vec::new());
        }
        if let Some(names) = self.by_length.get_mut(folded.len()) {
            names.push(folded);
        }
    }

    /// Whether a field of this name is dropped, in any spelling.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let is_same = |known: &[u8]| name.bytes().map(fold).eq(known.iter().copied());
        let is_known = || {
            let names = self.by_length.get(name.len());
            names.is_some_and(|names| names.iter().any(|known| is_same(known)))
        };
        let is_misspelt = || MISSPELT.iter().any(|misspelt| name.eq_ignore_ascii_case(misspelt));
        is_known()
            || is_misspelt()
            || MISLEADING_PREFIXES.iter().any(|prefix| starts_with(name, prefix))
    }

    /// Drops them all from a client's header fields, or from its trailers.
    ///
    /// One look at each name; allocates only when something has to go.
    pub fn strip(&self, headers: &mut HeaderMap) {
        let mut dropped: Vec<HeaderName> = Vec::new();
        for value in headers.get_all(header::CONNECTION) {
            let options = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            // Most say no more than this, and `Connection` goes in any case.
            let names = options.filter(|option| !matches!(*option, b"close" | b"keep-alive"));
            let names = names.filter_map(|name| HeaderName::from_bytes(name).ok());
            // What the message's meaning rests on cannot be named away (RFC 9110 §7.6.1).
            dropped.extend(
                names.filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH)),
            );
        }
        dropped.extend(headers.keys().filter(|name| self.contains(name.as_str())).cloned());
        for name in dropped {
            headers.remove(name);
        }
    }
}

const fn fold(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        _ => byte.to_ascii_lowercase(),
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().map(fold).zip(prefix.bytes()).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests;
