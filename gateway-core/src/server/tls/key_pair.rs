//! A certificate and its private key, read from PEM.

use std::fmt;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::clock::Timestamp;

/// A certificate with its chain, and the key that belongs to it.
pub struct KeyPair {
    pub(super) key: Arc<CertifiedKey>,
    certificate: Certificate,
    file: String,
}

/// Why two texts are no certificate and its key. Each is the end of a sentence that starts with
/// the text's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyPairUnusable {
    /// Of the certificate's text.
    #[error(
        "holds no certificate: it must have PEM blocks that begin with -----BEGIN CERTIFICATE-----"
    )]
    NoCertificate,
    /// Of the certificate's text.
    #[error("has a certificate that cannot be read")]
    Unreadable,
    /// Of the key's text.
    #[error(
        "holds no private key: it must have a PEM block that begins with -----BEGIN PRIVATE KEY-----, and no password"
    )]
    NoKey,
    /// Of the key's text.
    #[error(
        "is a private key of a kind that is not spoken: RSA from 2048 bits, P-256, P-384, P-521 and Ed25519 are"
    )]
    UnknownKey,
    /// Of the key's text.
    #[error("is not the key of the certificate beside it, which must come first in its file")]
    OtherKey,
}

impl KeyPairUnusable {
    /// Whether it is the key that is wrong, and not the certificate.
    #[must_use]
    pub const fn is_of_key(self) -> bool {
        matches!(self, Self::NoKey | Self::UnknownKey | Self::OtherKey)
    }
}

impl KeyPair {
    /// Reads a chain, its end first, and the end's key; `file` is what the pair is called.
    ///
    /// # Errors
    ///
    /// [`KeyPairUnusable`] says which of the two is wrong.
    pub fn parse(file: &str, chain: &str, key: &str) -> Result<Self, KeyPairUnusable> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| KeyPairUnusable::NoCertificate)?;
        let end = chain.first().ok_or(KeyPairUnusable::NoCertificate)?;
        let certificate = Certificate::parse(end).map_err(|_| KeyPairUnusable::Unreadable)?;
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| KeyPairUnusable::NoKey)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let key = key.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                KeyPairUnusable::OtherKey
            }
            rustls::Error::InvalidCertificate(_) => KeyPairUnusable::Unreadable,
            _ => KeyPairUnusable::UnknownKey,
        })?;
        Ok(Self { key: Arc::new(key), certificate, file: file.to_owned() })
    }

    /// What the pair is called.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The hosts it is for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.certificate.dns_names
    }

    /// From when it holds.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.certificate.not_before
    }

    /// Until when it holds.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.certificate.not_after
    }
}

/// What everybody may see of it.
impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
