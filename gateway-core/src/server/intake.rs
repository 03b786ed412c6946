//! What a client sends, before the HTTP library reads it.
//!
//! An HTTP/1.1 head is given to the library whole and once the `guard` has found one reading of it;
//! most arrive in one piece and are passed on where they lie. In place of one that is refused the
//! library reads a request of our own, whose answer is the refusal: so it takes its turn behind
//! the answers to what came before, and the connection ends with it.
//!
//! Invariants
//! - What is held back is bounded: one head, and what was read along with its end.
//! - After a head that is refused, a body that is broken or an end, nothing passes any more.
//!
//! Not here: the frames of HTTP/2 (`frames`), time (`connection`).

use crate::body::BodyRefused;
use crate::guard::chunks::{Chunks, ChunksRefused};
use crate::guard::head::{BodyEnd, HeadLimits, HeadReader, HeadRefused};

/// How a client opens HTTP/2 (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Stands in for a refused head, and ends the connection. No client's `TRACE` gets so far.
const SUBSTITUTE: &[u8] = b"TRACE / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// The longest request line that is kept of a refused head, for its record.
const REQUEST_LINE_MAX: usize = 512;

/// A head that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedHead {
    /// Why.
    pub refused: HeadRefused,
    /// Its first line, as far as there is one; cut, and without its end.
    pub request_line: Vec<u8>,
}

/// The messages of one HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct Intake {
    limits: HeadLimits,
    at: At,
    /// Whether the first bytes may be HTTP/2's.
    may_be_http2: bool,
    /// What has been read and not passed on.
    held: Vec<u8>,
    /// How much of it may pass.
    released: usize,
    /// Heads that could pass so far.
    heads: u64,
}

/// Whose bytes come next.
#[derive(Debug)]
enum At {
    Head(HeadReader),
    Body(u64),
    Chunks(Chunks),
    /// Nobody's: a head was refused.
    Refused(RefusedHead),
    /// Nobody's: a body is broken.
    Broken(ChunksRefused),
    /// HTTP/2's.
    Preface,
}

impl Intake {
    pub(super) fn new(limits: HeadLimits, may_be_http2: bool) -> Self {
        let at = At::Head(HeadReader::default());
        Self { limits, at, may_be_http2, held: Vec::new(), released: 0, heads: 0 }
    }

    /// Takes what was just read. How much of it may pass as it lies there; the rest is held, or
    /// will never pass.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        if self.held.is_empty() {
            let passed = self.scan(bytes);
            self.held.extend_from_slice(bytes.get(passed..).unwrap_or_default());
            self.settle();
            return passed;
        }
        self.hold(bytes);
        0
    }

    /// Takes what was just read, and holds all of it: what may pass is released.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        self.released += self.scan(held.get(self.released..).unwrap_or_default());
        self.held = held;
        self.settle();
    }

    /// What can never pass is not held, and the substitute of a refused head passes in its place.
    fn settle(&mut self) {
        if self.is_over() {
            self.held.truncate(self.released);
        }
        if matches!(self.at, At::Refused(_)) {
            self.held.extend_from_slice(SUBSTITUTE);
            self.released = self.held.len();
        }
    }

    /// What may pass of what was held; [`Intake::passed`] says how much of it did.
    pub(super) fn released(&self) -> &[u8] {
        self.held.get(..self.released).unwrap_or_default()
    }

    /// So much of what was released has been passed on.
    pub(super) fn passed(&mut self, size: usize) {
        self.held.drain(..size.min(self.released));
        self.released = self.released.saturating_sub(size);
        if self.held.is_empty() {
            // An idle connection keeps nothing.
            self.held = Vec::new();
        }
    }

    /// Why the body under way cannot be read on.
    pub(super) fn broken(&self) -> Option<BodyRefused> {
        match self.at {
            At::Broken(refused) => Some(BodyRefused::new(refused)),
            _ => None,
        }
    }

    /// The head that was refused.
    pub(super) const fn refused(&self) -> Option<&RefusedHead> {
        match &self.at {
            At::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// How many requests could pass so far.
    pub(super) const fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether nothing that comes will be passed on.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.at, At::Refused(_) | At::Broken(_))
    }

    /// Whether the client speaks HTTP/2. What it has said of it is held.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.at, At::Preface)
    }

    /// Whether anything is held.
    pub(super) const fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Everything that is held, whoever may read it.
    pub(super) fn into_held(self) -> Vec<u8> {
        self.held
    }

    /// Whether part of a head is here.
    pub(super) const fn is_inside_head(&self) -> bool {
        matches!(&self.at, At::Head(head) if head.has_begun())
    }

    /// Whether a request is still being sent.
    pub(super) const fn is_inside_message(&self) -> bool {
        !matches!(&self.at, At::Head(head) if !head.has_begun())
    }

    /// Gives up on the head that is arriving.
    pub(super) fn give_up(&mut self) {
        let begun = self.held.get(self.released..).unwrap_or_default();
        self.at = At::Refused(RefusedHead::new(HeadRefused::TooSlow, begun));
        self.settle();
    }

    /// How many of `bytes` may pass; they begin where the last ones ended.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        if self.may_be_http2 && self.is_preface(bytes) {
            return 0;
        }
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            let is_head = matches!(self.at, At::Head(_));
            match self.scan_next(rest) {
                0 => break,
                size => passed += size,
            }
            self.heads += u64::from(is_head);
        }
        passed
    }

    /// The same up to the next end of a head or a body. 0 when nothing more may pass.
    fn scan_next(&mut self, rest: &[u8]) -> usize {
        let (size, next) = match &mut self.at {
            At::Head(head) => match head.read(rest, &self.limits) {
                Ok(Some((size, BodyEnd::Length(0)))) => (size, At::Head(HeadReader::default())),
                Ok(Some((size, BodyEnd::Length(length)))) => (size, At::Body(length)),
                Ok(Some((size, BodyEnd::Chunked))) => (size, At::Chunks(Chunks::default())),
                Ok(None) => return 0,
                Err(refused) => {
                    self.at = At::Refused(RefusedHead::new(refused, rest));
                    return 0;
                }
            },
            At::Body(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                if *left > 0 {
                    return here;
                }
                (here, At::Head(HeadReader::default()))
            }
            At::Chunks(chunks) => match chunks.pass(rest) {
                Ok((size, false)) => return size,
                Ok((size, true)) => (size, At::Head(HeadReader::default())),
                Err(refused) => {
                    self.at = At::Broken(refused);
                    return 0;
                }
            },
            At::Refused(_) | At::Broken(_) | At::Preface => return 0,
        };
        self.at = next;
        size
    }

    /// Whether these first bytes are, or may become, HTTP/2's. Too few are held like a head's.
    fn is_preface(&mut self, bytes: &[u8]) -> bool {
        if bytes.starts_with(PREFACE) {
            self.at = At::Preface;
            return true;
        }
        let may_become = PREFACE.starts_with(bytes);
        self.may_be_http2 = may_become;
        may_become
    }
}

impl RefusedHead {
    /// `head` is as much of it as has arrived.
    fn new(refused: HeadRefused, head: &[u8]) -> Self {
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let request_line = line.get(..REQUEST_LINE_MAX).unwrap_or(line).to_vec();
        Self { refused, request_line }
    }
}

#[cfg(test)]
mod tests;
