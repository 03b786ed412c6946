//! Connecting: the seam between the client and the network, so that tests bring their own wires.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::upstream::target::Target;

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
