//! TLS, the PROXY protocol and the plain listener, as clients and operators meet them: a gateway
//! with certificates of a throw-away authority in front of one service.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use gateway_core::clock::Clock;
use gateway_core::command::{self, Gateway, NotStarted, Options};
use h2::client::Builder;
use h2::ext::Protocol;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shared_config::Sources;
use tempfile::TempDir;
use tests::authority::{Authority, Issued};
use tests::harness::{GatewayUnderTest, Origin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::websocket::client::{Connection, accept};

/// A gateway that adds nothing to the core.
struct Plain;

impl Gateway for Plain {
    fn name(&self) -> &'static str {
        "gw"
    }
}

/// Authorities, their certificates in a folder, and a service that answers what it was asked.
struct Setting {
    folder: TempDir,
    servers: Authority,
    clients: Authority,
    origin: SocketAddr,
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = |name| Authority::new(name).expect("an authority");
        let (servers, clients) = (authority("servers"), authority("clients"));
        let issued = servers.issue_server(&["a.example", "localhost"]).expect("issued");
        write(folder.path(), "server", &issued);
        fs::write(folder.path().join("clients.pem"), &clients.pem).expect("written");
        Self { folder, servers, clients, origin: echo() }
    }

    /// The configuration, with `more` of `[server.tls]` and what follows it.
    fn toml(&self, more: &str) -> String {
        let (folder, origin) = (self.folder.path().display(), self.origin);
        format!(
            r#"
[gateway]
name = "gw"
expose = ["*"]
[services.origin]
url = "http://{origin}"
[routes.open]
match = "GET /open"
service = "origin"
public = "a test"
unlimited = "a test"
[[server.tls.certificates]]
certificate = "{folder}/server.pem"
key = {{ file = "{folder}/server.key" }}
{more}"#
        )
        .replace("FOLDER", &folder.to_string())
    }

    fn gateway(&self, more: &str) -> GatewayUnderTest {
        GatewayUnderTest::of_text(&Plain, &self.toml(more))
    }

    /// Connects as a client that believes the servers' authority.
    async fn connect(
        &self,
        gateway: &GatewayUnderTest,
        client: Option<&Issued>,
        protocol: &str,
        first: &str,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.servers.pem)).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = builder.with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
                let chain = vec![certificate(&issued.certificate)];
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let mut stream = TcpStream::connect(gateway.address()).await.expect("connected");
        stream.write_all(first.as_bytes()).await.expect("sent");
        let name = ServerName::try_from("a.example").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.expect("shaken hands")
    }

    /// The whole answer to one request over HTTP/1.1, until the gateway says that it is the end.
    async fn ask(&self, gateway: &GatewayUnderTest, client: Option<&Issued>, head: &str) -> String {
        let stream = self.connect(gateway, client, "http/1.1", "").await;
        ask_on(stream, head).await
    }
}

async fn ask_on(mut stream: TlsStream<TcpStream>, head: &str) -> String {
    let request = format!("{head}Host: a.example\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer and a proper end");
    answer
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

fn write(folder: &Path, name: &str, issued: &Issued) {
    fs::write(folder.join(format!("{name}.pem")), &issued.certificate).expect("written");
    fs::write(folder.join(format!("{name}.key")), &issued.key).expect("written");
}

/// A service that answers with the head it was sent.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.extend_from_slice(&byte);
            }
            let length = head.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&head));
        }
    });
    address
}

/// Routes for holders of certificates.
const KNOWN: &str = r#"
[routes.known]
match = "GET /known"
service = "origin"
scheme = "client_certificate"
unlimited = "a test"
[auth.client_certificate]
prefix = "spiffe://example.com/"
role = "service"
tier = "partner"
[server.tls]
client_certificates = "optional"
client_ca = "FOLDER/clients.pem"
"#;

#[tokio::test]
async fn over_tls_both_versions_of_http_are_served_and_browsers_told_to_stay() {
    let setting = Setting::new();
    let gateway = setting.gateway("");
    let answer = setting.ask(&gateway, None, "GET /open HTTP/1.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nstrict-transport-security: max-age="), "{answer}");
    let stream = setting.connect(&gateway, None, "h2", "").await;
    let http2 = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = http2.await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get("https://a.example/open").body(Empty::<bytes::Bytes>::new());
    let answer = client.send_request(request.expect("a request")).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert!(answer.headers().contains_key("strict-transport-security"));
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert!(body.starts_with(b"GET /open HTTP/1.1\r\n"));
    let metrics = gateway.metrics().await;
    let shaken = "gateway_tls_handshakes_total{version=\"1.3\",kind=\"full\"} 2";
    assert!(metrics.contains(shaken), "{metrics}");
}

