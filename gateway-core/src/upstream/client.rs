//! The client of one core: it keeps that core's connections and calls targets over them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::request::Parts;
use http::uri::Uri;
use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::body::{Body, BodyError, ServiceBody};
use crate::permit::Permit;
use crate::upstream::connect::{Connect, Tcp};
use crate::upstream::failed::{CallFailed, ConnectTimedOut, died_unanswered};
use crate::upstream::stream::ServiceStream;
use crate::upstream::target::{Target, TargetSettings};

/// A service's answer.
#[derive(Debug)]
pub struct Answer {
    /// What it answered. The body is timed and holds the target's permit.
    pub response: Response<Body>,
    /// How often the request was sent: 1, or 2 when a reused connection had died.
    pub attempts: u32,
}

/// Calls services over the connections of one core.
///
/// Make it, use it and drop it inside that core's runtime.
pub struct Client<C: Connect = Tcp> {
    connect: Arc<C>,
    pools: Mutex<HashMap<usize, Pool<C>>>,
}

/// A request that is on its way as soon as it is waited for.
enum Sent<'a> {
    /// With its body at hand, and perhaps a copy to be sent a second time.
    Whole(legacy::ResponseFuture, Option<Box<Replay>>),
    /// With a body that is still arriving.
    Streamed(Pin<Box<dyn Future<Output = Result<Response<Incoming>, CallFailed>> + Send + 'a>>),
}

/// One target's connections. The weak pointer keeps the key, its address, from being given to
/// another target.
struct Pool<C: Connect> {
    target: Weak<Target>,
    client: legacy::Client<Dial<C>, Body>,
}

impl<C: Connect> Client<C> {
    /// A client without connections, which opens them through `connect`.
    pub fn new(connect: C) -> Self {
        Self { connect: Arc::new(connect), pools: Mutex::default() }
    }

    /// Sends `request` to `target`; of its URL only path and query count.
    ///
    /// The call takes at most `time_left` until the head of its answer, and at most the target's
    /// response time-out after the request's body has been sent. Where no unused connection is
    /// at hand, opening one counts in. Dropping the future gives the call up.
    ///
    /// # Errors
    ///
    /// [`CallFailed`] says why there is no answer. A status of 400 or above is an answer.
    pub fn call<'a>(
        &'a self,
        target: &'a Arc<Target>,
        request: Request<Body>,
        time_left: Duration,
    ) -> impl Future<Output = Result<Answer, CallFailed>> + Send + use<'a, C> {
        // What needs no waiting is done here, so that the future is small: it is moved about.
        let begun = self.begin(target, request, time_left);
        async move {
            let (permit, sent) = begun?;
            let (response, attempts) = match sent {
                Sent::Whole(first, replay) => {
                    self.answer_to_whole(target, first, replay, time_left).await?
                }
                Sent::Streamed(answer) => (answer.await?, 1),
            };
            let read_timeout = target.settings().read_timeout;
            let response = response.map(|body| ServiceBody::new(body, permit, read_timeout).into());
            Ok(Answer { response, attempts })
        }
    }

    fn begin<'a>(
        &'a self,
        target: &'a Arc<Target>,
        request: Request<Body>,
        time_left: Duration,
    ) -> Result<(Permit, Sent<'a>), CallFailed> {
        if time_left.is_zero() {
            return Err(CallFailed::ResponseTimedOut(time_left));
        }
        let Some(permit) = target.permit() else {
            return Err(CallFailed::Busy(target.settings().requests_in_flight_max));
        };
        let (mut head, body) = request.into_parts();
        head.version = Version::HTTP_11;
        head.uri = target.uri(head.uri.into_parts().path_and_query);
        head.headers.insert(header::HOST, target.host_header());
        let sent = match body {
            Body::Full(body) => {
                let replay = Replay::of(&head, &body);
                let first = self.send(target, Request::from_parts(head, body.into()));
                Sent::Whole(first, replay)
            }
            body => Sent::Streamed(Box::pin(self.send_streamed(target, head, body, time_left))),
        };
        Ok((permit, sent))
    }

    /// The answer to a request whose body is at hand, which is sent once more if it has to be.
    async fn answer_to_whole(
        &self,
        target: &Arc<Target>,
        first: legacy::ResponseFuture,
        replay: Option<Box<Replay>>,
        time_left: Duration,
    ) -> Result<(Response<Incoming>, u32), CallFailed> {
        let limit = target.settings().response_timeout.min(time_left);
        let exchange = async {
            match (first.await, replay) {
                (Err(error), Some(replay)) if died_unanswered(&error) => {
                    target.count_replay();
                    (self.send(target, (*replay).into()).await, 2)
                }
                (first, _) => (first, 1),
            }
        };
        match timeout(limit, exchange).await {
            Ok((result, attempts)) => Ok((sorted(target, result)?, attempts)),
            Err(_) => Err(CallFailed::ResponseTimedOut(limit)),
        }
    }

    /// Sends a request whose body is still arriving: it may take its time, and cannot be repeated.
    async fn send_streamed(
        &self,
        target: &Arc<Target>,
        head: Parts,
        body: Body,
        time_left: Duration,
    ) -> Result<Response<Incoming>, CallFailed> {
        let response_timeout = target.settings().response_timeout;
        let (end, sent) = oneshot::channel();
        let body = Body::boxed(UntilSent { body, _end: end });
        let answer = pin!(self.send(target, Request::from_parts(head, body)));
        let too_late = pin!(async {
            // The other end is never used, only dropped, together with the body.
            let _ = sent.await;
            sleep(response_timeout).await;
        });
        match timeout(time_left, select(answer, too_late)).await {
            Ok(Either::Left((result, _))) => sorted(target, result),
            Ok(Either::Right(_)) => Err(CallFailed::ResponseTimedOut(response_timeout)),
            Err(_) => Err(CallFailed::ResponseTimedOut(time_left)),
        }
    }

    fn send(&self, target: &Arc<Target>, request: Request<Body>) -> legacy::ResponseFuture {
        let key = Arc::as_ptr(target).addr();
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return pool.client.request(request);
        }
        // A new target is rare (a reload): the time to let go of those that are gone.
        pools.retain(|_, pool| pool.target.strong_count() > 0);
        let pool = pools.entry(key).or_insert_with(|| Pool::new(&self.connect, target));
        pool.client.request(request)
    }
}

