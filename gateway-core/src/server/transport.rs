//! What is known of a connection before its first request: who is there, and over what.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::certificate::ClientCertificate;

/// The facts of a connection. Its requests share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Who is at the other end; behind a proxy that says so, whom it speaks for.
    pub peer: SocketAddr,
    /// Whether the bytes are encrypted on their way to this gateway.
    pub is_tls: bool,
    /// What is spoken.
    pub protocol: Protocol,
    /// What the client has shown of itself, where TLS asked for it.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 if the client opens with its preface, else HTTP/1.1.
    Detect,
    /// HTTP/1.1, and nothing else was agreed on.
    Http1,
    /// HTTP/2, as agreed on.
    Http2,
}

impl Transport {
    /// A connection whose bytes go over TCP as they are.
    #[must_use]
    pub const fn plain(peer: SocketAddr) -> Self {
        Self { peer, is_tls: false, protocol: Protocol::Detect, client_certificate: None }
    }
}
