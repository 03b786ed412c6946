//! A client's body, held to its ceilings while it arrives.
//!
//! Invariants
//! - No byte beyond the cap is passed on; the time-out is for the whole body, so that a client
//!   cannot hold a connection by sending a byte now and then.
//! - Trailers are dropped (RFC 9110 §6.5.1 allows it) unless the caller keeps them, and then has to
//!   see to what is in them (`trailers`).
//!
//! Not here: the ceiling on an announced length (`ceilings`), bodies of services (`upstream`).

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::alarm::Alarm;
use crate::body::{Body, BodyError, BodyRefused, ByteCount};
use crate::error::Refusal;

/// Why a client's body was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyCutOff {
    /// It had more bytes than it may have.
    #[error("the body is larger than {max} bytes")]
    TooLarge {
        /// The ceiling.
        max: u64,
    },
    /// It paused for longer than it may.
    #[error("nothing more of the body arrived for {timeout:?}")]
    Stalled {
        /// The longest pause.
        timeout: Duration,
    },
    /// It took longer than it may take.
    #[error("the body did not arrive within {timeout:?}")]
    TooSlow {
        /// The time for the whole body.
        timeout: Duration,
    },
}

impl Refusal for BodyCutOff {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled { .. } | Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body_too_large",
            Self::Stalled { .. } | Self::TooSlow { .. } => "body_too_slow",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::TooLarge { max } => format!("The body may have {max} bytes.").into(),
            Self::Stalled { timeout } => {
                format!("The body may pause for {} seconds.", timeout.as_secs_f64()).into()
            }
            Self::TooSlow { timeout } => {
                format!("The body may take {} seconds.", timeout.as_secs_f64()).into()
            }
        }
    }
}

/// How much earlier than the request a body ends: enough for its refusal to be the answer.
const HEAD_START: Duration = Duration::from_millis(100);

/// How long a body may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All of it so long. A body that would outlast `time_left`, which is what the request has, is
    /// cut off a little earlier, so that the client hears that it was too slow, and no service is
    /// blamed.
    Whole {
        /// For the body.
        timeout: Duration,
        /// For the request.
        time_left: Duration,
    },
    /// Any time, as long as it never pauses for this long.
    Steady(Duration),
}

/// A body that ends with a [`BodyRefused`] of [`BodyCutOff`] when it is too large or too slow.
#[derive(Debug)]
pub struct LimitedBody {
    body: Body,
    left: u64,
    size_max: u64,
    timeout: Duration,
    is_steady: bool,
    keeps_trailers: bool,
    /// Since when a steady body is waited for.
    paused_at: Option<Instant>,
    alarm: Alarm,
    /// When it must be here in any case.
    due: Option<Instant>,
    /// Set at the first wait: a body that is already here needs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    count: ByteCount,
}

impl LimitedBody {
    /// Holds `body` to its ceilings, and counts its bytes; no body costs nothing.
    #[must_use]
    pub fn limit(body: Body, size_max: u64, pace: Pace, keeps_trailers: bool) -> (Body, ByteCount) {
        if body.is_end_stream() {
            return (Body::empty(), ByteCount::default());
        }
        let mut limited = match pace {
            Pace::Whole { timeout, time_left } => {
                let mut limited = Self::new(body, size_max, timeout.min(time_left));
                limited.due = Some(Instant::now() + time_left.saturating_sub(HEAD_START));
                limited
            }
            Pace::Steady(timeout) => Self { is_steady: true, ..Self::new(body, size_max, timeout) },
        };
        limited.keeps_trailers = keeps_trailers;
        let count = limited.count.clone();
        (Body::boxed(limited), count)
    }

    /// Holds `body` to `size_max` bytes and to `timeout` from the first time it is waited for.
    #[must_use]
    pub fn new(body: Body, size_max: u64, timeout: Duration) -> Self {
        let count = ByteCount::start();
        Self {
            body,
            left: size_max,
            size_max,
            timeout,
            is_steady: false,
            keeps_trailers: false,
            paused_at: None,
            alarm: Alarm::default(),
            due: None,
            timer: None,
            is_over: false,
            count,
        }
    }

    fn take(&mut self, size: usize) -> Result<(), BodyCutOff> {
        self.count.add(size);
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let left = self.left.checked_sub(size);
        self.left = left.ok_or(BodyCutOff::TooLarge { max: self.size_max })?;
        Ok(())
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                ready!(self.poll_timer(context));
                let timeout = self.timeout;
                let cut_off = if self.is_steady {
                    BodyCutOff::Stalled { timeout }
                } else {
                    BodyCutOff::TooSlow { timeout }
                };
                return Poll::Ready(Some(Err(BodyRefused::new(cut_off).into())));
            };
            if self.is_steady {
                self.paused_at = None;
            }
            let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
            if let Some(bytes) = frame.data_ref() {
                self.take(bytes.len()).map_err(BodyRefused::new)?;
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.keeps_trailers {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_steady {
            let paused_at = *self.paused_at.get_or_insert_with(Instant::now);
            return self.alarm.poll_at(paused_at + self.timeout, context);
        }
        let timer = self.timer.get_or_insert_with(|| {
            let end = Instant::now() + self.timeout;
            Box::pin(sleep_until(self.due.map_or(end, |due| due.min(end))))
        });
        timer.as_mut().poll(context)
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let next = ready!(this.poll_next(context));
        this.is_over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
