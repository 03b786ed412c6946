//! A client that sends bytes and reads answers, and knows no rules.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long a test waits for what must come. Nothing here waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: &str) -> Self {
        Self::of(TcpStream::connect(address).expect("connected"))
    }

    /// One for whom the network holds little, so that it soon says when nothing is read.
    pub async fn connect_narrow(address: &str) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("a socket");
        let connected = socket.connect(address.parse().expect("an address")).await;
        let stream = connected.and_then(tokio::net::TcpStream::into_std).expect("connected");
        stream.set_nonblocking(false).expect("a socket");
        Self::of(stream)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, read: Vec::new() }
    }

    /// Sends bytes; who has hung up does not hear them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends the same again and again, and reads nothing, until the gateway hangs up; says how many
    /// bytes went.
    pub fn flood(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        loop {
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the gateway hangs after {sent} bytes")
                }
                Err(_) => return sent,
            }
        }
    }

    /// The next answer; `None` when the gateway hangs up instead.
    pub fn answer(&mut self, is_to_head: bool) -> Option<Answer> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).expect("ASCII");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.expect("a status line");
        let length = field(&head, "content-length").map(|length| length.parse().expect("a number"));
        let has_body = !is_to_head && status >= 200 && !matches!(status, 204 | 304);
        let body = match length {
            _ if !has_body => Vec::new(),
            Some(length) => self.exactly(length)?,
            None => panic!("an answer of this suite says its length: {head}"),
        };
        Some(Answer { status, head, body })
    }

    /// So many bytes.
    pub fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            self.more()?;
        }
        Some(self.read.drain(..count).collect())
    }

    /// Whether nothing more comes.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more().is_none()
    }

    /// Sends nothing more.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// All that comes until the gateway hangs up.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more().is_some() {}
        std::mem::take(&mut self.read)
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|found| found == end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(0) => None,
            Ok(count) => {
                self.read.extend_from_slice(&some[..count]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the gateway hangs; so far: {:?}", String::from_utf8_lossy(&self.read))
            }
            Err(_) => None,
        }
    }
}

/// A field of a head; names are in any case.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
