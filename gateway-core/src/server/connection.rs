//! One connection: the HTTP library speaks, this file bounds every wait for the client.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::alarm::Alarm;
use crate::server::core::{Core, Place};
use crate::server::watched::{Phase, Served, State, Watched};
use crate::server::{Serve, Transport};

/// When a drain begins, a request may already be on its way: a connection without one is closed
/// only after this.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// Time to hand over the last words to a client that was slow before.
const LAST_WORDS: Duration = Duration::from_secs(1);

const SLOW_HEAD: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How a connection ends, if not by itself.
enum End {
    Closed(hyper::Result<()>),
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
    let core = &place.core;
    let peer = transport.peer;
    let transport = Rc::new(transport);
    let state = State::new();
    let watched = TokioIo::new(Watched { io, state: Rc::clone(&state) });
    let service = service_fn({
        let (core, state) = (Rc::clone(core), Rc::clone(&state));
        move |request| {
            state.enter(Phase::Serving);
            answer(Rc::clone(&core), Rc::clone(&state), request, Rc::clone(&transport))
        }
    });
    let mut http = core.http.serve_connection(watched, service);
    poll_fn(|context| {
        place.wakes(context.waker());
        Poll::Ready(())
    })
    .await;
    let mut alarm = Alarm::default();
    let end = poll_fn(|context| {
        if let Poll::Ready(closed) = Pin::new(&mut http).poll(context) {
            return Poll::Ready(End::Closed(closed));
        }
        let Some((due, end)) = due(core, &state) else {
            return Poll::Pending;
        };
        ready!(alarm.poll_at(due, context));
        Poll::Ready(end)
    });
    match end.await {
        End::Closed(Ok(())) | End::Unused => {}
        End::Closed(Err(error)) => tracing::debug!(%peer, %error, "a client's connection broke"),
        End::Stalled => tracing::debug!(%peer, "a client took nothing of its answer"),
        End::SlowHead => {
            tracing::debug!(%peer, "the head of a request took too long");
            let mut io = http.into_parts().io.into_inner().io;
            let last_words = async {
                io.write_all(SLOW_HEAD).await?;
                io.shutdown().await
            };
            // Whether they are heard is the client's affair: the connection ends either way.
            let _ = timeout(LAST_WORDS, last_words).await;
        }
    }
}

async fn answer<S: Serve>(
    core: Rc<Core<S>>,
    state: Rc<State>,
    request: Request<Incoming>,
    transport: Rc<Transport>,
) -> Result<Response<Served<S::Body>>, Infallible> {
    let mut response = core.serve.serve(request, &transport).await;
    if core.draining_since().is_some() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Served { body, state }))
}

/// When the wait for the client ends, and how; `None` while it is not the client that is waited
/// for.
fn due<S>(core: &Core<S>, state: &State) -> Option<(Instant, End)> {
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