#[tokio::test]
async fn a_websocket_opens_over_http_2_as_agreed_on_in_the_handshake() {
    let setting = Setting::new();
    let origin = Origin::start().await;
    let url = origin.url();
    let gateway = setting.gateway(&format!(
        "[services.live]\nurl = \"{url}\"\n[routes.live]\nmatch = \"GET /live\"\nservice = \"live\"\n\
         public = \"a test\"\nunlimited = \"a test\"\nwebsocket = true\n"
    ));
    let stream = setting.connect(&gateway, None, "h2", "").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let connection = Connection::over(stream, &Builder::new()).await;
    let request = http::Request::connect("https://a.example/live")
        .version(http::Version::HTTP_2)
        .extension(Protocol::from("websocket"))
        .header("sec-websocket-version", "13");
    let asking = connection.send(request.body(()).expect("a request"));
    let (mut answer, (mut service, asked)) = tokio::join!(asking, accept(&origin));
    assert_eq!((answer.status, answer.field("sec-websocket-protocol")), (200, "chat"));
    assert!(asked.starts_with("GET /live HTTP/1.1\r\n"), "{asked}");
    let (asks, says) = (b"\x81\x82\0\0\0\0hi", b"\x81\x02ho");
    answer.client.say(asks).await;
    assert_eq!(service.bytes(asks.len()).await, asks);
    service.say(says).await;
    assert_eq!(answer.client.bytes(says.len()).await, says);
    drop(service);
    answer.client.rest().await;
}

