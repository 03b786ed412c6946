//! Connecting: the seam between the client and the network, so that tests bring their own wires.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::upstream::target::Target;
use crate::upstream::transport::{Protocol, ServiceTls};

/// Opens connections to targets. The client adds the connect time-out.
pub trait Connect: Send + Sync + 'static {
    /// A connection, ready for HTTP.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens one connection.
    ///
    /// # Errors
    ///
    /// Whatever the network says: no address of that name, refused, unreachable.
    fn connect(&self, target: &Target) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// TCP without Nagle's algorithm: a request is one write and must not wait for the last one's ACK.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connect for Tcp {
    type Stream = TcpStream;

    async fn connect(&self, target: &Target) -> io::Result<TcpStream> {
        let stream = match target.address() {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((target.host(), target.port())).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Every transport there is, as each target says: TCP, TLS over TCP, UNIX sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network;

impl Connect for Network {
    type Stream = Link;

    async fn connect(&self, target: &Target) -> io::Result<Link> {
        if let Some(path) = target.socket() {
            return UnixStream::connect(path).await.map(Link::Unix);
        }
        let stream = Tcp.connect(target).await?;
        match &target.settings().tls {
            None => Ok(Link::Tcp(stream)),
            // Boxed: handshakes are rare, and all calls are as large as the largest.
            Some(tls) => Box::pin(encrypted(target, tls, stream)).await,
        }
    }
}

async fn encrypted(target: &Target, tls: &ServiceTls, stream: TcpStream) -> io::Result<Link> {
    let name = tls.name_of(target.host()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.config()).connect(name, stream).await?;
    let spoken = stream.get_ref().1.alpn_protocol();
    // Whoever speaks HTTP/1.1 alone need not know ALPN.
    if target.settings().protocol == Protocol::Http2 && spoken != Some(Protocol::Http2.alpn()) {
        return Err(io::Error::other("the service does not offer h2 in its TLS handshake"));
    }
    Ok(Link::Tls(Box::new(stream)))
}

/// A connection of any transport.
#[derive(Debug)]
pub enum Link {
    /// TCP.
    Tcp(TcpStream),
    /// A UNIX socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with whatever the connection is made of.
macro_rules! each {
    ($link:expr, $stream:ident => $does:expr) => {
        match $link {
            Link::Tcp($stream) => $does,
            Link::Unix($stream) => $does,
            Link::Tls($stream) => $does,
        }
    };
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}