impl<C: Connect> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn sorted(
    target: &Target,
    result: Result<Response<Incoming>, legacy::Error>,
) -> Result<Response<Incoming>, CallFailed> {
    result.map_err(|error| CallFailed::from_client(error, head_size_max(target.settings())))
}

impl<C: Connect> Pool<C> {
    fn new(connect: &Arc<C>, target: &Arc<Target>) -> Self {
        let settings = target.settings();
        let weak = Arc::downgrade(target);
        let dial = Dial { connect: Arc::clone(connect), target: Weak::clone(&weak) };
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.idle_connections_max)
            .http1_max_buf_size(head_size_max(settings))
            .set_host(false)
            .build(dial);
        Self { target: weak, client }
    }
}

/// The client library allows no buffer below this.
fn head_size_max(settings: &TargetSettings) -> usize {
    settings.head_size_max.max(8_192)
}

/// A copy of a request that may be sent a second time.
struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Full<Bytes>,
}

impl Replay {
    /// `None` for a method that is not idempotent: it may have been carried out.
    fn of(head: &Parts, body: &Full<Bytes>) -> Option<Box<Self>> {
        head.method.is_idempotent().then(|| {
            Box::new(Self {
                method: head.method.clone(),
                uri: head.uri.clone(),
                headers: head.headers.clone(),
                body: body.clone(),
            })
        })
    }
}

impl From<Replay> for Request<Body> {
    fn from(replay: Replay) -> Self {
        let mut request = Self::new(Body::Full(replay.body));
        *request.method_mut() = replay.method;
        *request.uri_mut() = replay.uri;
        *request.headers_mut() = replay.headers;
        request
    }
}

/// A client's body that is dropped, and its channel with it, when it has been sent.
struct UntilSent {
    body: Body,
    _end: oneshot::Sender<()>,
}

impl HttpBody for UntilSent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Opens connections to one target for the client library.
struct Dial<C> {
    connect: Arc<C>,
    target: Weak<Target>,
}

impl<C> Clone for Dial<C> {
    fn clone(&self) -> Self {
        Self { connect: Arc::clone(&self.connect), target: Weak::clone(&self.target) }
    }
}

impl<C: Connect> tower::Service<Uri> for Dial<C> {
    type Response = TokioIo<ServiceStream<C::Stream>>;
    type Error = BodyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BodyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move {
            let target =
                dial.target.upgrade().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            let limit = target.settings().connect_timeout;
            let stream = timeout(limit, dial.connect.connect(&target))
                .await
                .map_err(|_| ConnectTimedOut(limit))??;
            target.count_connection();
            Ok(TokioIo::new(ServiceStream::new(stream)))
        })
    }
}
