//! Which certificate a client is shown: by the name it asks for (SNI, RFC 6066 §3).
//!
//! A name that is written out goes before a wildcard, and a wildcard stands for one label
//! (RFC 9525 §6.3). Several certificates of one name, one for each kind of key, are tried in the
//! order of the configuration until the client can verify one.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::KeyPair;

/// The certificates of one listener.
#[derive(Debug)]
pub(super) struct Resolver {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    default: Arc<CertifiedKey>,
}

impl Resolver {
    pub(super) fn new(default: KeyPair, others: Vec<KeyPair>) -> Self {
        let mut resolver = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Arc::clone(&default.key),
        };
        for pair in std::iter::once(default).chain(others) {
            for name in pair.names() {
                let name = name.to_ascii_lowercase();
                let keys = match name.strip_prefix("*.") {
                    Some(rest) => resolver.wildcard.entry(rest.into()),
                    None => resolver.exact.entry(name.as_str().into()),
                };
                keys.or_default().push(Arc::clone(&pair.key));
            }
        }
        resolver
    }

    /// `name` is in lower case, as rustls has it.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let by_name = name.and_then(|name| {
            let by_wildcard = || self.wildcard.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(by_wildcard)
        });
        let keys = by_name.map_or(std::slice::from_ref(&self.default), Vec::as_slice);
        let is_known = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        keys.iter().find(is_known).or(keys.first()).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.find(hello.server_name(), hello.signature_schemes())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ecdsa, key_pair, rsa};
    use super::*;

    /// Which of the pairs a client gets that asks for `name` and knows `schemes`.
    fn found(pairs: &[(&str, &[&str])], name: Option<&str>) -> String {
        let (mut made, mut labels) = (Vec::new(), Vec::new());
        for (label, names) in pairs {
            let pair = key_pair(names, &ecdsa());
            labels.push((Arc::clone(&pair.key), *label));
            made.push(pair);
        }
        let default = made.remove(0);
        let resolver = Resolver::new(default, made);
        let key = resolver.find(name, &[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let label = labels.iter().find(|(known, _)| Arc::ptr_eq(known, key));
        (*label.expect("one of them").1).to_owned()
    }

    #[test]
    fn a_name_finds_its_certificate_and_any_other_the_first_one() {
        let pairs: &[(&str, &[&str])] = &[
            ("first", &["first.example"]),
            ("two", &["A.example", "b.example"]),
            ("wild", &["*.example"]),
            ("deep", &["*.deep.example"]),
            ("again", &["a.example"]),
        ];
        for (name, expected) in [
            (None, "first"),
            (Some("first.example"), "first"),
            (Some("a.example"), "two"),
            (Some("b.example"), "two"),
            (Some("c.example"), "wild"),
            (Some("x.deep.example"), "deep"),
            (Some("deep.example"), "wild"),
            (Some("x.y.deep.example"), "first"),
            (Some("example"), "first"),
            (Some("other.test"), "first"),
        ] {
            assert_eq!(found(pairs, name), expected, "{name:?}");
        }
    }

    #[test]
    fn of_two_certificates_of_one_name_a_client_gets_the_one_it_can_verify() {
        let (first, second) =
            (key_pair(&["a.example"], &rsa()), key_pair(&["a.example"], &ecdsa()));
        let keys = [Arc::clone(&first.key), Arc::clone(&second.key)];
        let resolver = Resolver::new(first, vec![second]);
        for (schemes, expected) in [
            (vec![SignatureScheme::RSA_PSS_SHA256], 0),
            (vec![SignatureScheme::ECDSA_NISTP256_SHA256], 1),
            (vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256], 0),
            (vec![], 0),
        ] {
            let found = resolver.find(Some("a.example"), &schemes);
            assert!(Arc::ptr_eq(found, &keys[expected]), "{schemes:?}");
        }
    }
}
