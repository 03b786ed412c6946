//! The labels of the families: what tells their members apart.
//!
//! Not here: the families themselves (`metric`).

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// A text label that is cloned without copying.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label(pub Arc<str>);

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Labels of a served request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteStatus {
    /// The route's name; `none` where nothing matched.
    pub http_route: Label,
    /// The answer's status.
    pub http_response_status_code: u16,
}

/// Labels of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalCode {
    /// The problem's code.
    pub code: &'static str,
}

/// Labels of a call to a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceOutcome {
    /// The service's name.
    pub service: Label,
    /// `1xx` … `5xx`, or the code of what went wrong.
    pub outcome: &'static str,
}

/// Labels of something that has happened to a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetEvent {
    /// The service's name.
    pub service: Label,
    /// Its address, or host and port as they are written.
    pub target: Label,
    /// `breaker_opened`, `breaker_closed`, `ejected`, `returned`, `check_passed`, `check_failed`,
    /// `became_healthy` or `became_unhealthy`.
    pub event: &'static str,
}

/// Labels of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetName {
    /// The service's name.
    pub service: Label,
    /// Its address, or host and port as they are written.
    pub target: Label,
}

/// Labels of one part of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartOutcome {
    /// The aggregate's name.
    pub aggregate: Label,
    /// The part's name.
    pub part: Label,
    /// `ok`, `cached`, `stale`, `partial`, `fallback`, `failed` or `skipped`.
    pub outcome: &'static str,
    /// Why, where it is not `ok`; else empty.
    pub reason: &'static str,
}

/// Labels of a look into the part cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartCacheUse {
    /// The aggregate's name.
    pub aggregate: Label,
    /// The part's name.
    pub part: Label,
    /// `hit`, `miss`, `stale` or `coalesced`.
    pub outcome: &'static str,
}

/// Labels of a decision of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitOutcome {
    /// The limit's name.
    pub limit: Label,
    /// `admitted` or `refused`.
    pub outcome: &'static str,
}

/// Labels of what a service has one of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceName {
    /// The service's name.
    pub service: Label,
}

/// Labels of what has been turned away for want of room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Shed {
    /// `lag` of a core, or the `concurrency` of a service.
    pub by: &'static str,
    /// `interactive`, `partner`, `batch`, or `spare` for a part that its answer can do without.
    pub priority: &'static str,
}

/// Labels of one core.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CoreNumber {
    /// Its number.
    pub core: u32,
}

/// Labels of a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Handshake {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// `full`, or `resumed` from an earlier session.
    pub kind: &'static str,
}

/// Labels of a connection that did not come as far as a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandshakeFailure {
    /// `proxy_protocol` or `tls`.
    pub layer: &'static str,
    /// What went wrong.
    pub reason: &'static str,
}

/// Labels of a certificate of the listener's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateFile {
    /// Its file's name in the configuration.
    pub file: Label,
}

/// Labels of a connection that the gateway ended for what its client did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConnectionEnd {
    /// `full`, `address_full`, `stalled`, `flood`, `broken_http2`, `unreadable` or `head_too_slow`.
    pub reason: &'static str,
}

/// Labels of a decision of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionOutcome {
    /// `allowed`, `denied` or `unavailable`.
    pub outcome: &'static str,
    /// `call`, or `kept` for an answer to the same question.
    pub source: &'static str,
}

/// Labels of a reload of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadResult {
    /// `success` or `refused`.
    pub result: &'static str,
}

/// Labels of what became of recorded spans.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SpanOutcome {
    /// `exported`; `queue_full`, `rejected` by the collector, or `failed` to reach it.
    pub outcome: &'static str,
}
