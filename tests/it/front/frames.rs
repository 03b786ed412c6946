//! Frames of HTTP/2, written and read by hand: what a library would never send.

use std::collections::VecDeque;

use super::Setup;
use super::client::Client;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&size[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The setting of how much of an answer a client takes before it says so.
pub fn window_of(size: u32) -> Vec<u8> {
    [&4_u16.to_be_bytes()[..], &size.to_be_bytes()].concat()
}

/// Header fields, each written out (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// With a prefix of seven bits (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, value: usize) {
    let Some(mut left) = value.checked_sub(127) else {
        block.push(u8::try_from(value).expect("short"));
        return;
    };
    block.push(127);
    while left >= 128 {
        block.push(u8::try_from(left % 128).expect("short") | 128);
        left /= 128;
    }
    block.push(u8::try_from(left).expect("short"));
}

/// A request for `path`.
pub fn get(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)]
}

/// The status that begins the head of an answer, as the gateway's library writes it.
pub fn status(block: &[u8]) -> String {
    match block {
        [0x20..0x40, rest @ ..] => status(rest),
        [0x88, ..] => "200".into(),
        [0x8c, ..] => "400".into(),
        [0x8d, ..] => "404".into(),
        [0x48, size, rest @ ..] if size & 0x80 != 0 => {
            let bits: u32 = rest.iter().take(4).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
            digits(bits << (8 * (4 - rest.len().min(4))))
        }
        [0x48, 3, rest @ ..] => String::from_utf8_lossy(&rest[..3]).into_owned(),
        other => panic!("another status: {other:x?}"),
    }
}

/// Three digits of the Huffman code of RFC 7541, appendix B.
fn digits(mut bits: u32) -> String {
    let mut text = String::new();
    for _ in 0..3 {
        let (digit, size) = match bits >> 27 {
            short @ 0..=2 => (short, 5),
            _ => ((bits >> 26) - 0b01_1001 + 3, 6),
        };
        text.push(char::from_digit(digit, 10).expect("a digit"));
        bits <<= size;
    }
    text
}

/// A client that speaks frames.
pub struct Framed {
    pub client: Client,
    seen: VecDeque<Frame>,
}

impl Framed {
    /// Opens a connection.
    pub fn open(setup: &Setup) -> Self {
        Self::over(setup.connect(), &[])
    }

    /// Opens HTTP/2 on a connection, with these settings.
    pub fn over(mut client: Client, settings: &[u8]) -> Self {
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(frame(SETTINGS, 0, 0, settings));
        Self { client, seen: VecDeque::new() }
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.client.send(frame(kind, flags, stream, payload));
    }

    /// A whole request without a body.
    pub fn request(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
    }

    /// The next frame; `None` when the gateway hangs up.
    pub fn next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.seen.pop_front() {
            return Some(frame);
        }
        let header = self.client.exactly(9)?;
        let [a, b, c, kind, _, s, t, u, v] = header[..] else { panic!("nine bytes") };
        let size = u32::from_be_bytes([0, a, b, c]);
        let payload = self.client.exactly(usize::try_from(size).expect("short"))?;
        Some(Frame { kind, stream: u32::from_be_bytes([s, t, u, v]), payload })
    }

    /// What comes of a stream: its status, `reset` and the code, `gone` and the code of a GOAWAY
    /// that ends the connection for an error, or `closed`.
    pub fn outcome(&mut self, stream: u32) -> String {
        while let Some(frame) = self.next() {
            match frame.kind {
                HEADERS if frame.stream == stream => return status(&frame.payload),
                RST_STREAM if frame.stream == stream => {
                    return format!("reset {}", code(&frame.payload));
                }
                GOAWAY if code(&frame.payload[4..]) != 0 => {
                    return format!("gone {}", code(&frame.payload[4..]));
                }
                _ => {}
            }
        }
        "closed".into()
    }

    /// Reads until the gateway hangs up; the codes of the GOAWAY frames on the way.
    pub fn end(&mut self) -> Vec<u32> {
        let mut codes = Vec::new();
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                codes.push(code(&frame.payload[4..]));
            }
        }
        codes
    }
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("four bytes"))
}
