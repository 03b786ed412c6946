//! An exchange: one request and what the pipeline has found out about it so far.
//!
//! The pipeline's steps pass one [`Exchange`] along; policies see only the parts they need.
//!
//! Not here: how each field is decided (the policies), the order of the steps (`pipeline`).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use rand::RngExt as _;

use crate::certificate::ClientCertificate;
use crate::clock::{Moment, Timestamp};
use crate::principal::Principal;
use crate::record::Record;
use crate::store::{KeyDigest, SessionDigest};
use crate::trace_context::{OpenSpan, TraceContext};

/// One request on its way through the pipeline.
#[derive(Debug)]
pub struct Exchange {
    /// The request's public name.
    pub request_id: RequestId,
    /// The head as the client sent it. What of it services may see is decided where they are
    /// called.
    pub head: Parts,
    /// The normalised path: matching, limits and upstream all use this one.
    pub path: Box<str>,
    /// The client's address: the peer's, or what listed proxies say.
    pub client: IpAddr,
    /// When the request's head had arrived.
    pub started: Moment,
    /// When the answer is due.
    pub deadline: Moment,
    /// The matched route: an index into the site's routes.
    pub route: Option<usize>,
    /// The path's parameters, decoded, in the order of the route's pattern.
    pub params: Vec<Box<str>>,
    /// Who asks; `None` until identified and for anonymous callers.
    pub principal: Option<Arc<Principal>>,
    /// What they were recognised by.
    pub credential: Credential,
    /// The trace this request belongs to.
    pub trace: TraceContext,
    /// The request's span, where the trace is recorded.
    pub span: OpenSpan,
    /// Whether the client's own connection is HTTPS.
    pub is_https: bool,
    /// What the client has shown of itself, where TLS asked for it.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// Whether the body may be longer than what is read of a request that is refused.
    pub may_have_unread_body: bool,
    /// The steps taken, in order.
    pub steps: Steps,
    /// Header fields that the steps so far want on the answer, whatever it will be.
    pub answer_headers: Vec<(HeaderName, HeaderValue)>,
    /// What will be written down about it.
    pub record: Record,
}

/// What a principal was recognised by: enough to ask later whether it still holds, and nothing that
/// anybody could come in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Credential {
    /// Nobody was.
    #[default]
    None,
    /// A session.
    Session(SessionDigest),
    /// A token, which ends by itself.
    Token,
    /// An API key.
    Key(KeyDigest),
    /// A client certificate, which ends by itself.
    Certificate,
}

/// A step of the pipeline, numbered as in ARCHITECTURE.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// 2: the record is opened.
    Open = 2,
    /// 3: size, path, spoofable headers.
    Guard,
    /// 4: which route.
    Match,
    /// 5: limits of the address.
    LimitAddress,
    /// 6: who asks, cross-site forgery included.
    Identify,
    /// 7: may they.
    Authorize,
    /// 8: limits of the consumer.
    LimitConsumer,
    /// 9: the request as the service wants it.
    TransformRequest,
    /// 11: the service, the aggregate or the gateway's own endpoint.
    Call = 11,
    /// 12: the answer as the client wants it.
    TransformResponse,
    /// 13: the answer's head.
    Respond,
}

/// The steps a request took: a few bytes, kept for every request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    taken: u32,
    is_disordered: bool,
}

impl Steps {
    /// Notes a step. Steps stand in one order only; a step out of order is noted as such.
    pub fn take(&mut self, step: Step) {
        let bit = 1_u32 << (step as u32);
        self.is_disordered |= self.taken >= bit;
        self.taken |= bit;
    }

    /// The numbers of the steps taken, in order; `None` when one was taken out of order.
    #[must_use]
    pub fn numbers(self) -> Option<Vec<u32>> {
        let numbers = (0..u32::BITS).filter(|place| self.taken & (1 << place) != 0);
        (!self.is_disordered).then(|| numbers.collect())
    }
}

/// `req_` and 26 characters of Crockford's base 32: a ULID, so ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 30]);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RequestId {
    /// A new id, of this time.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        let random: u128 = rand::rng().random();
        let ulid = (u128::from(now.unix_millis()) << 80) | (random >> 48);
        let mut text = *b"req_00000000000000000000000000";
        for (place, byte) in text.iter_mut().skip(4).enumerate() {
            let shift = 125 - 5 * place;
            let digit = usize::try_from((ulid >> shift) & 31).unwrap_or(0);
            *byte = CROCKFORD.get(digit).copied().unwrap_or(b'0');
        }
        Self(text)
    }

    /// Reads an id; `None` when it is not exactly `req_` and 26 digits and capital letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 30] = text.as_bytes().try_into().ok()?;
        let digits = bytes.strip_prefix(b"req_")?;
        let is_digit = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        digits.iter().all(is_digit).then_some(Self(bytes))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text as a header value.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_sort_by_time_and_read_back() {
        let early = RequestId::generate(Timestamp::from_unix_seconds(1_700_000_000));
        let late = RequestId::generate(Timestamp::from_unix_seconds(1_700_000_001));
        assert!(early.as_str() < late.as_str());
        assert!(early.as_str().starts_with("req_01HF7YAT00"), "{early}");
        assert_eq!(RequestId::parse(early.as_str()), Some(early));
    }

    #[test]
    fn a_text_of_another_shape_is_no_request_id() {
        for bad in [
            "",
            "req_",
            "req_01JDEXAMPLE00000000000000",
            "req_01JDEXAMPLE00000000000000u",
            "abc_01JDEXAMPLE000000000000000",
            "req_01JDEXAMPLE0000000000000\r\n",
        ] {
            assert_eq!(RequestId::parse(bad), None, "{bad:?}");
        }
    }
}
