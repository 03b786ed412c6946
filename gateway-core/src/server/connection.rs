//! One connection: the HTTP library speaks, this file bounds every wait for an HTTP/1.1 client.
//!
//! Not here: what of a client's bytes the library gets to read (`intake`), HTTP/2 (`http2`).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::alarm::Alarm;
use crate::metric::ConnectionEnd;
use crate::server::core::{Core, Place};
use crate::server::frames::Frames;
use crate::server::intake::Intake;
use crate::server::rest::{self, AWAKE_MAX, QUIET};
use crate::server::watched::{Arrival, Phase, Served, State, Watched};
use crate::server::{ClientIo, Handover, Protocol, Serve, Transport, http2};
use crate::upstream::Rewound;

/// When a drain begins, a request may already be on its way: a connection without one is closed
/// only after this.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// How long a client may go on sending what nobody reads. Hanging up at once would take from it
/// the answer that says why (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// The same, in bytes.
const LINGER_SIZE_MAX: u64 = 1 << 20;

/// A connection and its core.
pub(super) struct Connected<S> {
    pub(super) core: Rc<Core<S>>,
    pub(super) state: Rc<State>,
    pub(super) transport: Transport,
}

/// How a connection ends, if not by itself.
pub(super) enum End {
    Closed(hyper::Result<()>),
    /// The client left before it had asked for anything more.
    Left,
    /// The connection broke while nothing was asked.
    Broken(io::Error),
    /// Nothing has been asked for a while: it goes on at rest.
    Rests,
    /// Nobody asks for anything.
    Unused,
    /// The head of a request does not come to its end.
    SlowHead,
    /// The client takes nothing of its answer.
    Stalled,
}

/// Serves one connection to its end.
pub(super) async fn run<S, I>(place: &Place<S>, io: I, transport: Transport)
where
    S: Serve,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let core = Rc::clone(&place.core);
    let state = State::new();
    let on = Rc::new(Connected { core, state: Rc::clone(&state), transport });
    poll_fn(|context| {
        place.wakes(context.waker());
        Poll::Ready(())
    })
    .await;
    let may_be_http2 = match on.transport.protocol {
        Protocol::Http2 => {
            let arrival = Arrival::Frames(on.frames(), Vec::new());
            return Box::pin(http2::run(&on, Watched { io, state, arrival })).await;
        }
        Protocol::Detect => true,
        Protocol::Http1 => false,
    };
    let arrival = Arrival::Messages(Intake::new(on.core.head_limits, may_be_http2));
    let mut watched = Watched { io, state, arrival };
    let mut alarm = Alarm::default();
    loop {
        if let Err(end) = rest::until_asked(&on, &mut watched, &mut alarm).await {
            return on.ended(end);
        }
        // In boxes, or a connection at rest would keep the room for them.
        if on.state.is_http2() {
            return Box::pin(turn_to_http2(&on, watched)).await;
        }
        match Box::pin(run_http1(&on, watched, &mut alarm)).await {
            Some(rests) => watched = rests,
            None => return,
        }
    }
}

async fn turn_to_http2<S, I>(on: &Rc<Connected<S>>, watched: Watched<I>)
where
    S: Serve,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Watched { io, state, arrival: Arrival::Messages(intake) } = watched else { return };
    let held = intake.into_held();
    let mut frames = on.frames();
    // One read's at the most; they cost as much as others.
    if !frames.take(&held) {
        return on.flooded();
    }
    state.enter(Phase::New);
    http2::run(on, Watched { io, state, arrival: Arrival::Frames(frames, held) }).await;
}

/// Comes back with the connection when it rests.
async fn run_http1<S, I>(
    on: &Rc<Connected<S>>,
    io: Watched<I>,
    alarm: &mut Alarm,
) -> Option<Watched<I>>
where
    S: Serve,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let state = &on.state;
    let awake = on.core.wake_up();
    let service = service_fn({
        let on = Rc::clone(on);
        move |request| answer_http1(Rc::clone(&on), request)
    });
    let mut http = on.core.http1.serve_connection(TokioIo::new(io), service);
    let end = poll_fn(|context| {
        loop {
            if let Poll::Ready(closed) = Pin::new(&mut http).poll(context) {
                return Poll::Ready(End::Closed(closed));
            }
            if state.may_rest() && on.core.awake() > AWAKE_MAX {
                return Poll::Ready(End::Rests);
            }
            let Some((due, end)) = on.due_or_rest() else { return Poll::Pending };
            ready!(alarm.poll_at(due, context));
            // The head is refused when the connection is polled again; it must not come to that
            // twice.
            if !matches!(end, End::SlowHead) || !state.give_up() {
                return Poll::Ready(end);
            }
        }
    });
    match end.await {
        End::Rests => {
            let parts = http.into_parts();
            // There is something only where a body has outlived its answer, and the next request may
            // be behind it. Losing that would make the answers those of other requests.
            return parts.read_buf.is_empty().then(|| parts.io.into_inner());
        }
        End::Closed(Ok(())) => {
            let parts = http.into_parts();
            // The library and its buffers are gone, however long the rest may take.
            drop(awake);
            match state.heir() {
                Some(heir) => leave_to(heir, parts.read_buf, parts.io.into_inner()).await,
                None => linger(parts.io.into_inner()).await,
            }
        }
        end => on.ended(end),
    }
    None
}

