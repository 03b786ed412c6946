//! One connection to a service, and where it goes when nobody uses it.
//!
//! When an answer has ended its connection goes home, to be used again. An unused connection is not
//! watched: one that has died is found out when it is to send, and then gives the request back.
//!
//! Invariants
//! - It carries one request at a time, and goes home only when it is ready for the next.
//! - Whoever drops it hangs up.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::body::{Body, BodyError, Carry};
use crate::upstream::http1::{Connection, Failed, Outgoing};
use crate::upstream::multiplexed::Shared;
use crate::upstream::slots::{Keeper, Slot, Slots};
use crate::upstream::target::TargetSettings;
use crate::upstream::upgrade::Rewound;

/// A connection.
pub(super) struct Wire<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    connection: Connection<S>,
    /// Rings when an answer is late. It stays with the connection: most calls set no timer.
    alarm: Alarm,
    home: Weak<Home<S>>,
    slot: Option<Slot>,
}

/// What asking for the bare connection came to.
pub(super) enum Switched<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    /// It is the caller's, after this head.
    To(response::Parts, Rewound<S, Option<Slot>>),
    /// There is an answer like any other.
    Not(Response<()>, Box<Wire<S>>),
}

/// The unused connections to one target, the latest last.
pub(super) struct Home<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    unused: Mutex<Vec<(Instant, Box<Wire<S>>)>>,
    /// The connection that calls share, where HTTP/2 is spoken.
    shared: Shared,
    settings: TargetSettings,
    slots: Option<Arc<Slots>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Home<S> {
    pub(super) fn new(settings: &TargetSettings, slots: Option<&Arc<Slots>>) -> Arc<Self> {
        let home = Arc::new(Self {
            unused: Mutex::default(),
            shared: Shared::default(),
            settings: settings.clone(),
            slots: slots.cloned(),
        });
        if let Some(slots) = slots {
            let keeper: Arc<dyn Keeper> = Arc::clone(&home) as _;
            slots.register(Arc::downgrade(&keeper));
        }
        home
    }

    pub(super) const fn shared(&self) -> &Shared {
        &self.shared
    }

    fn unused(&self) -> MutexGuard<'_, Vec<(Instant, Box<Wire<S>>)>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if it is not too old `now`.
    pub(super) fn take(&self, now: Instant) -> Option<Box<Wire<S>>> {
        let mut unused = self.unused();
        let (since, wire) = unused.pop()?;
        if now.duration_since(since) < self.settings.idle_timeout {
            return Some(wire);
        }
        // Whoever is older than the last one is too old as well.
        let old = std::mem::take(&mut *unused);
        drop(unused);
        // Not while the list is locked.
        drop((wire, old));
        None
    }

    fn put(&self, wire: Box<Wire<S>>) {
        let mut unused = self.unused();
        // Under the lock: who begins to wait after this look finds the connection here.
        let is_wanted = self.slots.as_ref().is_some_and(|slots| slots.is_wanted());
        if !is_wanted && unused.len() < self.settings.idle_connections_max {
            unused.push((Instant::now(), wire));
        }
    }

    /// Hangs up on those that nobody has used for too long.
    pub(super) fn sweep(&self) {
        let idle_timeout = self.settings.idle_timeout;
        let old: Vec<_> = {
            let mut unused = self.unused();
            let is_old = |(since, _): &mut (Instant, _)| since.elapsed() >= idle_timeout;
            unused.extract_if(.., is_old).collect()
        };
        // Not while the list is locked.
        drop(old);
    }

    pub(super) const fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Keeper for Home<S> {
    fn let_go(&self) -> bool {
        let oldest = {
            let mut unused = self.unused();
            (!unused.is_empty()).then(|| unused.remove(0))
        };
        // Closed only now, and not while the list is locked.
        oldest.is_some()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for Home<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire<S> {
    /// What has just been opened.
    pub(super) fn new(
        stream: S,
        home: &Arc<Home<S>>,
        head_size_max: usize,
        slot: Option<Slot>,
    ) -> Box<Self> {
        let connection = Connection::new(stream, head_size_max);
        let alarm = Alarm::default();
        Box::new(Self { connection, alarm, home: Arc::downgrade(home), slot })
    }

    /// Begins a request; [`Wire::answer`] sends it.
    pub(super) fn begin(&mut self, outgoing: Outgoing) {
        self.connection.begin(outgoing);
    }

    /// Sends the request and waits for the head of its answer, at most until `due`: then there is
    /// none.
    pub(super) async fn answer(
        &mut self,
        due: Option<Instant>,
    ) -> Option<Result<Response<()>, Failed>> {
        poll_fn(|context| match (self.connection.poll_head(context), due) {
            (Poll::Ready(answer), _) => Poll::Ready(Some(answer)),
            (Poll::Pending, Some(due)) => self.alarm.poll_at(due, context).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    /// The request, after a failure.
    pub(super) fn take_outgoing(&mut self) -> Outgoing {
        self.connection.take_outgoing()
    }

    /// The right to a connection, of one that has died: another may be opened by it.
    pub(super) fn take_slot(&mut self) -> Option<Slot> {
        self.slot.take()
    }

    /// Memory for the next request to be written into.
    pub(super) fn room(&mut self) -> Vec<u8> {
        self.connection.room()
    }

    /// Sends a request that asks for the bare connection.
    pub(super) async fn switch(
        mut self: Box<Self>,
        request: Request<Body>,
    ) -> Result<Switched<S>, Failed> {
        self.connection.begin(Outgoing::of_upgrade(request));
        let response = poll_fn(|context| self.connection.poll_head(context)).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Switched::Not(response, self));
        }
        let Self { connection, slot, .. } = *self;
        let (io, read) = connection.into_parts();
        Ok(Switched::To(response.into_parts().0, Rewound::holding(read, io, slot)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carry for Wire<S> {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.connection.poll_frame(context)
    }

    fn is_end(&self) -> bool {
        self.connection.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.connection.size_hint()
    }

    /// Home; or hangs up where it is not ready for another request.
    fn release(mut self: Box<Self>) {
        if self.connection.rest()
            && let Some(home) = self.home.upgrade()
        {
            home.put(self);
        }
    }
}
