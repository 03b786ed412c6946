//! What a connection passes before its first request: a PROXY header, a TLS handshake, neither or
//! both, in that order.
//!
//! A listener with neither pays nothing: its connections' futures hold no part of either.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::server::core::Place;
use crate::server::proxy_protocol::ProxyProtocol;
use crate::server::tls::Tls;
use crate::server::{Serve, Transport, connection};

/// What stands at the entrance.
#[derive(Debug, Default)]
pub struct Entrance {
    /// Peers that must say whose connection they pass on.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TLS; without it, plain TCP.
    pub tls: Option<Arc<Tls>>,
}

impl Entrance {
    /// Serves a connection to its end, if it passes.
    pub(super) async fn serve<S: Serve>(
        &self,
        place: &Place<S>,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        match self {
            Self { proxy_protocol: None, tls: None } => {
                let Some(_seat) = place.core.seat(peer) else { return };
                connection::run(place, stream, Transport::plain(peer)).await;
            }
            _ => Box::pin(self.serve_led_in(place, stream, peer)).await,
        }
    }

    async fn serve_led_in<S: Serve>(
        &self,
        place: &Place<S>,
        mut stream: TcpStream,
        mut peer: SocketAddr,
    ) {
        if let Some(proxy_protocol) = self.proxy_protocol.as_ref().filter(|is| is.asks(peer)) {
            match proxy_protocol.client_of(&mut stream, peer).await {
                Some(client) => peer = client,
                None => return,
            }
        }
        // Behind a balancer, the client's own address.
        let Some(_seat) = place.core.seat(peer) else { return };
        let Some(tls) = &self.tls else {
            return connection::run(place, stream, Transport::plain(peer)).await;
        };
        if let Some((stream, transport)) = tls.accept(stream, peer).await {
            connection::run(place, stream, transport).await;
        }
    }
}
