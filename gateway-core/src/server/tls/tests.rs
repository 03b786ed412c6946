//! Handshakes over TCP, with a client of the same library and with bytes that are no client's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, date_time_ymd};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::metric::{Handshake, HandshakeFailure};
use crate::server::core::Core;
use crate::server::rest::QUIET;
use crate::server::tests::{GET, OK, Piped, Sample, hear, hear_all, say, settings};
use crate::server::{
    Entrance, Protocol, RefusedHead, Running, Serve, Server, ServerSettings, Transport, connection,
};

/// Keys of the two kinds that matter here.
pub(super) fn ecdsa() -> rcgen::KeyPair {
    rcgen::KeyPair::generate().expect("a key")
}

pub(super) fn rsa() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key")
}

/// A pair that signs itself, called by its first name.
pub(super) fn key_pair(names: &[&str], key: &rcgen::KeyPair) -> KeyPair {
    let certificate = params(names).self_signed(key).expect("a certificate");
    KeyPair::parse(names[0], &certificate.pem(), &key.serialize_pem()).expect("a pair")
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

/// Who issues certificates in a test.
struct Authority {
    issuer: Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = ecdsa();
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = ecdsa();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn pair(&self, names: &[&str]) -> KeyPair {
        let (chain, key) = self.issue(&params(names));
        KeyPair::parse(names[0], &chain, &key).expect("a pair")
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            default: self.pair(&["a.example"]),
            others: vec![self.pair(&["b.example", "*.c.example"])],
            oldest: TlsVersion::V12,
            clients: None,
            handshake_timeout: Duration::from_secs(60),
            sessions_max: 100,
        }
    }

    fn asks_clients(&self, clients: &Self, is_required: bool) -> TlsSettings {
        let clients = ClientAuthorities::parse(&clients.pem, is_required).expect("authorities");
        TlsSettings { clients: Some(clients), ..self.settings() }
    }

    /// A client that believes this authority.
    fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(der).expect("an authority");
        Client { roots, versions: rustls::ALL_VERSIONS, protocols: vec![], certificate: None }
    }
}

/// What a client is made from.
#[derive(Clone)]
struct Client {
    roots: RootCertStore,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: Vec<&'static str>,
    certificate: Option<(String, String)>,
}

impl Client {
    fn build(self) -> ClientConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(self.roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols =
            self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// Answers what is known of the connection.
struct Facts;

impl Serve for Facts {
    type Body = Full<Bytes>;

    async fn serve(&self, _: Request<Incoming>, transport: &Transport) -> Response<Full<Bytes>> {
        let shown = transport.client_certificate.as_ref();
        let names = shown.map(|shown| shown.certificate.dns_names.join(","));
        let names = names.unwrap_or_else(|| "nobody".to_owned());
        Response::new(format!("tls={} for={names}!", transport.is_tls).into())
    }

    fn refuse(&self, _: &RefusedHead, _: &Transport) -> Response<Full<Bytes>> {
        Response::default()
    }
}

/// A server with TLS on a real port.
struct Served {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    tls: Arc<Tls>,
    drain: watch::Sender<bool>,
    running: Running,
}

fn serve(settings: TlsSettings) -> Served {
    serve_connections(settings, 100)
}

fn serve_connections(tls: TlsSettings, connections_max: u32) -> Served {
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::build(tls, Clock::system(), Arc::clone(&metrics)).expect("TLS");
    let tls = Arc::new(tls);
    let settings = ServerSettings { connections_max, ..settings() };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, settings, &metrics).expect("a free port");
    let address = server.local_addr();
    let entrance = Entrance { proxy_protocol: None, tls: Some(Arc::clone(&tls)) };
    let (drain, drains) = watch::channel(false);
    let running = server.behind(entrance).start(|_| Facts, &drains).expect("a server");
    Served { address, metrics, tls, drain, running }
}

/// A connection on which a handshake has come to its end, as far as the client knows.
struct Connection(TlsStream<tokio::net::TcpStream>);

impl Served {
    async fn connect(
        &self,
        client: &Arc<ClientConfig>,
        name: &'static str,
    ) -> std::io::Result<Connection> {
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name).expect("a name");
        Ok(Connection(TlsConnector::from(Arc::clone(client)).connect(name, stream).await?))
    }