/// Gives the connection to whoever takes it over, who has it until its end: a drain sees it.
async fn leave_to<I>(heir: Handover, read: Bytes, watched: Watched<I>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Arrival::Messages(intake) = watched.arrival else { return };
    // A client that did not wait for the 101 has said something that was read as a head.
    if intake.is_over() {
        return;
    }
    let first =
        if intake.has_held() { [&*read, &intake.into_held()].concat().into() } else { read };
    heir.take(Box::new(Rewound::new(first, watched.io))).await;
}

impl<I: AsyncRead + AsyncWrite + Unpin> ClientIo for Rewound<I> {}

/// Reads on for a while what the client still sends of a message that is not read any more.
async fn linger<I: AsyncRead + Unpin>(mut watched: Watched<I>) {
    let Arrival::Messages(intake) = &watched.arrival else { return };
    if watched.state.has_ended() || !intake.is_inside_message() {
        return;
    }
    let mut sink = tokio::io::sink();
    let mut rest = (&mut watched.io).take(LINGER_SIZE_MAX);
    // The connection ends either way.
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut sink)).await;
}

/// Not an `async fn`, which would keep the request twice.
fn answer_http1<S: Serve>(
    on: Rc<Connected<S>>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Served<S::Body>>, Infallible>> {
    // A refused head's substitute is one: no client's gets so far.
    let refused = if request.method() == Method::TRACE { on.state.take_refused() } else { None };
    async move {
        let mut response = match refused {
            Some(refused) => {
                let serving = on.state.begin();
                on.core.serve.refuse(&refused, &on.transport).map(|body| Served { body, serving })
            }
            None => on.answer(request).await,
        };
        if let Some(heir) = response.extensions_mut().remove::<Handover>() {
            on.state.leave_to(heir);
        } else if on.core.draining_since().is_some() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

impl<S: Serve> Connected<S> {
    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Served<S::Body>> {
        let serving = self.state.begin();
        let mut response = pin!(self.core.serve.serve(request, &self.transport));
        let heard = poll_fn(|context| self.state.hears(response.as_mut().poll(context)));
        heard.await.map(|body| Served { body, serving })
    }
}

impl<S> Connected<S> {
    fn frames(&self) -> Frames {
        Frames::new(self.core.settings.http2.control_frames_max)
    }

    /// Notes an end after which nothing is left to do.
    fn ended(&self, end: End) {
        let peer = self.transport.peer;
        match end {
            End::Closed(Ok(())) | End::Left | End::Rests | End::Unused => {}
            End::Closed(Err(error)) => {
                tracing::debug!(%peer, %error, "a client's connection broke");
                if error.is_parse() {
                    self.count_end("unreadable");
                }
            }
            End::Broken(error) => tracing::debug!(%peer, %error, "a client's connection broke"),
            End::Stalled => self.stalled(),
            End::SlowHead => self.count_end("head_too_slow"),
        }
    }

    /// Counts an end that the client has brought about.
    pub(super) fn count_end(&self, reason: &'static str) {
        self.core.ends.get_or_create(&ConnectionEnd { reason }).inc();
    }

    pub(super) fn flooded(&self) {
        let peer = self.transport.peer;
        tracing::debug!(%peer, "a client sent too many frames that carry nothing");
        self.count_end("flood");
    }

    pub(super) fn stalled(&self) {
        tracing::debug!(peer = %self.transport.peer, "a client took nothing of its answer");
        self.count_end("stalled");
    }

    /// The same while the library has the connection: it may come to rest before.
    fn due_or_rest(&self) -> Option<(Instant, End)> {
        let (due, end) = self.due()?;
        let rests = self.state.may_rest().then(|| self.state.since() + QUIET);
        Some(rests.filter(|&rests| rests < due).map_or((due, end), |rests| (rests, End::Rests)))
    }

    /// When the wait for the client ends, and how; `None` while it is not the client that is
    /// waited for.
    pub(super) fn due(&self) -> Option<(Instant, End)> {
        let (core, state) = (&self.core, &self.state);
        let settings = &core.settings;
        if let Some(since) = state.blocked_since() {
            return Some((since + settings.idle_timeout, End::Stalled));
        }
        let limit = match state.phase() {
            Phase::Serving => return None,
            Phase::Head => return Some((state.since() + settings.head_timeout, End::SlowHead)),
            Phase::New => settings.head_timeout,
            Phase::Idle => settings.idle_timeout,
        };
        let due = state.since() + limit;
        // From when it became idle: the end of its last answer may have come long after the drain.
        let drained = core.draining_since().map(|since| since.max(state.since()) + DRAIN_GRACE);
        Some((drained.map_or(due, |drained| due.min(drained)), End::Unused))
    }
}
