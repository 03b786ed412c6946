//! Bodies of 1 GiB, both ways: what of them the gateway holds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::memory::{self, mib};
use crate::bench::cpu;
use crate::bench::gateway::Gateway;
use crate::bench::report::Section;

const SIZE: usize = 1 << 30;
const PIECE: usize = 64 * 1024;

/// A service that gives and takes so much.
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

pub(super) fn configuration(service: SocketAddr) -> String {
    format!(
        "[services.large]\nurl = \"http://{service}\"\nresponse_timeout = \"5m\"\n\
         [routes.give]\nmatch = \"GET /give\"\nservice = \"large\"\n\
         [routes.take]\nmatch = \"POST /take\"\nservice = \"large\"\nbody_size_max = \"2GiB\"\ndeadline = \"5m\"\n"
    )
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::with_capacity(PIECE, stream);
    while let Some(head) = head(&mut stream).await? {
        skip(&mut stream, length(&head).unwrap_or_default()).await?;
        if head.starts_with("GET ") {
            give(stream.get_mut(), "HTTP/1.1 200 OK").await?;
        } else {
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        }
    }
    Ok(())
}

/// A message that begins with that line, with a body.
async fn give(stream: &mut TcpStream, line: &str) -> Result<()> {
    let head = format!(
        "{line}\r\nContent-Type: application/octet-stream\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let piece = vec![b'x'; PIECE];
    for _ in 0..SIZE / PIECE {
        stream.write_all(&piece).await?;
    }
    Ok(())
}

/// A message's head; `None` at the end of the connection.
async fn head(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn length(head: &str) -> Option<usize> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}

async fn skip(stream: &mut BufReader<TcpStream>, length: usize) -> Result<()> {
    let mut body = stream.take(u64::try_from(length)?);
    let taken = tokio::io::copy_buf(&mut body, &mut tokio::io::sink()).await?;
    ensure!(taken == u64::try_from(length)?, "the body ended after {taken} bytes");
    Ok(())
}

pub(super) async fn section(gateway: &Gateway, process: u32, token: &str) -> Result<Section> {
    let mut rows = String::new();
    let mut figures = serde_json::Map::new();
    for (name, line) in [("download", "GET /give HTTP/1.1"), ("upload", "POST /take HTTP/1.1")] {
        let line = format!("{line}\r\nHost: localhost\r\nAuthorization: Bearer {token}");
        memory::forget_most(process)?;
        let before = (memory::of_process(process)?, cpu::of_process(process)?, Instant::now());
        pass(gateway.address, &line).await.with_context(|| name.to_owned())?;
        let grown = memory::of_process(process)?.most_kib.saturating_sub(before.0.now_kib);
        let (spent, took) =
            (cpu::of_process(process)?.saturating_sub(before.1), before.2.elapsed());
        let figure = json!({ "grown_mib": mib(grown), "cpu_s": spent.as_secs_f64() });
        figures.insert(name.to_owned(), figure);
        rows += &row(name, mib(grown), spent, took);
    }
    let text = format!(
        "A body of 1 GiB:\n\n| | memory grown by, MiB | CPU s | took s |\n|---|---|---|---|\n{rows}"
    );
    Ok(Section { key: "large_bodies".to_owned(), text, figures: figures.into() })
}

fn row(name: &str, grown: f64, spent: Duration, took: Duration) -> String {
    let (spent, took) = (spent.as_secs_f64(), took.as_secs_f64());
    format!("| {name} | {grown:.1} | {spent:.2} | {took:.2} |\n")
}

/// One message through the gateway, its answer read to the end.
async fn pass(gateway: SocketAddr, line: &str) -> Result<()> {
    let mut stream = TcpStream::connect(gateway).await?;
    if line.starts_with("POST ") {
        give(&mut stream, line).await?;
    } else {
        stream.write_all(format!("{line}\r\n\r\n").as_bytes()).await?;
    }
    let mut stream = BufReader::with_capacity(PIECE, stream);
    let head = head(&mut stream).await?.context("the connection was closed")?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "answered {}",
        head.lines().next().unwrap_or_default()
    );
    skip(&mut stream, length(&head).unwrap_or_default()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_the_heads_whatever_the_case() {
        assert_eq!(length("GET / HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\n"), Some(5));
        assert_eq!(length("GET / HTTP/1.1\r\n\r\n"), None);
    }
}
