//! HTTP/2 to a service: one connection for each core, shared by all of that core's calls.
//!
//! Unlike an HTTP/1.1 connection it has a task behind it, which moves the bytes of all its streams,
//! asks a silent service whether it is still there, and hangs up on one that nobody uses. A service
//! that goes away (`GOAWAY`) answers what it has begun; what it has not, and streams that it refused,
//! go out again on the next connection, whatever their method: it says that it did nothing of them
//! (RFC 9113 §6.8 and §8.7).
//!
//! Invariants
//! - At most `h2_streams_max` calls share a connection; a further one is refused as busy.
//! - The connection's window has room for every stream's: one that nobody reads stalls no other.
//!
//! Not here: deadlines of calls, what answers become (`client`).

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::body::{Body, BodyError, BodyRefused, Carry, ServiceBody};
use crate::permit::{Permit, Permits};
use crate::upstream::client::{Answer, Client, head_size_max};
use crate::upstream::connect::Connect;
use crate::upstream::failed::CallFailed;
use crate::upstream::target::{Target, TargetSettings};
use crate::upstream::until_sent::{UntilSent, after_sending};

/// How much of one stream's body may wait to be read.
const STREAM_WINDOW: u32 = 128 * 1024;

/// How much of one stream's body may wait to be sent.
const SEND_BUFFER: usize = 64 * 1024;

/// How often a service that is silent while calls wait is asked whether it is there, and how long it
/// has to say so. Otherwise a machine that is gone would fail one call after the other.
const PING_PERIOD: Duration = Duration::from_secs(10);

/// How often one request is sent at most, where services keep refusing it unread.
const ATTEMPTS_MAX: u32 = 3;

/// One core's connection to one target, once there is one.
#[derive(Debug, Default)]
pub(super) struct Shared {
    session: Mutex<Option<Session>>,
    /// How often none could be opened.
    failures: AtomicU64,
}

impl Shared {
    /// Lets go of a connection that takes no more calls, if it is the current one still.
    async fn forget(&self, session: &Session) {
        let mut current = self.session.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.used, &session.used)) {
            *current = None;
        }
    }
}

/// A connection that is open, or was when it was looked at last.
#[derive(Debug, Clone)]
struct Session {
    sender: http2::SendRequest<Body>,
    streams: Arc<Permits>,
    /// How many calls it has carried.
    used: Arc<AtomicU64>,
}

impl Session {
    async fn open<S>(stream: S, settings: &TargetSettings) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let streams_max = settings.h2_streams_max;
        let window = STREAM_WINDOW.saturating_mul(streams_max).min(i32::MAX.unsigned_abs());
        let head_size_max = u32::try_from(head_size_max(settings)).unwrap_or(u32::MAX);
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(settings.response_timeout)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(window)
            .max_header_list_size(head_size_max)
            .max_send_buf_size(SEND_BUFFER)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await?;
        let session =
            Self { sender, streams: Permits::new(streams_max), used: Arc::new(AtomicU64::new(0)) };
        let (streams, used) = (Arc::clone(&session.streams), Arc::clone(&session.used));
        let idle_timeout = settings.idle_timeout;
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let mut used_before = u64::MAX;
            // Ends when the connection does, and when two looks have found it unused.
            while timeout(idle_timeout, &mut connection).await.is_err() {
                let used = used.load(Ordering::Relaxed);
                if used == used_before && streams.taken() == 0 {
                    return;
                }
                used_before = used;
            }
        });
        Ok(session)
    }

    fn is_open(&self) -> bool {
        self.sender.is_ready()
    }
}

/// An answer over a shared connection, and how often it was asked for.
struct Multiplexed {
    response: Response<()>,
    stream: Stream,
    attempts: u32,
}

/// One of a connection's streams, and its place there. Its bytes are moved by the connection's own
/// task.
#[derive(Debug)]
struct Stream {
    incoming: Incoming,
    _place: Permit,
}

impl Carry for Stream {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.incoming)
    }

    fn release(self: Box<Self>) {}
}

impl<C: Connect> Client<C> {
    /// As [`Client::call`], over HTTP/2.
    pub(super) async fn call_multiplexed(
        &self,
        target: &Arc<Target>,
        (request, permit): (Request<Body>, Permit),
        may_repeat: bool,
        time_left: Duration,
    ) -> Result<Answer, CallFailed> {
        let settings = target.settings();
        let (head, body) = request.into_parts();
        let answer = match body {
            Body::Full(body) => {
                let limit = settings.response_timeout.min(time_left);
                let request = Request::from_parts(head, Body::Full(body));
                let answer = timeout(limit, self.send_multiplexed(target, request, may_repeat));
                answer.await.unwrap_or(Err(CallFailed::ResponseTimedOut(limit)))?
            }
            body => {
                let (body, sent) = UntilSent::of(body, settings);
                let request = Request::from_parts(head, body);
                let answer = self.send_multiplexed(target, request, may_repeat);
                after_sending(sent, answer, settings, time_left).await?
            }
        };
        let Multiplexed { response, stream, attempts } = answer;
        let response = response.map(|()| {
            if stream.is_end() {
                return Body::empty();
            }
            ServiceBody::new(Box::new(stream), permit, settings.read_timeout).into()
        });
        Ok(Answer { response, attempts })
    }

