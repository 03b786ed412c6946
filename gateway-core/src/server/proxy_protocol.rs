//! The PROXY protocol: a load balancer in front says whose connection it passes on.
//!
//! Versions 1 and 2, as HAProxy's `proxy-protocol.txt` (2020-03-05) has them. The header stands
//! before everything else on the connection, TLS included.
//!
//! Invariants
//! - Only listed peers are asked, and they must say it: from them a connection without a header is
//!   closed. From anybody else the header is never looked for, and is no more than bad HTTP.
//! - Not a byte behind the header is taken.
//! - A header has a bound in bytes and in time.
//!
//! What a header says beyond addresses (version 2's TLVs) is skipped; its checksum is not verified,
//! as TCP has one.
//!
//! Not here: `X-Forwarded-For`, which proxies of HTTP say (`guard::client_address`).

mod parse;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::parse::{Malformed, V1_SIZE_MAX, V2_SIGNATURE};
use crate::metric::{HandshakeFailure, Metrics};

/// The longest body of a version 2 header. The addresses of UNIX sockets take 216 bytes, what
/// balancers add a few hundred, a client's certificate the rest.
const V2_SIZE_MAX: u16 = 4_096;

/// Whose word about a connection is asked for, and how long it may take.
#[derive(Debug)]
pub struct ProxyProtocol {
    from: Vec<IpNet>,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

/// Why a connection ends in its header.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the header takes too long")]
    Timeout,
    #[error("the connection begins with no header")]
    Missing,
    #[error("the header is malformed")]
    Malformed(#[from] Malformed),
    #[error("the connection ends in its header")]
    Closed(#[from] io::Error),
}

impl Failed {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Missing => "missing",
            Self::Malformed(_) => "malformed",
            Self::Closed(_) => "closed",
        }
    }
}

impl ProxyProtocol {
    /// Asks the peers in `from`, and waits so long.
    #[must_use]
    pub const fn new(from: Vec<IpNet>, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self { from, timeout, metrics }
    }

    /// Whether this peer must say whose connection it passes on.
    pub(super) fn asks(&self, peer: SocketAddr) -> bool {
        let peer = peer.ip().to_canonical();
        self.from.iter().any(|network| network.contains(&peer))
    }

    /// Whose connection it is: the peer's own where it says so. `None` when it does not say, which
    /// is counted by reason.
    pub(super) async fn client_of(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<SocketAddr> {
        let read = timeout(self.timeout, read(stream));
        match read.await.unwrap_or(Err(Failed::Timeout)) {
            Ok(client) => Some(client.unwrap_or(peer)),
            Err(failed) => {
                let reason = failed.reason();
                tracing::debug!(%peer, reason, "a PROXY header is not what it must be");
                let labels = HandshakeFailure { layer: "proxy_protocol", reason };
                self.metrics.handshake_failures.get_or_create(&labels).inc();
                None
            }
        }
    }
}

/// The header, to its last byte. `None`: the connection is the peer's own.
async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Failed> {
    // Every header is longer than this.
    let mut start = [0; V2_SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == V2_SIGNATURE {
        return read_v2(stream).await;
    }
    if start.starts_with(b"PROXY ") {
        return read_v1(stream, &start).await;
    }
    Err(Failed::Missing)
}

/// A line of unknown length: as much of it is taken as is seen to belong to it.
async fn read_v1(stream: &mut TcpStream, start: &[u8]) -> Result<Option<SocketAddr>, Failed> {
    let mut line = start.to_vec();
    let mut ahead = [0; V1_SIZE_MAX];
    while !line.ends_with(b"\n") {
        let left = V1_SIZE_MAX.saturating_sub(line.len());
        let ahead = ahead.get_mut(..left).filter(|ahead| !ahead.is_empty()).ok_or(Malformed)?;
        let seen = stream.peek(ahead).await?;
        let seen = ahead.get(..seen).unwrap_or_default();
        let end = seen.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        take(stream, end.unwrap_or(seen.len()).max(1), &mut line).await?;
    }
    Ok(parse::v1(&line)?)
}

async fn read_v2(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Failed> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = u16::from_be_bytes([high, low]);
    if length > V2_SIZE_MAX {
        return Err(Malformed.into());
    }
    let mut body = Vec::new();
    take(stream, usize::from(length), &mut body).await?;
    Ok(parse::v2(command, family, &body)?)
}

/// Exactly so many bytes.
async fn take(stream: &mut TcpStream, count: usize, to: &mut Vec<u8>) -> io::Result<()> {
    let taken = stream.take(count as u64).read_to_end(to).await?;
    if taken < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
