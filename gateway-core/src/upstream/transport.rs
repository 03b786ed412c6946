//! Transports: what a target's connections are made of.
//!
//! The scheme of its URL says whether they go over TCP (`http`, `https`) or a UNIX socket (`unix`),
//! and whether they are encrypted; `protocol` says what is spoken over them. Nothing is negotiated:
//! a service that speaks something else than was written down is one that cannot be reached, and
//! the log says why.
//!
//! Not here: opening them (`connect`), using them (`wire` for HTTP/1.1, `multiplexed` for HTTP/2).

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};

/// What is spoken over a target's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge otherwise.
    Http2,
}

impl Protocol {
    /// Its name in ALPN (RFC 7301).
    pub(super) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// What an operator says of a service's encryption: texts in PEM, and a name.
#[derive(Debug, Clone, Copy)]
pub struct TlsTexts<'a> {
    /// The authorities that are believed. There are no others.
    pub ca: &'a str,
    /// What the gateway shows of itself: a certificate with its chain, and the key.
    pub identity: Option<(&'a str, &'a str)>,
    /// The name that the service's certificate must be for, where it is not the URL's host.
    pub server_name: Option<&'a str>,
}

/// Why a service's encryption cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTls {
    /// There is no authority.
    #[error("must hold certificates of authorities in PEM")]
    Authorities,
    /// The certificate cannot be read.
    #[error("must hold a certificate in PEM, with its chain")]
    Certificate,
    /// The key cannot be read, or is another certificate's.
    #[error("must hold the certificate's own private key in PEM")]
    Key,
    /// The name is none.
    #[error("must be a host's name or an address")]
    ServerName,
}

impl InvalidTls {
    /// The key below `tls` that it is about.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Authorities => "ca",
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::ServerName => "server_name",
        }
    }
}

/// A service's encryption, ready for connections. Two are equal when they were made from the same
/// texts.
#[derive(Clone)]
pub struct ServiceTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    fingerprint: [u8; 32],
}

impl ServiceTls {
    /// Sets it up: TLS 1.2 and 1.3, this service's authorities alone.
    ///
    /// # Errors
    ///
    /// [`InvalidTls`] says which of the texts is wrong.
    pub fn build(texts: TlsTexts<'_>, protocol: Protocol) -> Result<Self, InvalidTls> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| InvalidTls::Authorities)?;
        let builder = versions.with_root_certificates(authorities(texts.ca)?);
        let mut config = match texts.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain).ok_or(InvalidTls::Certificate)?;
                let key =
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| InvalidTls::Key)?;
                builder.with_client_auth_cert(chain, key).map_err(|_| InvalidTls::Key)?
            }
        };
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let server_name = texts.server_name.map(server_name).transpose();
        Ok(Self {
            config: Arc::new(config),
            server_name: server_name.map_err(|_| InvalidTls::ServerName)?,
            fingerprint: fingerprint(texts, protocol),
        })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The name that the service's certificate must be for.
    pub(super) fn name_of(&self, host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        self.server_name.clone().map_or_else(|| server_name(host), Ok)
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(text.to_owned())
}

fn authorities(text: &str) -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    for authority in certificates(text).ok_or(InvalidTls::Authorities)? {
        store.add(authority).map_err(|_| InvalidTls::Authorities)?;
    }
    Ok(store)
}

/// The certificates of a text; `None` when there is none, or one cannot be read.
fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_slice_iter(text.as_bytes());
    let found: Vec<_> = read.collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

/// Each text behind its length, so that none can pass for the end of another.
fn fingerprint(texts: TlsTexts<'_>, protocol: Protocol) -> [u8; 32] {
    let (certificate, key) = texts.identity.unwrap_or_default();
    let mut hash = Sha256::new();
    for text in [texts.ca, certificate, key, texts.server_name.unwrap_or_default()] {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    hash.update(protocol.alpn());
    hash.finalize().into()
}

impl PartialEq for ServiceTls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for ServiceTls {}

impl fmt::Debug for ServiceTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