    /// Sends a request over the connection of this core, and again where nothing was done of it.
    async fn send_multiplexed(
        &self,
        target: &Arc<Target>,
        mut request: Request<Body>,
        may_repeat: bool,
    ) -> Result<Multiplexed, CallFailed> {
        let home = self.home(target);
        let may_repeat = may_repeat && request.method().is_idempotent();
        let (mut attempts, mut tries) = (1, 1);
        loop {
            let mut session = self.session(target, home.shared()).await?;
            let Some(place) = session.streams.take() else {
                return Err(CallFailed::Busy(session.streams.max()));
            };
            let is_reused = session.used.fetch_add(1, Ordering::Relaxed) > 0;
            let copy = Replay::of(&request);
            let mut failed = match session.sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, incoming) = response.into_parts();
                    let stream = Stream { incoming, _place: place };
                    let response = Response::from_parts(head, ());
                    return Ok(Multiplexed { response, stream, attempts });
                }
                Err(failed) => failed,
            };
            let unsent = failed.take_message();
            let was_sent = unsent.is_none();
            let may_go_again = unsent.is_some()
                || is_unprocessed(failed.error())
                || (may_repeat && is_reused && is_cut_off(failed.error()));
            let again = unsent.or_else(|| copy.map(Into::into));
            match again {
                Some(again) if may_go_again && tries < ATTEMPTS_MAX => request = again,
                _ => return Err(sorted(failed.into_error())),
            }
            tries += 1;
            if was_sent {
                target.count_replay();
                attempts += 1;
            }
            if !is_refused(failed.error()) {
                home.shared().forget(&session).await;
            }
        }
    }

    /// The connection of this core, opened by whoever comes first.
    async fn session(&self, target: &Arc<Target>, shared: &Shared) -> Result<Session, CallFailed> {
        let failures = shared.failures.load(Ordering::Relaxed);
        let mut current = shared.session.lock().await;
        if let Some(session) = current.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        // Those who waited for somebody else's attempt do not try one after the other.
        if shared.failures.load(Ordering::Relaxed) != failures {
            return Err(CallFailed::Unreachable("it could not be reached just before".into()));
        }
        let opened = async {
            let stream = self.connected(target).await?;
            let opened = Session::open(stream, target.settings()).await;
            opened.map_err(sorted)
        };
        let opened = opened.await.inspect_err(|_| {
            shared.failures.fetch_add(1, Ordering::Relaxed);
        });
        let session = opened?;
        *current = Some(session.clone());
        Ok(session)
    }
}

/// A copy of a request that may be sent a second time.
struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Full<Bytes>,
}

impl Replay {
    /// Whatever the method: a service may say that it has done nothing of it. `None` where the body
    /// is not at hand.
    fn of(request: &Request<Body>) -> Option<Box<Self>> {
        let Body::Full(body) = request.body() else { return None };
        Some(Box::new(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: body.clone(),
        }))
    }
}

impl From<Box<Replay>> for Request<Body> {
    fn from(replay: Box<Replay>) -> Self {
        let replay = *replay;
        let mut request = Self::new(Body::Full(replay.body));
        *request.method_mut() = replay.method;
        *request.uri_mut() = replay.uri;
        *request.headers_mut() = replay.headers;
        request
    }
}

/// Sorts what the library of HTTP/2 says.
fn sorted(error: hyper::Error) -> CallFailed {
    if let Some(refused) = BodyRefused::find(&error) {
        return CallFailed::BodyRefused(refused);
    }
    if error.is_user() {
        CallFailed::BodyBroken(error.into())
    } else {
        CallFailed::Broken(error.into())
    }
}

/// What HTTP/2 says went wrong.
fn reason(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// Whether the service has said that it did nothing of the request.
fn is_unprocessed(error: &hyper::Error) -> bool {
    is_refused(error)
        || reason(error).is_some_and(|error| {
            // The streams that a `GOAWAY` leaves out end with it; those that it does not go on.
            let is_in_order = error.reason() == Some(h2::Reason::NO_ERROR);
            error.is_remote() && error.is_go_away() && is_in_order
        })
}

/// Whether the service has refused one stream, and takes others.
fn is_refused(error: &hyper::Error) -> bool {
    reason(error).is_some_and(|error| {
        let is_refusal = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && error.is_reset() && is_refusal
    })
}

/// Whether the connection ended under the request.
fn is_cut_off(error: &hyper::Error) -> bool {
    error.is_canceled()
        || error.is_closed()
        || reason(error).is_some_and(|error| error.is_io() || error.is_go_away())
}
