//! What an X.509 certificate says about whom it is for, and how long (RFC 5280 §4.1).
//!
//! Read in this order: [`Certificate`] is what is read, `der` how its bytes are.
//!
//! Invariants
//! - Reading never fails half: what is not understood is an error, not an absent name.
//! - Nothing here believes anything: that a certificate holds is for whoever verifies it.
//!
//! Not here: chains, signatures and keys (rustls, in `server` and `upstream`).

mod der;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

use self::der::{Der, tag};
use crate::clock::Timestamp;

/// The names in a certificate and the time for which it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Common names of its subject. Nothing but old custom makes them names of hosts or users.
    pub common_names: Vec<String>,
    /// Hosts it is for, perhaps with `*` as their first label.
    pub dns_names: Vec<String>,
    /// URIs it is for.
    pub uris: Vec<String>,
    /// Mail addresses it is for.
    pub emails: Vec<String>,
    /// From when it holds.
    pub not_before: Timestamp,
    /// Until when it holds, inclusive.
    pub not_after: Timestamp,
}

/// A certificate that a client has shown, and that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// What it says.
    pub certificate: Certificate,
    /// Which one it is: the SHA-256 of its bytes.
    pub fingerprint: [u8; 32],
}

impl ClientCertificate {
    /// What a verified certificate says, and its bytes.
    #[must_use]
    pub fn new(certificate: Certificate, der: &[u8]) -> Self {
        Self { certificate, fingerprint: Sha256::digest(der).into() }
    }
}

/// Bytes that are no certificate, or one that says what is not understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no X.509 certificate that can be read")]
pub struct UnreadableCertificate;

/// `id-at-commonName`, 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `id-ce-subjectAltName`, 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    ///
    /// [`UnreadableCertificate`] when the bytes are anything else.
    pub fn parse(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        read(der).ok_or(UnreadableCertificate)
    }
}

fn read(der: &[u8]) -> Option<Certificate> {
    let mut outer = Der::new(der);
    let mut certificate = Der::new(outer.take(tag::SEQUENCE)?);
    if !outer.is_at_end() {
        return None;
    }
    let mut fields = Der::new(certificate.take(tag::SEQUENCE)?);
    fields.take_if(tag::VERSION);
    fields.take(tag::INTEGER)?; // the serial number
    fields.take(tag::SEQUENCE)?; // the signature's algorithm
    fields.take(tag::SEQUENCE)?; // the issuer
    let mut validity = Der::new(fields.take(tag::SEQUENCE)?);
    let (not_before, not_after) = (validity.take_time()?, validity.take_time()?);
    let mut certificate = Certificate {
        common_names: common_names(fields.take(tag::SEQUENCE)?)?,
        dns_names: Vec::new(),
        uris: Vec::new(),
        emails: Vec::new(),
        not_before,
        not_after,
    };
    fields.take(tag::SEQUENCE)?; // the public key
    fields.take_if(tag::ISSUER_ID);
    fields.take_if(tag::SUBJECT_ID);
    if let Some(extensions) = fields.take_if(tag::EXTENSIONS) {
        read_extensions(extensions, &mut certificate)?;
    }
    Some(certificate)
}

/// A subject is a sequence of sets of pairs of a type and a value.
fn common_names(subject: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut subject = Der::new(subject);
    while !subject.is_at_end() {
        let mut set = Der::new(subject.take(tag::SET)?);
        while !set.is_at_end() {
            let mut pair = Der::new(set.take(tag::SEQUENCE)?);
            if pair.take(tag::OBJECT_ID)? == COMMON_NAME {
                names.push(pair.take_text()?);
            }
        }
    }
    Some(names)
}

fn read_extensions(extensions: &[u8], certificate: &mut Certificate) -> Option<()> {
    let mut extensions = Der::new(Der::new(extensions).take(tag::SEQUENCE)?);
    while !extensions.is_at_end() {
        let mut extension = Der::new(extensions.take(tag::SEQUENCE)?);
        let kind = extension.take(tag::OBJECT_ID)?;
        extension.take_if(tag::BOOLEAN); // whether it is critical
        let value = extension.take(tag::OCTETS)?;
        if kind == SUBJECT_ALT_NAME {
            read_names(value, certificate)?;
        }
    }
    Some(())
}

fn read_names(value: &[u8], certificate: &mut Certificate) -> Option<()> {
    let mut names = Der::new(Der::new(value).take(tag::SEQUENCE)?);
    while !names.is_at_end() {
        let (kind, value) = names.take_any()?;
        let list = match kind {
            tag::MAIL_NAME => &mut certificate.emails,
            tag::DNS_NAME => &mut certificate.dns_names,
            tag::URI_NAME => &mut certificate.uris,
            // Addresses, directory names and names of other kinds: nobody here asks for them.
            _ => continue,
        };
        list.push(der::ascii(value)?);
    }
    Some(())
}
