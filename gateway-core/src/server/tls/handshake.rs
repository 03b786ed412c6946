//! One client's handshake, and what is counted when it comes to nothing.
//!
//! It runs in the connection's own task and holds the connection's permit: a client that never
//! ends it takes one connection for as long as the time-out, and nobody else waits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{
    CertificateError, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConnection,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Spoken, Tls};
use crate::certificate::{Certificate, ClientCertificate};
use crate::metric::{Handshake, HandshakeFailure};
use crate::server::{Protocol, Transport};

/// What every record of a handshake begins with (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Whoever speaks HTTP here is a person or a program with the wrong URL, and can read this.
const WRONG_PORT: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 34\r\n\r\nThis port speaks HTTPS, not HTTP.\n";

impl Tls {
    /// Shakes hands; `None` when it came to nothing, which is counted by reason.
    pub(in crate::server) async fn accept(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(TlsStream<TcpStream>, Transport)> {
        let spoken = self.current.load_full();
        let shaking = timeout(spoken.handshake_timeout, spoken.shake_hands(stream));
        match shaking.await.unwrap_or(Err(Failure::of("timeout"))) {
            Ok(stream) => {
                let transport = transport(stream.get_ref().1, peer);
                self.metrics.handshakes.get_or_create(&labels(stream.get_ref().1)).inc();
                Some((stream, transport))
            }
            Err(Failure { reason, error }) => {
                tracing::debug!(%peer, reason, error, "a TLS handshake came to nothing");
                let labels = HandshakeFailure { layer: "tls", reason };
                self.metrics.handshake_failures.get_or_create(&labels).inc();
                None
            }
        }
    }
}

impl Spoken {
    async fn shake_hands(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let mut first = [0];
        let seen = stream.peek(&mut first).await?;
        match first {
            _ if seen == 0 => return Err(Failure::of("closed")),
            [HANDSHAKE_RECORD] => {}
            [b'A'..=b'Z'] => {
                // A close with bytes unread would be a reset, and nothing would be heard.
                let _ = stream.read(&mut [0; 4_096]).await;
                let _ = stream.write_all(WRONG_PORT).await;
                return Err(Failure::of("plaintext"));
            }
            _ => return Err(Failure::of("garbage")),
        }
        Ok(TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await?)
    }
}

fn transport(session: &ServerConnection, peer: SocketAddr) -> Transport {
    let protocol = protocol(session.alpn_protocol());
    // It was verified, so it is read; and if it were not, nobody would be identified.
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let client_certificate = shown.and_then(|der| {
        let certificate = Certificate::parse(der).ok()?;
        Some(Arc::new(ClientCertificate::new(certificate, der)))
    });
    Transport { peer, is_tls: true, protocol, client_certificate }
}

/// RFC 9113 §3.2: over TLS, HTTP/2 is agreed on or not spoken.
fn protocol(agreed: Option<&[u8]>) -> Protocol {
    if agreed == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 }
}

fn labels(session: &ServerConnection) -> Handshake {
    Handshake {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        },
        kind: match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => "resumed",
            _ => "full",
        },
    }
}

/// Why a handshake came to nothing: for the counter, and for the log.
struct Failure {
    reason: &'static str,
    error: Option<String>,
}

impl Failure {
    const fn of(reason: &'static str) -> Self {
        Self { reason, error: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let reason = match (fault, error.kind()) {
            (Some(fault), _) => reason(fault),
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => "closed",
            (None, io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => "closed",
            (None, _) => "failed",
        };
        Self { reason, error: Some(error.to_string()) }
    }
}

fn reason(fault: &rustls::Error) -> &'static str {
    use rustls::Error;
    match fault {
        Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => "garbage",
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "version",
        Error::PeerIncompatible(_) => "nothing_in_common",
        Error::NoApplicationProtocol => "application_protocol",
        Error::NoCertificatesPresented => "client_certificate_missing",
        Error::InvalidCertificate(CertificateError::Expired) => "client_certificate_expired",
        Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) => {
            "client_certificate_expired"
        }
        Error::InvalidCertificate(_) => "client_certificate_invalid",
        Error::AlertReceived(_) => "refused_by_client",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_2_is_spoken_where_it_was_agreed_on_and_http_1_everywhere_else() {
        for (agreed, expected) in [
            (Some(&b"h2"[..]), Protocol::Http2),
            (Some(b"http/1.1"), Protocol::Http1),
            (None, Protocol::Http1),
        ] {
            assert_eq!(protocol(agreed), expected, "{agreed:?}");
        }
    }
}
