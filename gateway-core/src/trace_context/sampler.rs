//! Which traces are recorded.
//!
//! A listed proxy has decided for its traces, where that is respected. Of all others a share is
//! recorded, told by the trace's id, so that every gateway decides alike; but not by an id that a
//! client has chosen, who would choose one that is recorded.

use rand::RngExt as _;

use super::parent::number;
use super::{Origin, SpanQueue, TraceContext};

/// Random bits of a trace id: its last seven bytes.
const BITS: u32 = 56;
/// Their hex digits.
const DIGITS: usize = 14;

/// A share of all traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Lots below this are not recorded.
    threshold: u64,
}

impl Ratio {
    /// The share: 0 for none, 1 for all; what is outside of that counts as the nearer end.
    #[must_use]
    pub fn new(share: f64) -> Self {
        let all = 1_u64 << BITS;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "from 0 to 2^56; a share of less than 2^-53 is as good as none"
        )]
        let recorded = (share.clamp(0.0, 1.0) * all as f64) as u64;
        Self { threshold: all - recorded.min(all) }
    }

    const fn includes(self, lot: u64) -> bool {
        lot >= self.threshold
    }
}

/// Decides which traces are recorded, and knows where their spans go.
#[derive(Debug, Clone)]
pub struct Tracer {
    /// The share of traces about which nobody has decided.
    pub ratio: Ratio,
    /// Whether a listed proxy's decision holds.
    pub respects_parent: bool,
    /// Where spans go.
    pub spans: SpanQueue,
}

impl Tracer {
    pub(super) fn samples(&self, trace: &TraceContext) -> bool {
        let lot = match trace.origin {
            Origin::Proxy(_) if self.respects_parent => return trace.flags.is_sampled,
            Origin::Proxy(_) | Origin::Here => {
                let (_, last) = trace.trace_id.split_at(trace.trace_id.len() - DIGITS);
                number(last).unwrap_or(0)
            }
            Origin::Client(_) => rand::rng().random::<u64>() >> (u64::BITS - BITS),
        };
        self.ratio.includes(lot)
    }
}