    /// What a client of its own hears from the server: its facts, or nothing.
    async fn heard(&self, client: Client, name: &'static str) -> String {
        match self.connect(&Arc::new(client.build()), name).await {
            Ok(mut connection) => connection.ask().await,
            Err(_) => String::new(),
        }
    }

    fn failures(&self, reason: &'static str) -> u64 {
        let labels = HandshakeFailure { layer: "tls", reason };
        self.metrics.handshake_failures.get_or_create(&labels).get()
    }

    /// Waits until a handshake has failed for this reason, and asserts that it is the only one.
    #[track_caller]
    fn failed(&self, reason: &'static str, case: &str) {
        let clock = Clock::system();
        let started = clock.now();
        while self.failures(reason) == 0 {
            assert!(
                clock.now().since(started) < Duration::from_secs(20),
                "{case}: no failure {reason}"
            );
            thread::yield_now();
        }
        let page = self.metrics.render();
        let all = page.lines().filter(|line| line.starts_with("gateway_handshake_failures_total"));
        let all: u64 =
            all.map(|line| line.rsplit(' ').next().expect("n").parse::<u64>().expect("n")).sum();
        assert_eq!(all, 1, "{case}: {page}");
    }

    fn stop(self) {
        self.drain.send_replace(true);
        self.running.join().expect("no panic");
    }
}

impl Connection {
    /// The body of an answer; empty when the server hangs up instead.
    async fn ask(&mut self) -> String {
        let mut heard = Vec::new();
        if self.0.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.is_err() {
            return String::new();
        }
        while !heard.ends_with(b"!") {
            match self.0.read_u8().await {
                Ok(byte) => heard.push(byte),
                Err(_) => return String::new(),
            }
        }
        let text = String::from_utf8(heard).expect("ASCII");
        text.rsplit("\r\n").next().expect("a body").to_owned()
    }

    fn kind(&self) -> HandshakeKind {
        self.0.get_ref().1.handshake_kind().expect("shaken")
    }

    /// The certificate that the server has shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.0.get_ref().1.peer_certificates().expect("one")[0].clone()
    }
}

const NOBODY: &str = "tls=true for=nobody!";

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let authority = Authority::new();
    for (name, is_served) in [
        ("a.example", true),
        ("b.example", true),
        ("x.c.example", true),
        // It is shown the first one, and does not take it.
        ("c.example", false),
        ("other.example", false),
    ] {
        let served = serve(authority.settings());
        let heard = served.heard(authority.client(), name).await;
        assert_eq!(heard, if is_served { NOBODY } else { "" }, "{name}");
        if !is_served {
            served.failed("refused_by_client", name);
        }
        served.stop();
    }
}

#[tokio::test]
async fn versions_from_the_oldest_allowed_are_spoken_and_no_others() {
    static V12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    let authority = Authority::new();
    for (oldest, client, spoken) in [
        (TlsVersion::V12, &V12[..], Some("1.2")),
        (TlsVersion::V12, &ONLY_V13, Some("1.3")),
        (TlsVersion::V12, rustls::ALL_VERSIONS, Some("1.3")),
        (TlsVersion::V13, &ONLY_V13, Some("1.3")),
        (TlsVersion::V13, &V12, None),
    ] {
        let case = format!("{oldest:?} {client:?}");
        let served = serve(TlsSettings { oldest, ..authority.settings() });
        let client = Client { versions: client, ..authority.client() };
        let heard = served.heard(client, "a.example").await;
        match spoken {
            Some(version) => {
                assert_eq!(heard, NOBODY, "{case}");
                let labels = Handshake { version, kind: "full" };
                assert_eq!(served.metrics.handshakes.get_or_create(&labels).get(), 1, "{case}");
            }
            None => served.failed("version", &case),
        }
        served.stop();
    }
}

