//! The service behind the proxies: 1 KiB of JSON for every request, with as little work as can be.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The path whose answer is the head that has arrived, to see what a proxy has made of it.
pub(super) const SEEN: &str = "/links/seen";

/// Starts answering on a free port.
pub(super) async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let link = link();
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
            if is_for_seen(head) {
                stream.write_all(&answer("text/plain", head)).await?;
            } else {
                stream.write_all(&link).await?;
            }
            filled = 0;
        }
    }
}

fn is_for_seen(head: &[u8]) -> bool {
    let target = head.strip_prefix(b"GET ");
    target.is_some_and(|target| target.starts_with(SEEN.as_bytes()))
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
    fn the_head_that_arrived_is_shown_on_one_path_only() {
        assert!(is_for_seen(b"GET /links/seen HTTP/1.1\r\n\r\n"));
        assert!(!is_for_seen(b"GET /links/x7Kp2 HTTP/1.1\r\nReferer: /links/seen\r\n\r\n"));
    }

    #[test]
    fn the_body_is_one_kibibyte_of_json() {
        let answer = String::from_utf8(link()).expect("UTF-8");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body.len(), 1_024);
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }
}
