//! The seam to the services: who makes an aggregate's calls, and what comes back.
//!
//! Not here: identity headers, assertion, trace context, connections: whoever implements
//! [`Caller`] has them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};

use super::call::Call;
use super::part_cache::CacheUse;
use super::status::Reason;
use crate::clock::Moment;

/// Makes the calls of an aggregate: adds what the gateway says about the caller, and collects the
/// body.
pub trait Caller: Clone + Send + Sync + 'static {
    /// Makes one call. Dropping the future gives it up. Redirects are not followed; any status is
    /// an answer.
    ///
    /// Boxed, because what waits for it is moved about, and a call is large.
    fn call(&self, call: PartCall) -> BoxFuture<'static, Result<PartAnswer, PartFailure>>;

    /// Hears of a part that was asked for at `since` and needed no call of its own.
    fn kept(&self, part: &Arc<str>, cache: CacheUse, since: Moment) {
        let _ = (part, cache, since);
    }
}

/// One call to make.
#[derive(Debug, Clone)]
pub struct PartCall {
    /// The part's name, for spans and metrics.
    pub part: Arc<str>,
    /// The service, by the number that the plan's resolver gave.
    pub service: usize,
    /// Method, target, header fields and body.
    pub call: Call,
    /// Whether the service is told who asks; not where everybody is shown its answer.
    pub says_who: bool,
    /// Whether the answer can do without it under overload.
    pub is_spare: bool,
    /// Whether anything but `Retry-After` is read of the answer's header fields.
    pub reads_fields: bool,
    /// When it begins.
    pub began: Moment,
    /// What is left then of the part's time. It is kept by `run`; a service may be told.
    pub time_left: Duration,
    /// Whether it only renews what is kept: nobody waits for it.
    pub is_refresh: bool,
    /// The longest body to collect; a longer one is [`Reason::TooLarge`] while it is read.
    pub size_max: usize,
}

/// What a service answered.
#[derive(Debug, Clone)]
pub struct PartAnswer {
    /// The status, whatever it is.
    pub status: StatusCode,
    /// The header fields; not all of them need be there where the call
    /// [reads](PartCall::reads_fields) none.
    pub headers: HeaderMap,
    /// The `Retry-After` of a 429 or 503, where it is one in seconds.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: Bytes,
    /// From when the call [began](PartCall::began) until the whole answer was there: with its waits
    /// for a connection, and with the attempts before the one that brought it.
    pub waited: Duration,
}

/// A call that brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartFailure {
    /// Why.
    pub reason: Reason,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
    /// Whether its service was asked at all.
    pub was_called: bool,
}

impl From<Reason> for PartFailure {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after: None, was_called: true }
    }
}
