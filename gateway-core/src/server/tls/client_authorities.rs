//! Who vouches for clients: the authorities that issue their certificates.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

/// Authorities, and whether a client may come without a certificate.
#[derive(Clone)]
pub struct ClientAuthorities {
    authorities: Vec<CertificateDer<'static>>,
    is_required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A text that holds no authorities. The end of a sentence that starts with the text's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have the authorities' certificates: PEM blocks that begin with -----BEGIN CERTIFICATE-----"
)]
pub struct ClientAuthoritiesUnusable;

impl ClientAuthorities {
    /// Reads the authorities' certificates.
    ///
    /// # Errors
    ///
    /// [`ClientAuthoritiesUnusable`] when there is none, or one that cannot be read.
    pub fn parse(pem: &str, is_required: bool) -> Result<Self, ClientAuthoritiesUnusable> {
        let authorities: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| ClientAuthoritiesUnusable)?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|_| ClientAuthoritiesUnusable)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
        let verifier = verifier.build().map_err(|_| ClientAuthoritiesUnusable)?;
        Ok(Self { authorities, is_required, verifier })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }
}

impl PartialEq for ClientAuthorities {
    fn eq(&self, other: &Self) -> bool {
        self.authorities == other.authorities && self.is_required == other.is_required
    }
}

impl Eq for ClientAuthorities {}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthorities")
            .field("authorities", &self.authorities.len())
            .field("is_required", &self.is_required)
            .finish_non_exhaustive()
    }
}
