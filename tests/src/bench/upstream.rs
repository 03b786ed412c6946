//! The services behind the proxies: JSON for every request, with as little work as can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::parts::{self, Part};

/// The path whose answer is the head that has arrived, to see what a proxy has made of it.
pub(super) const SEEN: &str = "/links/seen";
/// The same as JSON: `{"head":…}`.
pub(super) const SEEN_AS_JSON: &str = "/seen";
/// The path whose answer waits, and says how long it has: `{"waited_us":…}`.
pub(super) const SLOW: &str = "/slow";
/// Timers tick at a millisecond: this is over at the fifth tick after the call.
const SLOW_WAITS: Duration = Duration::from_micros(4_200);

/// Starts answering on a free port.
pub(super) async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let answers = Arc::new(Answers::new());
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&answers)));
        }
    });
    Ok(address)
}

/// Answers that are always the same.
#[derive(Debug)]
struct Answers {
    link: Vec<u8>,
    parts: [Vec<u8>; 5],
}

impl Answers {
    fn new() -> Self {
        let part = |part: Part| answer("application/json", part.json().as_bytes());
        Self { link: link(), parts: parts::ALL.map(part) }
    }

    /// What is sent for a path: a part by its name, a link for any other.
    fn of(&self, path: &str) -> &[u8] {
        let part = parts::ALL.iter().position(|part| path.strip_prefix('/') == Some(part.name));
        part.and_then(|index| self.parts.get(index)).unwrap_or(&self.link)
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        // Requests have no body here: a head is a request.
        let head = &buffer[..filled];
        if head.ends_with(b"\r\n\r\n") {
            match path(head) {
                SEEN => stream.write_all(&answer("text/plain", head)).await?,
                SEEN_AS_JSON => stream.write_all(&seen(head)).await?,
                SLOW => stream.write_all(&waited().await).await?,
                path => stream.write_all(answers.of(path)).await?,
            }
            filled = 0;
        }
    }
}

/// The path of a GET.
fn path(head: &[u8]) -> &str {
    let path = head.strip_prefix(b"GET ").and_then(|rest| rest.split(|&byte| byte == b' ').next());
    path.and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default()
}

fn seen(head: &[u8]) -> Vec<u8> {
    let seen = json!({ "head": String::from_utf8_lossy(head) });
    answer("application/json", seen.to_string().as_bytes())
}

/// The wait is measured and told, for a timer is not exact.
async fn waited() -> Vec<u8> {
    let started = Instant::now();
    tokio::time::sleep(SLOW_WAITS).await;
    let waited_us = started.elapsed().as_micros();
    answer("application/json", format!("{{\"waited_us\":{waited_us}}}").as_bytes())
}

/// A link of the sample platform, filled up to 1 KiB.
fn link() -> Vec<u8> {
    let start = r#"{"id":"x7Kp2","owner_id":"4821","target_url":"https://example.com/","note":""#;
    let body = format!("{start}{}\"}}", "x".repeat(1_024 - start.len() - 2));
    answer("application/json", body.as_bytes())
}

fn answer(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_requests_and_nothing_that_a_header_says() {
        assert_eq!(path(b"GET /links/seen HTTP/1.1\r\n"), SEEN);
        assert_eq!(
            path(b"GET /links/x7Kp2 HTTP/1.1\r\nReferer: /links/seen\r\n\r\n"),
            "/links/x7Kp2"
        );
    }

    #[test]
    fn a_part_is_answered_under_its_name_and_a_link_everywhere_else() {
        let answers = Answers::new();
        let body = |path: &str| {
            let answer = String::from_utf8(answers.of(path).to_vec()).expect("UTF-8");
            answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
        };
        assert_eq!(body("/usage"), parts::ALL[3].json());
        for path in ["/links/x7Kp2", "/"] {
            assert_eq!(body(path).len(), 1_024, "{path}");
            serde_json::from_str::<serde_json::Value>(&body(path)).expect("JSON");
        }
    }
}