#[tokio::test]
async fn http_2_is_agreed_on_before_http_1_and_nothing_else_is() {
    let authority = Authority::new();
    for (offered, agreed) in [
        (vec![], Some(None)),
        (vec!["http/1.1"], Some(Some("http/1.1"))),
        (vec!["http/1.1", "h2"], Some(Some("h2"))),
        (vec!["h3", "h2"], Some(Some("h2"))),
        (vec!["h3"], None),
    ] {
        let served = serve(authority.settings());
        let client = Client { protocols: offered.clone(), ..authority.client() };
        let connected = served.connect(&Arc::new(client.build()), "a.example").await;
        let heard = connected.as_ref().ok().map(|connection| {
            let agreed = connection.0.get_ref().1.alpn_protocol();
            agreed.map(|name| std::str::from_utf8(name).expect("ASCII"))
        });
        assert_eq!(heard, agreed, "{offered:?}");
        if agreed.is_none() {
            served.failed("application_protocol", "h3");
        }
        drop(connected);
        served.stop();
    }
}

/// Twice the same client, which keeps what it is given: the kind of its second handshake.
async fn second_handshake(settings: TlsSettings, client: ClientConfig) -> HandshakeKind {
    let served = serve(settings);
    let client = Arc::new(client);
    let mut first = served.connect(&client, "a.example").await.expect("connected");
    assert_eq!(first.kind(), HandshakeKind::Full);
    // In TLS 1.3 tickets come with the first answer.
    assert_eq!(first.ask().await, NOBODY);
    let mut second = served.connect(&client, "a.example").await.expect("connected");
    assert_eq!(second.ask().await, NOBODY);
    let kind = second.kind();
    drop((first, second));
    served.stop();
    kind
}

#[tokio::test]
async fn a_session_goes_on_by_ticket_and_by_id_as_far_as_ids_are_kept() {
    static V12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    let authority = Authority::new();
    let by_ticket = || authority.client().build();
    let by_id = || {
        let mut client = Client { versions: &V12, ..authority.client() }.build();
        client.resumption =
            Resumption::in_memory_sessions(1).tls12_resumption(Tls12Resumption::SessionIdOnly);
        client
    };
    let by_ticket_of_v12 = || Client { versions: &V12, ..authority.client() }.build();
    let settings = |sessions_max| TlsSettings { sessions_max, ..authority.settings() };
    assert_eq!(second_handshake(settings(100), by_ticket()).await, HandshakeKind::Resumed);
    assert_eq!(second_handshake(settings(0), by_ticket()).await, HandshakeKind::Resumed);
    assert_eq!(second_handshake(settings(0), by_ticket_of_v12()).await, HandshakeKind::Resumed);
    assert_eq!(second_handshake(settings(100), by_id()).await, HandshakeKind::Resumed);
    assert_eq!(second_handshake(settings(0), by_id()).await, HandshakeKind::Full);
}

#[tokio::test]
async fn after_a_reload_open_connections_go_on_and_new_ones_see_the_new_certificate() {
    let authority = Authority::new();
    let served = serve(authority.settings());
    let client = Arc::new(authority.client().build());
    let mut old = served.connect(&client, "a.example").await.expect("connected");
    assert_eq!(old.ask().await, NOBODY);
    let before = old.shown();
    let default = authority.pair(&["a.example"]);
    let after = default.key.cert[0].clone();
    served.tls.reload(TlsSettings { default, ..authority.settings() }).expect("reloaded");
    assert_eq!(old.ask().await, NOBODY, "the open connection goes on");
    let stranger = Arc::new(authority.client().build());
    let new = served.connect(&stranger, "a.example").await.expect("connected");
    assert_eq!(new.shown(), after);
    assert_ne!(before, after);
    let resumed = served.connect(&client, "a.example").await.expect("connected");
    assert_eq!(resumed.kind(), HandshakeKind::Resumed, "tickets outlive certificates");
    drop((old, new, resumed));
    served.stop();
}

#[tokio::test]
async fn a_change_of_the_authorities_of_clients_ends_the_sessions_they_let_in() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let served = serve(authority.asks_clients(&clients, false));
    let client =
        Client { certificate: Some(clients.issue(&params(&["zoe"]))), ..authority.client() };
    let client = Arc::new(client.build());
    let mut first = served.connect(&client, "a.example").await.expect("connected");
    assert_eq!(first.ask().await, "tls=true for=zoe!");
    let mut resumed = served.connect(&client, "a.example").await.expect("connected");
    assert_eq!(resumed.ask().await, "tls=true for=zoe!", "a session knows whose it is");
    assert_eq!(resumed.kind(), HandshakeKind::Resumed);
    let others = Authority::new();
    served.tls.reload(authority.asks_clients(&others, false)).expect("reloaded");
    let outcome = match served.connect(&client, "a.example").await {
        Ok(mut connection) => connection.ask().await,
        Err(_) => String::new(),
    };
    assert_eq!(outcome, "", "neither resumed nor let in anew");
    served.failed("client_certificate_invalid", "another authority's");
    drop((first, resumed));
    served.stop();
}

