//! The record: what is written down about each request, as one JSON line.
//!
//! The schema is a contract (docs/access-log.md): the first ten fields are the ones people know,
//! in this order; new fields are added at the end, none is renamed. A record never holds a query,
//! a header value or a body.
//!
//! Not here: where lines go (`observability::access_log`), who fills the fields in (`pipeline`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::body::ByteCount;
use crate::clock::Timestamp;
use crate::exchange::RequestId;
use crate::json_object::ObjectWriter;
use crate::principal::IdentityText;

/// What a cache had to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheOutcome {
    /// Served from the cache.
    Hit,
    /// Looked up, not there.
    Miss,
    /// Served past its freshness lifetime.
    Stale,
    /// Confirmed by the service.
    Revalidated,
    /// The request went around the cache.
    Bypass,
    /// The route has no cache.
    #[default]
    None,
}

impl CacheOutcome {
    /// The word in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Stale => "STALE",
            Self::Revalidated => "REVALIDATED",
            Self::Bypass => "BYPASS",
            Self::None => "NONE",
        }
    }
}

/// How often services were asked for one request, counted as each attempt begins: whoever leaves
/// before there is an answer, what was sent by then is known.
#[derive(Debug, Default)]
pub struct Attempts(AtomicU32);

impl Attempts {
    /// Counts attempts that have begun.
    pub fn add(&self, count: u32) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes one back that was none: there was no room for it after all.
    pub fn take_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many they are.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for Attempts {
    fn clone(&self) -> Self {
        Self(self.get().into())
    }
}

/// One line of the access log, as it is filled in.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request's public name.
    pub request_id: RequestId,
    /// When the request's head had arrived.
    pub timestamp: Timestamp,
    /// The method.
    pub method: http::Method,
    /// The normalised path without the query; as sent, cut to 256 bytes, when it was refused.
    pub path: Box<str>,
    /// Who asked.
    pub user_id: Option<IdentityText>,
    /// Their tier.
    pub consumer_tier: Option<IdentityText>,
    /// The services that were called, comma-separated; the gateway's own endpoints: none.
    pub upstream_service: Option<Arc<str>>,
    /// The answer's status.
    pub status: u16,
    /// From the head of the request to the end of the answer.
    pub latency: Duration,
    /// What the cache had to do with it.
    pub cache: CacheOutcome,
    /// The gateway's name.
    pub gateway: Arc<str>,
    /// The matched route's name.
    pub route: Option<Arc<str>>,
    /// Time that was spent waiting for services: the critical path of the calls.
    pub upstream: Duration,
    /// Calls to services, retries included.
    pub attempts: Attempts,
    /// More of them, of an aggregate's parts or an endpoint, which may outlive the request.
    pub more_attempts: Option<Arc<Attempts>>,
    /// Body bytes from the client.
    pub bytes_in: ByteCount,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// The W3C trace id, 32 hex digits.
    pub trace_id: Option<Box<str>>,
    /// The weighted share of an aggregate that was delivered, 0 to 1.
    pub completeness: Option<f64>,
    /// Why the request was refused: the problem's code; or why its answer broke off.
    pub code: Option<&'static str>,
    /// What is known only when the answer's body has ended.
    pub late: Option<Arc<OnceLock<LateFacts>>>,
}

/// What is known of an answer that is sent piece by piece only when its last piece is there.
#[derive(Debug, Clone, Default)]
pub struct LateFacts {
    /// As in [`Record`].
    pub upstream_service: Option<Arc<str>>,
    /// As in [`Record`].
    pub upstream: Duration,
    /// As in [`Record`].
    pub cache: CacheOutcome,
    /// As in [`Record`].
    pub completeness: Option<f64>,
    /// As in [`Record`].
    pub code: Option<&'static str>,
}

impl Record {
    /// The record of a request that has just arrived.
    #[must_use]
    pub fn open(request_id: RequestId, timestamp: Timestamp, gateway: Arc<str>) -> Self {
        Self {
            request_id,
            timestamp,
            method: http::Method::GET,
            path: Box::default(),
            user_id: None,
            consumer_tier: None,
            upstream_service: None,
            status: 0,
            latency: Duration::ZERO,
            cache: CacheOutcome::None,
            gateway,
            route: None,
            upstream: Duration::ZERO,
            attempts: Attempts::default(),
            more_attempts: None,
            bytes_in: ByteCount::default(),
            bytes_out: 0,
            trace_id: None,
            completeness: None,
            code: None,
            late: None,
        }
    }

