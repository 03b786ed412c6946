//! A throw-away authority: what it issues is believed by whoever is given its certificate, and by
//! nobody else. For the demo and the tests; its keys are made anew each time.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// An authority, and its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM.
    pub pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// An authority of this name.
    ///
    /// # Errors
    ///
    /// What rcgen says; it has no reason to.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// A certificate for these hosts and addresses.
    ///
    /// # Errors
    ///
    /// A name that is none.
    pub fn issue_server(&self, names: &[&str]) -> Result<Issued> {
        let all: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(all)?;
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().copied().unwrap_or_default());
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for whoever is called by this URI.
    ///
    /// # Errors
    ///
    /// A URI that is not ASCII.
    pub fn issue_client(&self, uri: &str) -> Result<Issued> {
        let mut params = CertificateParams::default();
        let uri = uri.try_into().context("a URI is ASCII")?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate as these parameters say.
    ///
    /// # Errors
    ///
    /// Parameters that no certificate can have.
    pub fn issue(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Issued> {
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}
