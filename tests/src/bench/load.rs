//! Who calls: connections that each send a request as soon as they have the last one's answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::proxies::Proxy;

/// The longest answer, head and body.
const ANSWER_SIZE_MAX: usize = 64 * 1024;

/// Calls a proxy for `length`; how many requests were answered with 200.
pub(super) async fn run(proxy: &mut Proxy, connections: u32, length: Duration) -> Result<u64> {
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
    proxy.served += served;
    Ok(served)
}

async fn call(address: SocketAddr, request: String, until: Instant) -> Result<u64> {
    let mut connection = Connection::open(address).await?;
    let mut served = 0;
    while Instant::now() < until {
        connection.ask(&request).await?;
        served += 1;
    }
    Ok(served)
}

/// One kept connection of a caller.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; ANSWER_SIZE_MAX] })
    }

    /// Sends a request and waits for the whole answer, whose body this is; fails when it is not
    /// 200.
    pub(super) async fn ask(&mut self, request: &str) -> Result<&[u8]> {
        self.stream.write_all(request.as_bytes()).await?;
        let (mut filled, mut ends) = (0, None);
        loop {
            ensure!(filled < self.buffer.len(), "an answer longer than {ANSWER_SIZE_MAX} bytes");
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the connection was closed");
            filled += read;
            if ends.is_none() {
                ends = ends_of_answer(&self.buffer[..filled])?;
            }
            if let Some((head, whole)) = ends.filter(|(_, whole)| filled >= *whole) {
                return Ok(&self.buffer[head..whole]);
            }
        }
    }
}

/// Where the head and where the whole answer ends, once the head is there.
fn ends_of_answer(so_far: &[u8]) -> Result<Option<(usize, usize)>> {
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
    Ok(Some((end + 4, end + 4 + length.context("an answer without a length")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_head_and_its_length_are_there() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        let ends = Some((whole.len() - 3, whole.len()));
        assert_eq!(ends_of_answer(whole).expect("200"), ends);
        assert_eq!(ends_of_answer(&whole[..20]).expect("so far"), None);
        assert!(ends_of_answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").is_err());
    }
}
