//! How soon the first part of an answer is there, when its parts are sent as they land.
//!
//! One caller asks again and again for the answer with the slow part, line by line: the time from
//! sending the request to having the first line, and to having the last.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::delay::percentile;
use crate::bench::proxies::Proxy;
use crate::bench::report::Section;
use crate::bench::rounds::Pace;

/// Asks for `length` and says how long the first and the last line took.
pub(super) async fn section(pace: Pace, peer: &mut Proxy) -> Result<Section> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let until = Instant::now() + pace.length.min(Duration::from_secs(5));
    while Instant::now() < until {
        let (first_line, last_line) = ask(peer.address, &peer.request).await?;
        peer.served += 1;
        first.push(i64::try_from(first_line.as_micros())?);
        last.push(i64::try_from(last_line.as_micros())?);
    }
    first.sort_unstable();
    last.sort_unstable();
    let row = |name: &str, sorted: &[i64]| {
        format!("| {name} | {} | {} |\n", percentile(sorted, 50), percentile(sorted, 99))
    };
    let mut text = String::from(
        "Progressive delivery of five parts, of which one waits about 5 ms, over a new connection:\n\n\
         | from the request to | p50 µs | p99 µs |\n|---|---|---|\n",
    );
    text += &row("the first part", &first);
    text += &row("the report, which is the last line", &last);
    let figures = json!({
        "first_p50_us": percentile(&first, 50), "first_p99_us": percentile(&first, 99),
        "last_p50_us": percentile(&last, 50), "last_p99_us": percentile(&last, 99),
    });
    Ok(Section { key: "aggregate_first_frame".to_owned(), text, figures })
}

/// Times of the first and of the last line.
async fn ask(address: SocketAddr, request: &str) -> Result<(Duration, Duration)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let sent = Instant::now();
    stream.write_all(request.as_bytes()).await?;
    let (mut seen, mut first) = (Vec::new(), None);
    loop {
        let read = stream.read_buf(&mut seen).await?;
        ensure!(read > 0, "the connection was closed after {} bytes", seen.len());
        let body = seen.windows(4).position(|window| window == b"\r\n\r\n").map(|end| &seen[end..]);
        let has = |text: &[u8]| {
            body.is_some_and(|body| body.windows(text.len()).any(|window| window == text))
        };
        if first.is_none() && has(b"\"part\":") {
            first = Some(sent.elapsed());
        }
        if let (Some(first), true) = (first, has(b"{\"report\":")) {
            return Ok((first, sent.elapsed()));
        }
    }
}
