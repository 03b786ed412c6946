//! Requests as bytes, and what the plain listener says to them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use http_body_util::Full;
use tokio::sync::watch;

use super::*;
use crate::metric::Metrics;
use crate::server::tests::settings;
use crate::server::{Running, Server};
use crate::upstream::testing::target_at;

/// A server on a real port, until it is dropped.
struct Served {
    address: SocketAddr,
    drain: watch::Sender<bool>,
    running: Option<Running>,
}

fn serve<S: Serve>(make: impl Fn() -> S + Send + Sync + 'static) -> Served {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, settings(), &Metrics::new()).expect("a free port");
    let address = server.local_addr();
    let (drain, drains) = watch::channel(false);
    let running = server.start(move |_| make(), &drains).expect("a server");
    Served { address, drain, running: Some(running) }
}

fn redirect(https_port: u16, challenges: Challenges) -> Served {
    let settings = RedirectSettings { https_port, challenges };
    serve(move || Redirect::new(settings.clone()))
}

impl Served {
    /// Status, place and body of the answer to a request line, and header lines.
    fn heard(&self, head: &str) -> String {
        let mut client = TcpStream::connect(self.address).expect("a server");
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("sent");
        let mut heard = String::new();
        client.read_to_string(&mut heard).expect("an answer");
        let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
        let place = head.lines().find_map(|line| line.strip_prefix("location: "));
        let status = head.split(' ').nth(1).expect("a status");
        format!("{status} {}{body}", place.unwrap_or_default()).trim().to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.drain.send_replace(true);
        let running = self.running.take().expect("not dropped yet");
        let ended = running.join();
        assert!(std::thread::panicking() || ended.is_ok());
    }
}

#[test]
fn every_request_is_sent_to_the_same_place_by_https() {
    let served = redirect(443, Challenges::Redirected);
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: a.example", "301 https://a.example/"),
        ("HEAD /x HTTP/1.1\r\nHost: a.example", "301 https://a.example/x"),
        ("GET /x?y=1&z=%20 HTTP/1.1\r\nHost: a.example:80", "301 https://a.example/x?y=1&z=%20"),
        ("POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0", "308 https://a.example/x"),
        ("DELETE /x HTTP/1.1\r\nHost: [::1]:80", "308 https://[::1]/x"),
        ("GET http://a.example/x HTTP/1.1\r\nHost: a.example", "301 https://a.example/x"),
        (
            "GET //evil.example/x HTTP/1.1\r\nHost: a.example",
            "301 https://a.example//evil.example/x",
        ),
        (
            "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a.example",
            "301 https://a.example/.well-known/acme-challenge/token",
        ),
        ("GET / HTTP/1.1", "400"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example", "400"),
        ("GET / HTTP/1.1\r\nHost: a.example/evil", "400"),
        ("GET / HTTP/1.1\r\nHost: user@a.example", "400"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example", "400"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443", "501"),
    ] {
        assert_eq!(served.heard(head), expected, "{head}");
    }
    let other = redirect(8443, Challenges::Redirected);
    let head = "GET /x HTTP/1.1\r\nHost: a.example:8080";
    assert_eq!(other.heard(head), "301 https://a.example:8443/x");
}

#[test]
fn a_body_that_was_sent_in_the_clear_ends_the_connection_unread() {
    let served = redirect(443, Challenges::Redirected);
    let mut client = TcpStream::connect(served.address).expect("a server");
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n";
    client.write_all(head.as_bytes()).expect("sent");
    let mut heard = String::new();
    client.shutdown(std::net::Shutdown::Write).expect("shut down");
    client.read_to_string(&mut heard).expect("an answer, and an end");
    assert!(heard.starts_with("HTTP/1.1 308 ") && heard.contains("connection: close"), "{heard}");
}

const CHALLENGE: &str = "GET /.well-known/acme-challenge/";

#[test]
fn challenges_are_answered_from_the_files_of_a_folder_and_no_other_file_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().join("challenges");
    std::fs::create_dir(&below).expect("made");
    std::fs::create_dir(below.join("folder")).expect("made");
    std::fs::write(below.join("Token-_1"), "Token-_1.hash").expect("written");
    std::fs::write(folder.path().join("secret"), "secret").expect("written");
    let served = redirect(443, Challenges::Directory(below));
    for (path, expected) in [
        ("Token-_1", "200 Token-_1.hash"),
        ("Token-_1?x=1", "200 Token-_1.hash"),
        ("none", "404"),
        ("folder", "404"),
        // No tokens: these are nothing but paths, and are redirected.
        ("", "301 https://a.example/.well-known/acme-challenge/"),
        ("..", "301 https://a.example/.well-known/acme-challenge/.."),
        ("../secret", "301 https://a.example/.well-known/acme-challenge/../secret"),
        ("%2e%2e%2fsecret", "301 https://a.example/.well-known/acme-challenge/%2e%2e%2fsecret"),
        ("folder/x", "301 https://a.example/.well-known/acme-challenge/folder/x"),
    ] {
        let head = format!("{CHALLENGE}{path} HTTP/1.1\r\nHost: a.example");
        assert_eq!(served.heard(&head), expected, "{path}");
    }
    let long = "x".repeat(129);
    let head = format!("{CHALLENGE}{long} HTTP/1.1\r\nHost: a.example");
    assert!(served.heard(&head).starts_with("301 "), "no token is so long");
    let head = "POST /.well-known/acme-challenge/Token-_1 HTTP/1.1\r\nHost: a.example";
    assert_eq!(served.heard(head), "405");
}

/// An ACME client: it knows one token, and one that is no text of a sane length.
struct Acme;

impl Serve for Acme {
    type Body = Full<Bytes>;

    async fn serve(&self, request: Request<Incoming>, _: &Transport) -> Response<Full<Bytes>> {
        let head = format!("{} {}", request.method(), request.uri());
        match head.strip_prefix(CHALLENGE) {
            Some("known") => Response::new("known.hash".into()),
            Some("huge") => Response::new(vec![b'x'; 5_000].into()),
            _ => {
                let mut response = Response::new("a page with many words".into());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    fn refuse(&self, _: &RefusedHead, _: &Transport) -> Response<Full<Bytes>> {
        Response::default()
    }
}

#[test]
fn challenges_are_answered_by_an_acme_client_and_nothing_else_reaches_it() {
    let acme = serve(|| Acme);
    let target = target_at(&format!("http://{}", acme.address), |_| {});
    let served = redirect(443, Challenges::Forwarded(target));
    let heard =
        |token: &str| served.heard(&format!("{CHALLENGE}{token} HTTP/1.1\r\nHost: a.example"));
    assert_eq!(heard("known"), "200 known.hash");
    assert_eq!(heard("known?x=1"), "200 known.hash");
    assert_eq!(heard("unknown"), "404");
    assert_eq!(heard("huge"), "502");
    let head = "GET /known HTTP/1.1\r\nHost: a.example";
    assert_eq!(served.heard(head), "301 https://a.example/known");
    drop(acme);
    assert_eq!(heard("known"), "502");
}
