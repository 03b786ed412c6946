//! `[server.tls]`, `[server.proxy_protocol]` and `[server.redirect]`: what stands between a
//! client's connection and its first request.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Network};
use crate::{Secret, TextFile};

/// `[server.tls]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificates; the first is for clients that ask for no name, or for none of ours.
    #[schemars(length(min = 1))]
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub versions_min: TlsVersion,
    /// Authorities that issue the certificates of clients.
    pub client_ca: Option<TextFile>,
    /// Whether clients are asked for a certificate, and may go on without one.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// Time for a handshake, from the start of the connection. Too low cuts off poor networks.
    #[serde(default = "handshake_timeout")]
    pub handshake_timeout: Duration,
    /// Sessions of TLS 1.2 that are kept for clients without tickets; 0 for none.
    #[serde(default = "sessions_max")]
    #[schemars(range(max = 1_000_000))]
    pub sessions_max: usize,
}

/// `[[server.tls.certificates]]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: TextFile,
    /// Its private key in PEM.
    pub key: Secret,
}

/// A version of TLS.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TlsVersion {
    /// RFC 5246, with forward secrecy and authenticated encryption only.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// Nobody is asked for one.
    #[default]
    Off,
    /// Who has one shows it; one that does not hold ends the handshake.
    Optional,
    /// No handshake without one.
    Required,
}

/// `[server.proxy_protocol]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Networks of load balancers whose connections begin with a PROXY header.
    pub from: Vec<Network>,
    /// Time for that header.
    pub timeout: Duration,
}

/// `[server.redirect]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainListener {
    /// Where clients connect without TLS; port 0 takes a free one.
    #[schemars(extend("format" = "socket_address"))]
    pub listen: SocketAddr,
    /// The port at which clients reach the gateway by HTTPS.
    #[serde(default = "https_port")]
    #[schemars(range(min = 1))]
    pub https_port: u16,
    /// The folder whose files answer `/.well-known/acme-challenge/`; this or `acme_url`.
    #[schemars(length(min = 1))]
    pub acme_directory: Option<String>,
    /// The ACME client that answers `/.well-known/acme-challenge/`; this or `acme_directory`.
    pub acme_url: Option<String>,
}

const fn handshake_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn sessions_max() -> usize {
    10_000
}

const fn https_port() -> u16 {
    443
}
