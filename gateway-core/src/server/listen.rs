//! Listening sockets: one for each core.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait for a core to accept them.
const BACKLOG: i32 = 1_024;

/// One listener for each core, all on the same address. Port 0 takes a free one.
pub(super) fn bind(
    address: SocketAddr,
    cores: usize,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let first = first(address, cores)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < cores {
        listeners.push(another(&listeners, address)?);
    }
    Ok((listeners, address))
}

#[cfg(target_os = "linux")]
fn first(address: SocketAddr, cores: usize) -> io::Result<TcpListener> {
    if cores > 1 && address.port() != 0 {
        // Sockets that share a port do not notice each other, and a second gateway would take half
        // of this one's connections. A socket that does not share notices.
        socket(address)?.bind(&address.into())?;
    }
    listen(address, cores > 1)
}

#[cfg(target_os = "linux")]
fn another(_: &[TcpListener], address: SocketAddr) -> io::Result<TcpListener> {
    listen(address, true)
}

#[cfg(not(target_os = "linux"))]
fn first(address: SocketAddr, _: usize) -> io::Result<TcpListener> {
    listen(address, false)
}

#[cfg(not(target_os = "linux"))]
fn another(listeners: &[TcpListener], _: SocketAddr) -> io::Result<TcpListener> {
    listeners.first().ok_or(io::ErrorKind::NotFound)?.try_clone()
}

fn listen(address: SocketAddr, shares_port: bool) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(shares_port)?;
    #[cfg(not(target_os = "linux"))]
    let _ = shares_port;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// `SO_REUSEADDR`, or a restart would wait for the last run's connections to time out.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_another_gateway_listens_on_is_an_error() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for cores in [1, 2] {
            let (listeners, address) = bind(any, cores).expect("a free port");
            assert_eq!(listeners.len(), cores);
            for others in [1, 2] {
                let taken = bind(address, others).expect_err("a taken port");
                assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{cores} then {others}");
            }
        }
    }
}
