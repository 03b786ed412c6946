//! One HTTP/2 connection: the HTTP library speaks, this file bounds every wait for its client.
//!
//! Each stream is a task on the core's thread. A stream whose client takes nothing of its answer is
//! cancelled alone; the connection goes on. What is left of an answer when nobody can cancel it any
//! more ends its connection ([`pieces`]). A stream may also be handed over, as a WebSocket is
//! ([`handed_over`]).
//!
//! Invariants
//! - A connection says that it ends (GOAWAY) before it does, and what is in flight then is answered, to
//!   the last byte.
//! - What a client may make the gateway hold is bounded, whatever its windows say.
//!
//! Not here: what a request must be (`guard`), frames for nothing (`frames`).

mod handed_over;
mod pieces;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::handed_over::HandedOver;
use self::pieces::{LeftOver, Pieces};
use crate::alarm::Alarm;
use crate::server::connection::Connected;
use crate::server::watched::{Heard, Phase, State, Watched};
use crate::server::{Handover, Serve, ServerSettings};

/// Bytes of one request's body that a client may send before they are read.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same of all requests of one connection: what unread bodies can cost.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of an answer that wait for its client. As much is given to the library at once.
const SEND_BUFFER_MAX: usize = 64 * 1024;

/// Streams that a client has cancelled before they were looked at.
const RESETS_PENDING_MAX: usize = 20;

/// Streams that were refused, for a fault of their own or because there were too many, in the whole
/// life of a connection. No sound client comes near, however long it stays.
const FAULTS_MAX: usize = 1_000;

/// A client whose connection has died without a word is found out after these.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for a client to hang up once it has been told to go and nothing is in flight.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a connection ends, if not by itself.
enum End {
    Closed(hyper::Result<()>),
    /// The library ends it without a word. So it does where a CONNECT says that it has a body.
    Silent,
    /// Nobody asks for anything.
    Unused,
    /// The client reads nothing at all, or nothing of what is left of an answer.
    Stalled,
    /// The client makes work for nothing.
    Flooded,
}

/// Serves one connection to its end.
pub(super) async fn run<S, I>(on: &Rc<Connected<S>>, io: Watched<I>)
where
    S: Serve,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let streams = Streams {
        state: Rc::clone(&on.state),
        idle_timeout: on.core.settings.idle_timeout,
        tasks: Rc::default(),
        handed_over: HandedOver::default(),
        left_over: Rc::default(),
    };
    let peer = on.transport.peer;
    match speak(on, io, &streams).await {
        End::Closed(Ok(())) | End::Unused => {}
        End::Closed(Err(error)) => {
            tracing::debug!(%peer, %error, "a client's connection broke");
            if !on.state.has_ended() {
                on.count_end("broken_http2");
            }
        }
        End::Silent => {
            tracing::debug!(%peer, "the library hung up on a client");
            on.count_end("broken_http2");
        }
        End::Stalled => on.stalled(),
        End::Flooded => on.flooded(),
    }
    // What is still being done is for nobody.
    streams.tasks.take().abort_all();
    // What was handed over is told by its stream that the client is gone, and has its own ways to end.
    streams.handed_over.finish().await;
}

/// Speaks with the client until the end.
async fn speak<S, I>(on: &Rc<Connected<S>>, io: Watched<I>, streams: &Streams) -> End
where
    S: Serve,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (core, state) = (&on.core, &on.state);
    let service = service_fn({
        let (on, streams) = (Rc::clone(on), streams.clone());
        move |request| answer(Rc::clone(&on), streams.clone(), request)
    });
    let builder = builder(&core.settings, streams.clone());
    let mut http = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut alarm = Alarm::default();
    let mut leaving: Option<Instant> = None;
    poll_fn(|context| {
        state.begin_turn();
        loop {
            if let Poll::Ready(closed) = http.as_mut().poll(context) {
                let is_silent = closed.is_ok() && leaving.is_none() && !state.has_ended();
                return Poll::Ready(if is_silent { End::Silent } else { End::Closed(closed) });
            }
            if state.is_flooded() {
                return Poll::Ready(End::Flooded);
            }
            let must_leave = leaving.is_none() && core.draining_since().is_some();
            if !must_leave {
                let Some((due, end)) = due(on, streams, leaving) else { return Poll::Pending };
                ready!(alarm.poll_at(due, context));
                if leaving.is_some() || matches!(end, End::Stalled) {
                    return Poll::Ready(end);
                }
            }
            leaving = Some(Instant::now());
            http.as_mut().graceful_shutdown();
        }
    })
    .await
}