    /// Takes in what has become known while the answer was sent.
    pub fn settle(&mut self) {
        let Some(late) = self.late.take() else { return };
        let Some(facts) = late.get().cloned() else { return };
        self.upstream_service = facts.upstream_service;
        self.upstream = facts.upstream;
        self.cache = facts.cache;
        self.completeness = facts.completeness;
        self.code = self.code.or(facts.code);
    }

    /// The record as it is, leaving an empty one of the same request.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self::open(self.request_id, self.timestamp, Arc::clone(&self.gateway));
        std::mem::replace(self, empty)
    }

    /// The gateway's own share of the latency.
    #[must_use]
    pub const fn overhead(&self) -> Duration {
        self.latency.saturating_sub(self.upstream)
    }

    /// How often services were asked, by now.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        let more = self.more_attempts.as_ref().map_or(0, |more| more.get());
        self.attempts.get() + more
    }

    /// Appends the line, with its line break, to `out`.
    pub fn write_json_line(&self, out: &mut Vec<u8>) {
        let mut line = ObjectWriter::begin(out);
        line.text("request_id", self.request_id.as_str());
        line.text("timestamp", self.timestamp.to_text().as_str());
        line.text("method", self.method.as_str());
        line.text("path", &self.path);
        line.optional_text("user_id", self.user_id.as_ref().map(IdentityText::as_str));
        line.optional_text("consumer_tier", self.consumer_tier.as_ref().map(IdentityText::as_str));
        line.optional_text("upstream_service", self.upstream_service.as_deref());
        line.number("status", self.status.into());
        line.number("latency_ms", whole_millis(self.latency));
        line.text("cache", self.cache.as_str());
        line.text("gateway", &self.gateway);
        line.optional_text("route", self.route.as_deref());
        line.thousandths("upstream_ms", micros_written(self.upstream));
        line.thousandths("overhead_ms", micros_written(self.overhead()));
        line.number("attempts", self.attempts().into());
        line.number("bytes_in", self.bytes_in.get());
        line.number("bytes_out", self.bytes_out);
        line.optional_text("trace_id", self.trace_id.as_deref());
        match self.completeness {
            Some(1.0) => line.raw("completeness", b"1.0"),
            Some(share) => {
                line.raw("completeness", serde_json::json!(share).to_string().as_bytes())
            }
            None => line.raw("completeness", b"null"),
        }
        line.optional_text("code", self.code);
        line.end();
        out.push(b'\n');
    }
}

/// Rounded to the nearest, so that 0.6 ms does not read as nothing.
fn whole_millis(length: Duration) -> u64 {
    u64::try_from((length.as_micros() + 500) / 1_000).unwrap_or(u64::MAX)
}

/// What is longer than an hour is written as one: no request takes so long in any way that matters.
fn micros_written(length: Duration) -> u64 {
    u32::try_from(length.as_micros()).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let request_id = RequestId::parse("req_01JDEXAMPLE000000000000000").expect("well-formed");
        let timestamp = Timestamp::from_unix_seconds(1_700_000_000);
        Record {
            method: http::Method::GET,
            path: "/links/x7Kp2".into(),
            user_id: IdentityText::parse("4821").ok(),
            consumer_tier: IdentityText::parse("pro").ok(),
            upstream_service: Some("link-service".into()),
            status: 200,
            latency: Duration::from_micros(12_345),
            route: Some("links-get".into()),
            upstream: Duration::from_micros(11_100),
            attempts: Attempts(1.into()),
            bytes_out: 181,
            ..Record::open(request_id, timestamp, "mobile-bff".into())
        }
    }

    #[test]
    fn a_record_is_one_line_of_json_with_the_published_fields_in_their_order() {
        let mut out = Vec::new();
        record().write_json_line(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            concat!(
                r#"{"request_id":"req_01JDEXAMPLE000000000000000","#,
                r#""timestamp":"2023-11-14T22:13:20.000Z","method":"GET","path":"/links/x7Kp2","#,
                r#""user_id":"4821","consumer_tier":"pro","upstream_service":"link-service","#,
                r#""status":200,"latency_ms":12,"cache":"NONE","gateway":"mobile-bff","#,
                r#""route":"links-get","upstream_ms":11.1,"overhead_ms":1.245,"attempts":1,"#,
                r#""bytes_in":0,"bytes_out":181,"trace_id":null,"completeness":null,"code":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn no_path_can_break_a_line_in_two() {
        let mut out = Vec::new();
        let path = "/a\n{\"forged\":true}\u{2028}\"".into();
        Record { path, ..record() }.write_json_line(&mut out);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(line["path"], "/a\n{\"forged\":true}\u{2028}\"");
    }
}
