//! Who calls: connections that each send a request as soon as they have the last one's answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::proxies::Proxy;

/// Calls a proxy for `length`; how many requests were answered with 200.
pub(super) async fn run(proxy: &Proxy, connections: u32, length: Duration) -> Result<u64> {
    let until = Instant::now() + length;
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        callers.spawn(call(proxy.address, proxy.request.clone(), until));
    }
    let mut served = 0;
    while let Some(caller) = callers.join_next().await {
        served += caller?.with_context(|| format!("a call to {}", proxy.name))?;
    }
    ensure!(served > 0, "{} served nothing", proxy.name);
    Ok(served)
}

async fn call(address: SocketAddr, request: String, until: Instant) -> Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut served = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
        served += 1;
    }
    Ok(served)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    let (mut filled, mut length) = (0, None);
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the connection was closed");
        filled += read;
        if length.is_none() {
            length = answer_length(&buffer[..filled])?;
        }
        if length.is_some_and(|length| filled >= length) {
            return Ok(());
        }
    }
}

/// The length of a whole answer, once its head is there.
fn answer_length(so_far: &[u8]) -> Result<Option<usize>> {
    let Some(end) = so_far.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&so_far[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("answered {}", head.lines().next().unwrap_or_default());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(end + 4 + length.context("an answer without a length")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_head_and_its_length_are_there() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(answer_length(whole).expect("200"), Some(whole.len()));
        assert_eq!(answer_length(&whole[..20]).expect("so far"), None);
        assert!(answer_length(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").is_err());
    }
}
