//! TLS at the listener: certificates by name, certificates of clients, sessions that go on.
//!
//! Read in this order: [`KeyPair`] and [`ClientAuthorities`] are read from what the configuration
//! names, [`Tls`] speaks with them, `handshake` is one client's.
//!
//! Invariants
//! - A [`KeyPair`] is whole: the key is the certificate's own, or loading has failed.
//! - [`Tls::reload`] touches no open connection: each keeps what it was made with.
//! - Who was let in by one set of authorities goes on under no other: a change of them ends all
//!   sessions that could be resumed.
//! - Nothing is ever accepted before the handshake's end: no early data, so nothing to replay.
//!
//! Not here: reading files (`shared-config`), what a client's certificate makes of a request
//! (`auth::client_certificate`).

mod client_authorities;
mod handshake;
mod key_pair;
mod resolver;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

pub use self::client_authorities::{ClientAuthorities, ClientAuthoritiesUnusable};
pub use self::key_pair::{KeyPair, KeyPairUnusable};
use self::resolver::Resolver;
use crate::clock::Clock;
use crate::metric::{CertificateFile, Metrics};

/// In the order in which we like them.
const APPLICATION_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What TLS is spoken with; each part stands in the configuration.
#[derive(Debug)]
pub struct TlsSettings {
    /// The certificate for clients that ask for no name, or for none of ours.
    pub default: KeyPair,
    /// The others.
    pub others: Vec<KeyPair>,
    /// The oldest version that is spoken.
    pub oldest: TlsVersion,
    /// Who vouches for clients; `None`: nobody is asked for a certificate.
    pub clients: Option<ClientAuthorities>,
    /// Time for a handshake, from the start of the connection.
    pub handshake_timeout: Duration,
    /// Sessions kept for clients that cannot keep a ticket.
    pub sessions_max: usize,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    V12,
    /// TLS 1.3
    V13,
}

/// The cryptography or the machine's random numbers do not do what they must.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be spoken here")]
pub struct TlsUnusable(#[from] rustls::Error);

/// TLS as a listener speaks it. All cores share it.
#[derive(Debug)]
pub struct Tls {
    current: ArcSwap<Spoken>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What will be spoken once it is put in force.
#[derive(Debug)]
pub struct PreparedTls {
    spoken: Spoken,
    ends: Vec<(CertificateFile, i64)>,
}

/// What new connections are made with.
#[derive(Debug)]
struct Spoken {
    config: Arc<ServerConfig>,
    clients: Option<ClientAuthorities>,
    oldest: TlsVersion,
    sessions_max: usize,
    handshake_timeout: Duration,
}

impl Tls {
    /// Makes ready to speak.
    ///
    /// # Errors
    ///
    /// [`TlsUnusable`], for reasons that no configuration can change.
    pub fn build(
        settings: TlsSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsUnusable> {
        let ends = ends(&settings);
        let spoken = Spoken::build(settings, &clock, None)?;
        let tls = Self { current: ArcSwap::from_pointee(spoken), clock, metrics };
        tls.show_ends(&ends);
        Ok(tls)
    }

    /// Speaks with other certificates and settings from the next connection on.
    ///
    /// # Errors
    ///
    /// [`TlsUnusable`]; what was spoken before goes on then.
    pub fn reload(&self, settings: TlsSettings) -> Result<(), TlsUnusable> {
        self.put_in_force(self.prepare(settings)?);
        Ok(())
    }

    /// The first half of a reload, which may fail and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Tls::reload`].
    pub fn prepare(&self, settings: TlsSettings) -> Result<PreparedTls, TlsUnusable> {
        let ends = ends(&settings);
        let before = self.current.load();
        Ok(PreparedTls { spoken: Spoken::build(settings, &self.clock, Some(&before))?, ends })
    }

    /// The second half, which cannot fail.
    pub fn put_in_force(&self, prepared: PreparedTls) {
        self.show_ends(&prepared.ends);
        self.current.store(Arc::new(prepared.spoken));
    }

    fn show_ends(&self, ends: &[(CertificateFile, i64)]) {
        self.metrics.certificate_ends.clear();
        for (file, end) in ends {
            self.metrics.certificate_ends.get_or_create(file).set(*end);
        }
    }
}

impl Spoken {
    fn build(
        settings: TlsSettings,
        clock: &Clock,
        before: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let TlsSettings { default, others, oldest, clients, handshake_timeout, sessions_max } =
            settings;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match &clients {
            Some(authorities) => authorities.verifier(),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config =
            ServerConfig::builder_with_details(provider, Arc::new(ByClock(clock.clone())))
                .with_protocol_versions(versions(oldest))?
                .with_client_cert_verifier(verifier)
                .with_cert_resolver(Arc::new(Resolver::new(default, others)));
        config.alpn_protocols = APPLICATION_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        match before.filter(|before| {
            before.clients == clients
                && before.oldest == oldest
                && before.sessions_max == sessions_max
        }) {
            Some(before) => {
                config.ticketer = Arc::clone(&before.config.ticketer);
                config.session_storage = Arc::clone(&before.config.session_storage);
            }
            None => {
                // Its keys change every six hours, and open tickets for six hours after that.
                config.ticketer = aws_lc_rs::Ticketer::new()?;
                config.session_storage = match sessions_max {
                    0 => Arc::new(NoServerSessionStorage {}),
                    sessions_max => ServerSessionMemoryCache::new(sessions_max),
                };
            }
        }
        let config = Arc::new(config);
        Ok(Self { config, clients, oldest, sessions_max, handshake_timeout })
    }
}

/// Never more than these two: what is older is broken.
fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::V12 => rustls::ALL_VERSIONS,
        TlsVersion::V13 => &ONLY_V13,
    }
}

static ONLY_V13: [&SupportedProtocolVersion; 1] = [&version::TLS13];

/// When each certificate ends, in seconds since 1970.
fn ends(settings: &TlsSettings) -> Vec<(CertificateFile, i64)> {
    let pairs = std::iter::once(&settings.default).chain(&settings.others);
    let end = |pair: &KeyPair| {
        let end = i64::try_from(pair.not_after().unix_seconds()).unwrap_or(i64::MAX);
        (CertificateFile { file: pair.file().into() }, end)
    };
    pairs.map(end).collect()
}

/// The time that certificates of clients are judged by is ours.
#[derive(Debug)]
struct ByClock(Clock);

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.wall().unix_seconds();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