#[tokio::test]
async fn clients_are_let_in_by_certificates_that_hold() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let mut expired = params(&["zoe"]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let good = clients.issue(&params(&["zoe"]));
    let zoe = "tls=true for=zoe!";
    let cases = [
        ("optional, none", false, None, Ok(NOBODY)),
        ("optional, good", false, Some(good.clone()), Ok(zoe)),
        (
            "optional, another authority's",
            false,
            Some(others.issue(&params(&["zoe"]))),
            Err("client_certificate_invalid"),
        ),
        ("required, none", true, None, Err("client_certificate_missing")),
        ("required, good", true, Some(good), Ok(zoe)),
        (
            "required, expired",
            true,
            Some(clients.issue(&expired)),
            Err("client_certificate_expired"),
        ),
    ];
    for (case, is_required, certificate, expected) in cases {
        let served = serve(authority.asks_clients(&clients, is_required));
        let client = Client { certificate, ..authority.client() };
        let heard = served.heard(client, "a.example").await;
        assert_eq!(heard, expected.unwrap_or_default(), "{case}");
        if let Err(reason) = expected {
            served.failed(reason, case);
        }
        served.stop();
    }
}

#[test]
fn who_does_not_shake_hands_is_cut_and_counted_by_reason() {
    let authority = Authority::new();
    let hello = [22, 3, 1, 0, 5];
    let cases: [(&str, &[u8], bool, &str, &str); 7] = [
        ("nothing", b"", false, "timeout", ""),
        ("half a record", &hello, false, "timeout", ""),
        ("nothing, and gone", b"", true, "closed", ""),
        ("half a record, and gone", &hello, true, "closed", ""),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n", false, "plaintext", "HTTP/1.1 400 Bad Request"),
        ("SSLv2", &[0x80, 0x2e, 1, 0, 2], false, "garbage", ""),
        ("no hello", &[22, 3, 1, 0, 4, 0xff, 0, 0, 0], false, "garbage", ""),
    ];
    for (case, said, hangs_up, reason, expected) in cases {
        let handshake_timeout =
            Duration::from_millis(if reason == "timeout" { 50 } else { 60_000 });
        let served = serve(TlsSettings { handshake_timeout, ..authority.settings() });
        let mut client = TcpStream::connect(served.address).expect("a server");
        client.write_all(said).expect("sent");
        if hangs_up {
            client.shutdown(std::net::Shutdown::Write).expect("shut down");
        }
        let mut heard = Vec::new();
        let _ = client.read_to_end(&mut heard);
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.starts_with(expected), "{case}: {heard}");
        if reason == "plaintext" {
            let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{heard}");
        }
        served.failed(reason, case);
        drop(client);
        served.stop();
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_holds_its_permit_and_nobody_else() {
    let authority = Authority::new();
    let served = serve_connections(authority.settings(), 2);
    let hanging = TcpStream::connect(served.address).expect("a server");
    assert_eq!(served.heard(authority.client(), "a.example").await, NOBODY);
    while served.metrics.connections.get() > 1 {
        tokio::task::yield_now().await;
    }
    let second = TcpStream::connect(served.address).expect("a server");
    while served.metrics.connections.get() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(served.heard(authority.client(), "a.example").await, "", "no permit is left");
    drop((hanging, second));
    served.stop();
}

#[test]
fn a_certificate_and_a_key_that_are_no_pair_are_told_apart() {
    let (key, other) = (ecdsa(), ecdsa());
    let chain = params(&["a.example"]).self_signed(&key).expect("a certificate").pem();
    let (key, other) = (key.serialize_pem(), other.serialize_pem());
    let broken = chain.replace("MII", "AAA");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let foreign = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    for (chain, key, expected) in [
        (&*chain, &*key, None),
        ("", &key, Some(KeyPairUnusable::NoCertificate)),
        (&key, &key, Some(KeyPairUnusable::NoCertificate)),
        (&broken, &key, Some(KeyPairUnusable::Unreadable)),
        (&chain, "", Some(KeyPairUnusable::NoKey)),
        (&chain, &encrypted, Some(KeyPairUnusable::NoKey)),
        (&chain, foreign, Some(KeyPairUnusable::UnknownKey)),
        (&chain, &other, Some(KeyPairUnusable::OtherKey)),
    ] {
        assert_eq!(KeyPair::parse("file", chain, key).err(), expected, "{chain}{key}");
    }
}

#[test]
fn authorities_are_certificates() {
    let authority = Authority::new();
    let key = ecdsa().serialize_pem();
    for (pem, is_good) in [(&*authority.pem, true), ("", false), (&key, false)] {
        assert_eq!(ClientAuthorities::parse(pem, true).is_ok(), is_good, "{pem}");
    }
}

#[test]
fn the_end_of_each_certificate_is_shown_until_it_is_replaced() {
    let authority = Authority::new();
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::build(authority.settings(), Clock::system(), Arc::clone(&metrics)).expect("TLS");
    let ends = |metrics: &Metrics| {
        let page = metrics.render();
        let name = "gateway_tls_certificate_not_after_seconds";
        let mut lines: Vec<String> =
            page.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // rcgen's certificates end with the year 4095.
    let line = |name: &str| format!("{{file=\"{name}\"}} 67090118400");
    assert_eq!(ends(&metrics), [line("a.example"), line("b.example")]);
    tls.reload(TlsSettings { others: vec![], ..authority.settings() }).expect("reloaded");
    assert_eq!(ends(&metrics), [line("a.example")]);
}

const GET_LARGE: &str = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";

/// Serves a connection with TLS over a pipe while `script` plays the client; both must come to an end.
async fn play(script: impl AsyncFnOnce(&mut TlsStream<DuplexStream>, &Core<Arc<Sample>>)) {
    let authority = Authority::new();
    let metrics = Arc::new(Metrics::new());
    let tls = Tls::build(authority.settings(), Clock::system(), metrics).expect("TLS");
    let Piped { client, place, server } = Piped::new(settings());
    let config = Arc::clone(&tls.current.load().config);
    let accepted = TlsAcceptor::from(config).accept(server.expect("a pipe"));
    let name = ServerName::try_from("a.example").expect("a name");
    let client = TlsConnector::from(Arc::new(authority.client().build())).connect(name, client);
    let (server, mut client) = tokio::try_join!(accepted, client).expect("a handshake");
    let transport = Transport::plain(([127, 0, 0, 1], 1).into());
    let transport = Transport { is_tls: true, protocol: Protocol::Http1, ..transport };
    let core = Rc::clone(&place.core);
    let serving = async move {
        connection::run(&place, server, transport).await;
        drop(place);
    };
    tokio::join!(serving, script(&mut client, &core));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_tls_has_taken_and_the_client_has_not() {
    for request in [GET_LARGE, &GET_LARGE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")] {
        play(async |client, core| {
            say(client, request).await;
            core.drain();
            let (mut taken, mut some) = (Vec::new(), vec![0; 4 * 1024]);
            loop {
                match client.read(&mut some).await.expect("no cut") {
                    0 => break,
                    count => taken.extend_from_slice(some.get(..count).expect("read")),
                }
                sleep(Duration::from_secs(1)).await;
            }
            let body = taken.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
            assert_eq!(taken.len() - body, 1 << 20, "{request:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_as_it_does_without_tls() {
    play(async |client, core| {
        for size in [10, 12_000] {
            // All in one record: what the first read leaves of it, no socket tells of.
            let body = "x".repeat(size);
            let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
            say(client, &format!("{head}{body}{GET}")).await;
            assert!(hear(client, &body).await.starts_with("HTTP/1.1 200 OK\r\n"));
            assert_eq!(hear(client, "ok").await, OK);
            assert_eq!(core.awake(), 1);
            sleep(QUIET * 2).await;
            assert_eq!(core.awake(), 0);
        }
        let started = Instant::now();
        say(client, &GET[..20]).await;
        assert!(hear_all(client).await.starts_with("HTTP/1.1 408 "));
        assert_eq!(started.elapsed().as_secs(), 10);
    })
    .await;
}