/// When the wait for the client ends, and how; `None` while it is not the client that is waited
/// for.
fn due<S>(
    on: &Connected<S>,
    streams: &Streams,
    leaving: Option<Instant>,
) -> Option<(Instant, End)> {
    let (settings, state) = (&on.core.settings, &on.state);
    let blocked_since = state.blocked_since();
    let waits_since = streams.left_over.waits_since(blocked_since.is_some());
    if let Some(since) = blocked_since.into_iter().chain(waits_since).min() {
        return Some((since + settings.idle_timeout, End::Stalled));
    }
    if state.phase() == Phase::Serving {
        return None;
    }
    let limit = match state.phase() {
        _ if leaving.is_some() => GOODBYE,
        Phase::New => settings.head_timeout,
        _ => settings.idle_timeout,
    };
    Some((leaving.map_or(state.since(), |since| since.max(state.since())) + limit, End::Unused))
}

fn builder(settings: &ServerSettings, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_MAX)
        .max_concurrent_streams(settings.http2.streams_max)
        .max_header_list_size(u32::try_from(settings.head_limits.head_size_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(FAULTS_MAX)
        .enable_connect_protocol();
    builder
}

async fn answer<S: Serve>(
    on: Rc<Connected<S>>,
    streams: Streams,
    mut request: Request<Incoming>,
) -> Result<Response<Pieces<S::Body>>, Infallible> {
    let is_connect = request.method() == Method::CONNECT;
    let accepted = is_connect.then(|| hyper::upgrade::on(&mut request));
    let mut response = on.answer(request).await;
    // These are the connection's affair, and here the connection says so itself.
    response.headers_mut().remove(header::CONNECTION);
    response.headers_mut().remove(header::UPGRADE);
    let heir = response.extensions_mut().remove::<Handover>();
    if let (Some(accepted), Some(heir)) = (accepted, heir) {
        streams.handed_over.leave_to(heir, accepted, &on.state);
    }
    Ok(response.map(|served| Pieces::new(served, streams.left_over)))
}

/// The streams of one connection.
#[derive(Clone)]
struct Streams {
    state: Rc<State>,
    idle_timeout: Duration,
    tasks: Rc<RefCell<JoinSet<()>>>,
    handed_over: HandedOver,
    left_over: Rc<LeftOver>,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut tasks = self.tasks.borrow_mut();
        if let Some(sender) = self.handed_over.starts() {
            // It waits for its heir's bytes as long as the heir likes.
            let _ = sender.set(tasks.spawn_local(stream));
            return;
        }
        tasks.spawn_local(Attended {
            stream: Box::pin(stream),
            streams: self.clone(),
            alarm: Alarm::default(),
            waits_since: None,
        });
        while let Some(ended) = tasks.try_join_next() {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!("a panic ended a stream");
            }
        }
    }
}

/// A stream that ends when its client takes nothing for too long.
struct Attended<F> {
    stream: Pin<Box<F>>,
    streams: Streams,
    alarm: Alarm,
    waits_since: Option<Instant>,
}

impl<F: Future<Output = ()>> Future for Attended<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let state = &this.streams.state;
        let _ = state.take_heard();
        let polled = this.stream.as_mut().poll(context);
        // Where the answer could not be sent, there is no sender.
        let _ = this.streams.handed_over.starts();
        if polled.is_ready() {
            return Poll::Ready(());
        }
        match state.take_heard() {
            Heard::Wait => {
                this.waits_since = None;
                return Poll::Pending;
            }
            Heard::Progress => this.waits_since = None,
            Heard::Nothing => {}
        }
        let since = *this.waits_since.get_or_insert_with(Instant::now);
        this.alarm.poll_at(since + this.streams.idle_timeout, context)
    }
}
