//! A service that keeps every byte it gets, and answers each request with `ok`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the service has got.
#[derive(Debug, Clone)]
pub struct Seen {
    /// All bytes of one request.
    pub bytes: Vec<u8>,
    /// Whether its connection ended before it did.
    pub is_cut: bool,
}

/// A service.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&seen);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let keeps = Arc::clone(&keeps);
                thread::spawn(move || serve(stream.expect("a connection"), &keeps));
            }
        });
        Self { address, seen }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests it has got since the last time, each as [`Seen::check`] describes it. What broke
    /// off before its end is no request, and is looked at all the same.
    pub fn take(&self) -> Vec<String> {
        let seen = self.take_seen();
        let checked = seen.iter().map(|seen| (seen.check(), seen.is_cut));
        checked.filter(|(_, is_cut)| !is_cut).map(|(text, _)| text).collect()
    }

    /// The bytes of all that it has got since the last time.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("no panic"))
    }
}

impl Seen {
    /// Method, target and body, after a look at the bytes: whoever reads them must read the same.
    pub fn check(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let at = self.bytes.windows(4).position(|end| end == b"\r\n\r\n");
        let (head, body) = self.bytes.split_at(at.map_or(self.bytes.len(), |at| at + 4));
        let head = String::from_utf8_lossy(head).trim_end_matches("\r\n").to_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a request line");
        let names: Vec<String> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?} in {text:?}")).0)
            .map(str::to_ascii_lowercase)
            .collect();
        let count = |name: &str| names.iter().filter(|known| *known == name).count();
        assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{text:?}");
        assert_eq!(count("host"), 1, "{text:?}");
        let framings = count("content-length") + count("transfer-encoding");
        assert!(framings <= 1, "one framing: {text:?}");
        assert!(framings == 1 || body.is_empty(), "a body is framed: {text:?}");
        for name in ["upgrade", "http2-settings", "expect", "trailer"] {
            assert_eq!(count(name), 0, "{name} is the client's affair: {text:?}");
        }
        // That trailers are welcome is what the gateway says of itself, and of this connection.
        let connection = head.matches("\r\nconnection: te\r\n").count();
        assert_eq!(head.matches("\r\nte: trailers\r\n").count(), connection, "{text:?}");
        assert_eq!((count("connection"), count("te")), (connection, connection), "{text:?}");
        let is_token = |name: &String| name.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(names.iter().all(is_token), "{names:?}");
        assert!(!names.iter().any(|name| name.replace('_', "-") != *name && is_framing(name)));
        assert!(!text.to_ascii_lowercase().contains("evil"), "{text:?}");
        let words: Vec<_> = line.split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else { panic!("{line:?}") };
        let body = match count("transfer-encoding") {
            1 => decode(body).unwrap_or_default().0,
            _ => body.to_owned(),
        };
        let body = String::from_utf8_lossy(&body);
        format!("{method} {target} {body}").trim_end().to_owned()
    }
}

/// Whether a server that takes `_` for `-` would believe the field.
fn is_framing(name: &str) -> bool {
    ["content_length", "transfer_encoding", "content_type"].contains(&name)
}

fn serve(mut stream: TcpStream, keeps: &Mutex<Vec<Seen>>) {
    let mut read = Vec::new();
    let mut some = [0; 16 * 1024];
    loop {
        while let Some(size) = size_of(&read) {
            let bytes = read.drain(..size).collect();
            keeps.lock().expect("no panic").push(Seen { bytes, is_cut: false });
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
        match stream.read(&mut some) {
            Ok(count @ 1..) => read.extend_from_slice(&some[..count]),
            _ if read.is_empty() => return,
            _ => {
                keeps.lock().expect("no panic").push(Seen { bytes: read, is_cut: true });
                return;
            }
        }
    }
}

/// How many bytes the first request has, once it is whole. As lenient as the worst of servers: a
/// line feed ends a line, and a length counts more than a coding.
fn size_of(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
    let rest = &bytes[at..];
    let field = |name: &str| {
        let mut fields = head.split('\n').filter_map(|line| line.split_once(':'));
        let found = fields.find(|(known, _)| known.trim() == name);
        found.map(|(_, value)| value.trim().to_owned())
    };
    let length = field("content-length").and_then(|length| length.parse().ok());
    let size = match length {
        Some(length) => length,
        None if field("transfer-encoding").is_some() => decode(rest)?.1,
        None => 0,
    };
    (rest.len() >= size).then_some(at + size)
}

/// A chunked body's content and its size on the wire, once it is whole.
fn decode(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut rest = bytes;
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|end| end == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size and nothing else");
        rest = &rest[end + 2..];
        if size == 0 {
            let rest = rest.strip_prefix(b"\r\n")?;
            return Some((body, bytes.len() - rest.len()));
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
