//! Who asks: one kept connection to a gateway, over HTTP/1.1 or HTTP/2, in the clear or over TLS.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// As a handshake over TLS calls it.
    const fn in_handshake(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Opens one to `host:port`, over TLS where there is an authority to be believed.
    pub(super) async fn open(
        authority: &str,
        trusted: Option<&Path>,
        protocol: Protocol,
    ) -> Result<Self> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let Some(trusted) = trusted else { return Self::over(stream, protocol).await };
        let (host, _port) = authority.split_once(':').context("no port")?;
        let connector = TlsConnector::from(Arc::new(client_config(trusted, protocol)?));
        let name = ServerName::try_from(host.to_owned())?;
        Self::over(connector.connect(name, stream).await?, protocol).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: Protocol,
    ) -> Result<Self> {
        let stream = TokioIo::new(stream);
        Ok(match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Self::Http1(sender)
            }
            Protocol::Http2 => {
                let executor = TokioExecutor::new();
                let (sender, connection) = http2::handshake(executor, stream).await?;
                tokio::spawn(connection);
                Self::Http2(sender)
            }
        })
    }

    /// Sends a request and takes its whole answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let answer = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => sender.send_request(request).await?,
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status, head.headers, body))
    }
}

fn client_config(trusted: &Path, protocol: Protocol) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let Ok(certificate) = CertificateDer::from_pem_file(trusted) else {
        bail!("{} holds no certificate", trusted.display());
    };
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![protocol.in_handshake().to_vec()];
    Ok(config)
}
