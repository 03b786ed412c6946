//! Every transport against the same real service: TCP, UNIX sockets and TLS, each with HTTP/1.1 and
//! HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use futures::future::join_all;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::{Barrier, mpsc};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::Network;
use crate::upstream::testing::settings;

const MIB: usize = 1 << 20;

/// An authority, and what it has issued: texts in PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let issued = params.signed_by(&key, &self.0).expect("issued");
        (issued.pem(), key.serialize_pem())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Tcp,
    Unix,
    /// TLS, and whether the service wants a certificate.
    Tls {
        mutual: bool,
    },
}

/// Every transport there is.
const ALL: [(Link, Protocol); 8] = [
    (Link::Tcp, Protocol::Http1),
    (Link::Tcp, Protocol::Http2),
    (Link::Unix, Protocol::Http1),
    (Link::Unix, Protocol::Http2),
    (Link::Tls { mutual: false }, Protocol::Http1),
    (Link::Tls { mutual: false }, Protocol::Http2),
    (Link::Tls { mutual: true }, Protocol::Http1),
    (Link::Tls { mutual: true }, Protocol::Http2),
];

/// A service over one of them.
struct Real {
    target: Arc<Target>,
    client: Client,
    /// Bodies that were given up before their end.
    given_up: mpsc::UnboundedReceiver<()>,
    /// Hands over one piece of a `/pieces` each.
    pieces: mpsc::UnboundedSender<&'static str>,
    _directory: tempfile::TempDir,
}

/// What the service answers with.
#[derive(Clone)]
struct Answers {
    given_up: mpsc::UnboundedSender<()>,
    pieces: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<&'static str>>>,
    /// Four calls of `/together` wait for each other.
    together: Arc<Barrier>,
}

/// Says when it is dropped.
struct Drops(mpsc::UnboundedSender<()>);

impl Drop for Drops {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Answers {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let host = request.headers().get("host").map(|host| host.to_str().expect("ASCII"));
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let seen = format!("{} {}", host.or(authority).expect("a host"), request.uri().path());
        Ok(match request.uri().path() {
            "/echo" => Response::new(Body::from(request.into_body())),
            "/moved" => {
                let builder = Response::builder().status(307).header("location", "/");
                builder.body(Body::empty()).expect("an answer")
            }
            "/together" => {
                self.together.wait().await;
                Response::new(Body::empty())
            }
            "/fields" => {
                let all = request.headers().iter();
                let custom = all.filter(|(name, _)| name.as_str().starts_with("x-"));
                let mut lines: Vec<_> = custom
                    .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
                    .collect();
                lines.sort();
                Response::new(Body::from(Bytes::from(lines.join(", "))))
            }
            "/pieces" => {
                let drops = Drops(self.given_up);
                let pieces = stream::unfold((self.pieces, drops), |(pieces, drops)| async {
                    let piece = pieces.lock().await.recv().await?;
                    Some((Ok(piece), (pieces, drops)))
                });
                Response::new(streamed(pieces))
            }
            _ => Response::new(Body::from(Bytes::from(seen))),
        })
    }

    async fn serve<I>(self, io: I, protocol: Protocol)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| self.clone().answer(request));
        let io = TokioIo::new(io);
        let _ = match protocol {
            Protocol::Http1 => {
                hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
            }
            Protocol::Http2 => {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.serve_connection(io, service).await
            }
        };
    }
}

