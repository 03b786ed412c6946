//! One HTTP/1.1 connection to a service, driven by whoever uses it.
//!
//! No task stands behind it: the call that sends a request over it, and then the answer's body,
//! move its bytes. When the answer has ended it goes home, to be used again. An unused connection
//! is not watched: one that has died is found out when it is taken out, or at the latest when it
//! is to send, and then gives the request back.
//!
//! Invariants
//! - It carries one request at a time, and goes home only when it is ready for the next.
//! - Whoever drops it hangs up.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::body::{Body, Drive};
use crate::upstream::slots::{Keeper, Slot, Slots};
use crate::upstream::stream::ServiceStream;
use crate::upstream::target::TargetSettings;

/// A connection.
pub(super) struct Wire<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    sender: http1::SendRequest<Body>,
    /// `None` once it is over.
    connection: Option<http1::Connection<TokioIo<ServiceStream<S>>, Body>>,
    home: Weak<Home<S>>,
    _slot: Option<Slot>,
}

/// The unused connections to one target, the latest last.
pub(super) struct Home<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    unused: Mutex<Vec<(Instant, Box<Wire<S>>)>>,
    settings: TargetSettings,
    slots: Option<Arc<Slots>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Home<S> {
    pub(super) fn new(settings: &TargetSettings, slots: Option<&Arc<Slots>>) -> Arc<Self> {
        let home = Arc::new(Self {
            unused: Mutex::default(),
            settings: settings.clone(),
            slots: slots.cloned(),
        });
        if let Some(slots) = slots {
            let keeper: Arc<dyn Keeper> = Arc::clone(&home) as _;
            slots.register(Arc::downgrade(&keeper));
        }
        home
    }

    fn unused(&self) -> MutexGuard<'_, Vec<(Instant, Box<Wire<S>>)>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if one is still good.
    pub(super) fn take(&self, context: &mut Context<'_>) -> Option<Box<Wire<S>>> {
        loop {
            let (since, mut wire) = self.unused().pop()?;
            // Whoever is older than the last one is too old as well.
            if since.elapsed() >= self.settings.idle_timeout {
                self.unused().clear();
                return None;
            }
            // Reads what has come in the meantime: an end, or bytes that nobody asked for.
            if wire.poll_drive(context).is_pending() && wire.sender.is_ready() {
                return Some(wire);
            }
        }
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
    /// Makes ready for HTTP what has just been opened.
    pub(super) async fn open(
        stream: S,
        home: &Arc<Home<S>>,
        head_size_max: usize,
        slot: Option<Slot>,
    ) -> Result<Box<Self>, hyper::Error> {
        let io = TokioIo::new(ServiceStream::new(stream));
        let mut builder = http1::Builder::new();
        let (sender, connection) = builder.max_buf_size(head_size_max).handshake(io).await?;
        let (connection, home) = (Some(connection), Arc::downgrade(home));
        Ok(Box::new(Self { sender, connection, home, _slot: slot }))
    }

    /// Sends a request and waits for the head of its answer. A request of which nothing was sent
    /// comes back with the error.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            // Twice: what the connection brings is there at once. One that is over is dropped
            // before: that alone gives back a request which it had queued and never sent.
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            let _over = self.poll_drive(context);
            answer.as_mut().poll(context)
        })
        .await
    }

    /// Home, now that the answer has ended; or hangs up where it is not ready for another.
    pub(super) fn go_home(mut self: Box<Self>, context: &mut Context<'_>) {
        let is_good = self.poll_drive(context).is_pending() && self.sender.is_ready();
        if let (true, Some(home)) = (is_good, self.home.upgrade()) {
            home.put(self);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drive for Wire<S> {
    fn poll_drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(context).is_pending()
        {
            return Poll::Pending;
        }
        self.connection = None;
        Poll::Ready(())
    }

    fn release(self: Box<Self>, context: &mut Context<'_>) {
        self.go_home(context);
    }
}