#[tokio::test]
async fn the_holder_of_a_certificate_is_somebody_and_words_about_it_are_nothing() {
    let setting = Setting::new();
    let gateway = setting.gateway(KNOWN);
    let spoofed = "GET /known HTTP/1.1\r\nX-User-ID: admin\r\nX-SSL-Client-Cert: admin\r\n\
                   X-Client-Cert: admin\r\nX-Auth-Verified: true\r\n";
    let billing = setting.clients.issue_client("spiffe://example.com/billing").expect("issued");
    let answer = setting.ask(&gateway, Some(&billing), spoofed).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, seen) = answer.split_once("\r\n\r\n").expect("a head");
    let seen = seen.to_ascii_lowercase();
    for expected in ["x-user-id: billing", "x-user-role: service", "x-consumer-tier: partner"] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
    assert!(!seen.contains("x-user-id: admin"), "{seen}");
    assert!(head.contains("\r\ncache-control: private, no-cache"), "{head}");
    let line = gateway.line_of("/known").await;
    assert_eq!(line["user_id"], "billing");
    let stranger = setting.clients.issue_client("spiffe://example.org/billing").expect("issued");
    for (case, client, more, code) in [
        ("no certificate", None, "", "client_certificate_missing"),
        ("another name", Some(&stranger), "", "client_certificate_unnamed"),
        ("a foreign page", Some(&billing), "Sec-Fetch-Site: cross-site\r\n", "csrf_cross_site"),
    ] {
        let answer = setting.ask(&gateway, client, &format!("{spoofed}{more}")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{case}: {answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{case}: {answer}");
    }
    let own =
        setting.ask(&gateway, Some(&billing), "GET /known HTTP/1.1\r\nSec-Fetch-Site: none\r\n");
    assert!(own.await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_balancer_in_front_of_tls_says_who_the_client_is() {
    let setting = Setting::new();
    let gateway = setting.gateway("[server.proxy_protocol]\nfrom = [\"127.0.0.1\"]\n");
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    let stream = setting.connect(&gateway, None, "http/1.1", header).await;
    let answer = ask_on(stream, "GET /open HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\n").await;
    let seen = answer.to_ascii_lowercase();
    assert!(seen.contains("\r\nx-forwarded-for: 192.0.2.7\r\n"), "{answer}");
    assert!(!seen.contains("203.0.113.9"), "who is no listed proxy is not believed: {answer}");
}

#[tokio::test]
async fn the_plain_listener_redirects_and_answers_challenges() {
    let setting = Setting::new();
    fs::write(setting.folder.path().join("token"), "token.hash").expect("written");
    let plain = "[server.redirect]\nlisten = \"127.0.0.1:0\"\nhttps_port = 8443\n\
                 acme_directory = \"FOLDER\"\n";
    let gateway = setting.gateway(plain);
    let address = gateway.redirect();
    let get = async |path: &str| ask_plainly(address, "", path).await;
    let answer = get("/open").await;
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    assert!(answer.contains("\r\nlocation: https://a.example:8443/open\r\n"), "{answer}");
    let answer = get("/.well-known/acme-challenge/token").await;
    assert!(answer.ends_with("\r\n\r\ntoken.hash"), "{answer}");
    gateway.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "it stops with the gateway");
}

/// The whole answer to a request without TLS, on a connection that begins with `first`.
async fn ask_plainly(address: SocketAddr, first: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head =
        format!("{first}GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    // What is closed before it is read is reset.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_balancer_in_front_of_the_plain_listener_says_who_the_client_is_there_too() {
    let setting = Setting::new();
    fs::write(setting.folder.path().join("token"), "token.hash").expect("written");
    let plain = "[server.redirect]\nlisten = \"127.0.0.1:0\"\nacme_directory = \"FOLDER\"\n\
                 [server.proxy_protocol]\nfrom = [\"127.0.0.1\"]\n";
    let gateway = setting.gateway(plain);
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 80\r\n";
    let challenge = "/.well-known/acme-challenge/token";
    let answer = ask_plainly(gateway.redirect(), header, challenge).await;
    assert!(answer.ends_with("\r\n\r\ntoken.hash"), "{answer}");
    let answer = ask_plainly(gateway.redirect(), header, "/open").await;
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    assert_eq!(ask_plainly(gateway.redirect(), "", challenge).await, "", "it must say so");
}

/// Why a gateway does not start with this configuration, without the folder's name.
fn mistakes(setting: &Setting, more: &str) -> String {
    let folder = setting.folder.path();
    fs::write(folder.join("platform.toml"), "").expect("written");
    fs::write(folder.join("gw.toml"), setting.toml(more)).expect("written");
    let sources = Sources {
        directory: Some(folder.to_owned()),
        gateway: "gw".to_owned(),
        environment: None,
        variables: [].into(),
    };
    let options = Options { clock: Clock::system(), ..Options::default() };
    let found = match shared_config::load(&sources, &[]) {
        Ok(loaded) => match command::start(&Plain, &loaded, options) {
            Err(NotStarted::Configuration(found)) => found,
            other => panic!("{more}: {other:?}"),
        },
        Err(found) => found,
    };
    found.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn what_is_wrong_with_certificates_is_said_with_key_place_and_remedy() {
    let setting = Setting::new();
    let other = setting.servers.issue_server(&["b.example"]).expect("issued");
    write(setting.folder.path(), "other", &other);
    let nameless = CertificateParams::default();
    let nameless = setting.servers.issue(nameless, ExtendedKeyUsagePurpose::ServerAuth);
    write(setting.folder.path(), "nameless", &nameless.expect("issued"));
    let pair = |certificate: &str, key: &str| {
        format!(
            "[[server.tls.certificates]]\ncertificate = \"FOLDER/{certificate}\"\n\
             key = {{ file = \"FOLDER/{key}\" }}\n"
        )
    };
    let clients = "[server.tls]\nclient_certificates = \"required\"\nclient_ca = \"FOLDER/";
    for (more, expected) in [
        (
            pair("none.pem", "other.key"),
            "gw.toml:16: server.tls.certificates[1].certificate = \"none.pem\"\n    names a file \
             that does not exist",
        ),
        (
            pair("other.pem", "none.key"),
            "server.tls.certificates[1].key\n    is due in file none.key, which does not exist",
        ),
        (
            pair("other.pem", "server.key"),
            "server.tls.certificates[1].key = ***\n    is not the key of the certificate beside it",
        ),
        (
            pair("other.key", "other.key"),
            "server.tls.certificates[1].certificate = \"other.key\"\n    holds no certificate: it \
             must have PEM blocks that begin with -----BEGIN CERTIFICATE-----",
        ),
        (
            pair("other.pem", "other.pem"),
            "server.tls.certificates[1].key = ***\n    holds no private key",
        ),
        (
            pair("nameless.pem", "nameless.key"),
            "server.tls.certificates[1].certificate = \"nameless.pem\"\n    names no host, so no \
             client is ever shown it",
        ),
        (
            format!("{clients}server.key\"\n"),
            "server.tls.client_ca = \"server.key\"\n    must have the authorities' certificates",
        ),
        (
            "[server.redirect]\nlisten = \"127.0.0.1:0\"\nacme_url = \"http://a/b\"\n".to_owned(),
            "server.redirect.acme_url = \"http://a/b\"\n    must end after the host and port",
        ),
    ] {
        let found = mistakes(&setting, &more);
        assert!(found.contains(expected) && found.contains("\n1 error"), "{expected}\n{found}");
        assert!(!found.contains("PRIVATE KEY-----\n"), "{found}");
    }
}

#[test]
fn check_warns_of_a_certificate_that_has_expired() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("servers").expect("an authority");
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let issued = authority.issue(params, ExtendedKeyUsagePurpose::ServerAuth).expect("issued");
    write(folder.path(), "old", &issued);
    super::command::copy_sample(folder.path());
    let layer =
        "[[server.tls.certificates]]\ncertificate = \"old.pem\"\nkey = { file = \"old.key\" }\n";
    fs::write(folder.path().join("mobile-bff.tls.toml"), layer).expect("written");
    let config = folder.path().to_string_lossy();
    let arguments = ["check", "--config", &config, "--environment", "tls"];
    let output = super::command::run("mobile-bff", &arguments, &super::command::VARIABLES);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let expected = "warning: FOLDER/mobile-bff.tls.toml:2: \
                    server.tls.certificates[0].certificate = \"old.pem\"\n    has expired on \
                    2021-01-01T00:00:00.000Z: clients refuse it";
    assert!(said.contains(&expected.replace("FOLDER", &config)), "{said}");
}