fn acceptor(authority: &Authority, mutual: bool, protocol: Protocol) -> TlsAcceptor {
    let (certificate, key) = authority.issue("links.internal");
    let pem = |text: &str| {
        rustls::pki_types::pem::PemObject::from_pem_slice(text.as_bytes()).expect("PEM")
    };
    let key: PrivateKeyDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(pem(&authority.pem())).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(vec![pem(&certificate)], key).expect("a certificate");
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

impl Real {
    async fn start(link: Link, protocol: Protocol) -> Self {
        let (given_up_sender, given_up) = mpsc::unbounded_channel();
        let (pieces, piece_receiver) = mpsc::unbounded_channel();
        let answers = Answers {
            given_up: given_up_sender,
            pieces: Arc::new(tokio::sync::Mutex::new(piece_receiver)),
            together: Arc::new(Barrier::new(4)),
        };
        let directory = tempfile::tempdir().expect("a folder");
        let mut settings = TargetSettings { protocol, ..settings() };
        let url = match link {
            Link::Tcp => format!("http://{}", listen(answers, protocol, None).await),
            Link::Unix => {
                let path = directory.path().join("links.sock");
                listen_at(answers, protocol, path.clone());
                format!("unix:{}", path.display())
            }
            Link::Tls { mutual } => {
                let authority = Authority::new();
                let acceptor = acceptor(&authority, mutual, protocol);
                let (certificate, key) = authority.issue("gateway");
                let texts = TlsTexts {
                    ca: &authority.pem(),
                    identity: mutual.then_some((&certificate, &key)),
                    server_name: Some("links.internal"),
                };
                settings.tls = Some(ServiceTls::build(texts, protocol).expect("TLS"));
                let address = listen(answers, protocol, Some(acceptor)).await;
                format!("https://localhost:{}", address.port())
            }
        };
        let target = Arc::new(Target::parse("link-service", &url, settings).expect("a target"));
        let client = Client::new(Network);
        Self { target, client, given_up, pieces, _directory: directory }
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        self.client.call(&self.target, request, LONG).await.expect("an answer")
    }
}

async fn listen(answers: Answers, protocol: Protocol, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answers, tls) = (answers.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => answers.serve(stream, protocol).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            answers.serve(stream, protocol).await;
                        }
                    }
                }
            });
        }
    });
    address
}

fn listen_at(answers: Answers, protocol: Protocol, path: PathBuf) {
    let listener = UnixListener::bind(path).expect("a free path");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answers.clone().serve(stream, protocol));
        }
    });
}

#[tokio::test]
async fn a_call_s_own_fields_stand_in_place_of_its_request_s() {
    let value = HeaderValue::from_static;
    let common = [(HeaderName::from_static("x-common"), value("common"))];
    let common = SharedFields::new(HeaderMap::from_iter(common));
    for (link, protocol) in ALL {
        let real = Real::start(link, protocol).await;
        let mut asked = get("/fields");
        for name in ["x-own", "x-own", "x-left-out", "x-kept"] {
            asked.headers_mut().append(name, value("client"));
        }
        let says = |_: &Request<Body>| {
            let mut own = OwnFields::default();
            own.set(HeaderName::from_static("x-own"), value("own"));
            own.leave_out(HeaderName::from_static("x-left-out"));
            Beside { common: Some(&common), own, ..Beside::default() }
        };
        let Ok(call) = real.client.call_as(&real.target, (asked, &says), true, LONG) else {
            panic!("there is no bound on connections")
        };
        let sent = text(call.await.expect("an answer")).await;
        assert_eq!(sent, "x-common: common, x-kept: client, x-own: own", "{link:?} {protocol:?}");
    }
}

#[tokio::test]
async fn a_call_is_the_same_over_every_transport() {
    for (link, protocol) in ALL {
        let real = Real::start(link, protocol).await;
        let host = match link {
            Link::Unix => "localhost",
            Link::Tcp | Link::Tls { .. } => real.target.authority(),
        };
        for _ in 0..3 {
            let mut asked = get("/links?a=1");
            asked.headers_mut().insert("host", "client.example".parse().expect("a host"));
            assert_eq!(text(real.call(asked).await).await, format!("{host} /links"), "{link:?}");
        }
        assert_eq!(real.target.connections_opened(), 1, "{link:?} {protocol:?}");
        let moved = real.call(get("/moved")).await.response;
        assert_eq!(
            (moved.status(), &moved.headers()["location"]),
            (307.try_into().expect("one"), &"/".parse().expect("one"))
        );
        let large = Bytes::from(vec![b'x'; 3 * MIB]);
        let piece = large.slice(..64 * 1024);
        let pieces = stream::iter((0..3 * 16).map(move |_| Ok::<_, BodyError>(piece.clone())));
        let pieces = Body::boxed(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))));
        for body in [large.clone().into(), pieces] {
            let answer = real.call(request("POST", "/echo", body)).await;
            let echo = collect(answer.response.into_body(), 4 * MIB).await.expect("a body");
            assert!(echo == large, "{link:?} {protocol:?}: {} bytes", echo.len());
        }
        assert_eq!(real.target.requests_in_flight(), 0, "{link:?} {protocol:?}");
    }
}

#[tokio::test]
async fn an_answer_comes_piece_by_piece_and_can_be_given_up() {
    for (link, protocol) in ALL {
        let mut real = Real::start(link, protocol).await;
        let mut body = real.call(get("/pieces")).await.response.into_body();
        for piece in ["one", "two", "three"] {
            real.pieces.send(piece).expect("the service reads");
            let frame = body.frame().await.expect("more").expect("a piece");
            assert_eq!(frame.into_data().expect("data"), piece, "{link:?} {protocol:?}");
        }
        assert!(real.given_up.try_recv().is_err());
        drop(body);
        real.given_up.recv().await.expect("the service hears of it");
        assert_eq!(real.target.requests_in_flight(), 0);
        // What comes after is not disturbed.
        assert_eq!(real.call(get("/")).await.attempts, 1, "{link:?} {protocol:?}");
    }
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_connection_of_http_2_and_take_one_each_of_http_1() {
    for (link, protocol) in ALL {
        let real = Real::start(link, protocol).await;
        join_all((0..4).map(|_| real.call(get("/together")))).await;
        let expected = if protocol == Protocol::Http2 { 1 } else { 4 };
        assert_eq!(real.target.connections_opened(), expected, "{link:?} {protocol:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_who_it_should_be_is_not_reached() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("gateway");
    let stranger = Authority::new();
    let check = async |mutual, texts: TlsTexts<'_>, protocol, spoken, expected: &[&str]| {
        let (sender, _given_up) = mpsc::unbounded_channel();
        let answers = Answers {
            given_up: sender,
            pieces: Arc::new(tokio::sync::Mutex::new(mpsc::unbounded_channel().1)),
            together: Arc::new(Barrier::new(1)),
        };
        let acceptor = acceptor(&authority, mutual, spoken);
        let port = listen(answers, spoken, Some(acceptor)).await.port();
        let tls = Some(ServiceTls::build(texts, protocol).expect("TLS"));
        let settings = TargetSettings { protocol, tls, ..settings() };
        let url = format!("https://localhost:{port}");
        let target = Arc::new(Target::parse("link-service", &url, settings).expect("a target"));
        let outcome = Client::new(Network).call(&target, get("/"), LONG).await;
        let outcome = outcome.map_or_else(|failed| failed.code(), |_| "an answer");
        assert!(expected.contains(&outcome), "{outcome}, not {expected:?}");
    };
    let (ca, foreign) = (authority.pem(), stranger.pem());
    let right = TlsTexts { ca: &ca, identity: None, server_name: Some("links.internal") };
    let (h1, h2) = (Protocol::Http1, Protocol::Http2);
    let unreachable = ["upstream_unreachable"];
    check(false, right, h1, h1, &["an answer"]).await;
    check(false, TlsTexts { ca: &foreign, ..right }, h1, h1, &unreachable).await;
    check(false, TlsTexts { server_name: None, ..right }, h1, h1, &unreachable).await;
    check(false, right, h2, h1, &unreachable).await;
    // TLS 1.3 says only after the handshake that a certificate is missing.
    let refused = ["upstream_unreachable", "upstream_broken"];
    check(true, right, h1, h1, &refused).await;
    let shown = TlsTexts { identity: Some((&certificate, &key)), ..right };
    check(true, shown, h1, h1, &["an answer"]).await;
    let (strange_certificate, strange_key) = stranger.issue("gateway");
    let strange = TlsTexts { identity: Some((&strange_certificate, &strange_key)), ..right };
    check(true, strange, h1, h1, &refused).await;
}

#[test]
fn texts_that_are_no_certificates_are_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("gateway");
    let (_, other_key) = authority.issue("gateway");
    let ca = authority.pem();
    let right = TlsTexts { ca: &ca, identity: Some((&certificate, &key)), server_name: None };
    let check = |texts, expected: Result<(), &str>| {
        let built = ServiceTls::build(texts, Protocol::Http1);
        assert_eq!(built.map(drop).map_err(|error| error.key()), expected);
    };
    check(right, Ok(()));
    check(TlsTexts { ca: "", ..right }, Err("ca"));
    check(TlsTexts { ca: &key, ..right }, Err("ca"));
    check(TlsTexts { identity: Some(("", &key)), ..right }, Err("certificate"));
    check(TlsTexts { identity: Some((&certificate, &certificate)), ..right }, Err("key"));
    check(TlsTexts { identity: Some((&certificate, &other_key)), ..right }, Err("key"));
    check(TlsTexts { server_name: Some("a b"), ..right }, Err("server_name"));
    let built = |texts| ServiceTls::build(texts, Protocol::Http1).expect("TLS");
    assert_eq!(built(right), built(right));
    assert_ne!(built(right), built(TlsTexts { identity: None, ..right }));
    assert_ne!(built(right), ServiceTls::build(right, Protocol::Http2).expect("TLS"));
}
