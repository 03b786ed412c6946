//! The client of one core: it keeps that core's connections and calls targets over them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, Request, Response, Version, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{Body, Carry as _, ServiceBody};
use crate::permit::Permit;
use crate::upstream::connect::{Connect, Network};
use crate::upstream::failed::CallFailed;
use crate::upstream::http1::{AnswerFields, Failed, Outgoing};
use crate::upstream::in_line::{self, InLine, Turn};
use crate::upstream::own_fields::OwnFields;
use crate::upstream::pools::Pools;
use crate::upstream::shared_fields::SharedFields;
use crate::upstream::slots::Slot;
use crate::upstream::target::{Target, TargetSettings};
use crate::upstream::transport::Protocol;
use crate::upstream::until_sent::{UntilSent, after_sending};
use crate::upstream::wire::{Home, Wire};

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
pub struct Client<C: Connect = Network> {
    connect: Arc<C>,
    pools: Arc<Pools<C::Stream>>,
}

/// When an answer must have begun.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// When the call began, and how long it may take from then on.
    began: Instant,
    limit: Duration,
}

impl Due {
    fn within(limit: Duration, began: Instant) -> Self {
        Self { at: began + limit, began, limit }
    }

    const fn missed(self) -> CallFailed {
        CallFailed::ResponseTimedOut(self.limit)
    }
}

/// What a request says beside what stands in it.
#[derive(Debug, Default)]
pub(crate) struct Beside<'a> {
    /// What it has in common with others; none of it is in the request, or in `own`, too.
    pub(crate) common: Option<&'a SharedFields>,
    /// What stands in place of what the request says.
    pub(crate) own: OwnFields,
    /// What of the answer's fields is looked at. HTTP/2 keeps all.
    pub(crate) wants: AnswerFields,
}

impl Beside<'_> {
    fn settle_in(self, fields: &mut HeaderMap) {
        let common = self.common.into_iter().flat_map(SharedFields::fields);
        fields.extend(common.map(|(name, value)| (name.clone(), value.clone())));
        self.own.settle_in(fields);
    }
}

/// What a request that is sent now says beside what stands in it: made when it is written down.
pub(crate) type Says<'a, 'b> = &'a dyn Fn(&Request<Body>) -> Beside<'b>;

/// A call on its way.
type Going<'a> = BoxFuture<'a, Result<Answer, CallFailed>>;

/// A call that has begun, and has sent nothing yet.
enum Begun<'a, C: Connect> {
    /// All of the request is at hand.
    AtHand(Arc<Target>, Written<C::Stream>, Permit),
    /// Any other. Boxed: they are rare, and all calls are as large as the largest.
    Boxed(Going<'a>),
}

/// A request that is written down, and where it goes.
struct Written<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    home: Arc<Home<S>>,
    over: Over<S>,
    /// Whether it may go out again when its connection dies.
    may_repeat: bool,
    due: Option<Due>,
}

/// What a call has to go out over: an unused connection, or the right to a new one, where that takes
/// one.
struct Way<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    home: Arc<Home<S>>,
    unused: Option<Box<Wire<S>>>,
    slot: Option<Slot>,
    /// When the call's time began.
    began: Instant,
}

/// The connection that a request goes out over.
enum Over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    /// One that nobody used: it has the request.
    Unused(Box<Wire<S>>),
    /// One that is to be opened.
    New(Box<New>),
}

/// What goes out over a connection that is to be opened, and the right to it, where that takes one.
struct New {
    outgoing: Outgoing,
    slot: Option<Slot>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Over<S> {
    /// Over an unused connection, where there is one; else by `slot` over a new one.
    fn of(unused: Option<Box<Wire<S>>>, outgoing: Outgoing, slot: Option<Slot>) -> Self {
        match unused {
            Some(mut wire) => {
                wire.begin(outgoing);
                Self::Unused(wire)
            }
            None => Self::New(Box::new(New { outgoing, slot })),
        }
    }

    /// What follows on a connection's death, and whether the request had been sent over it. It goes out
    /// in the place of that connection: it waits in no line.
    fn after_death(
        mut wire: Box<Wire<S>>,
        failed: Failed,
        home: &Home<S>,
        (may_repeat, due): (bool, Option<Due>),
    ) -> Result<(Self, bool), CallFailed> {
        let (outgoing, slot) = (wire.take_outgoing(), wire.take_slot());
        drop(wire);
        // A connection that had died before anything was sent leaves the request whole.
        if outgoing.is_untouched() {
            let now = due.map_or_else(Instant::now, |due| due.began);
            return Ok((Self::of(home.take(now), outgoing, slot), false));
        }
        let may_go_again = may_repeat && matches!(failed, Failed::DiedUnanswered);
        match outgoing.again().filter(|_| may_go_again) {
            Some(outgoing) => Ok((Self::New(Box::new(New { outgoing, slot })), true)),
            None => Err(CallFailed::of_connection(failed)),
        }
    }
}

impl Answer {
    /// What came back for a request that was sent so often.
    fn to<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        ((response, wire), attempts): ((Response<()>, Box<Wire<S>>), u32),
        target: &Target,
        permit: Permit,
    ) -> Self {
        let read_timeout = target.settings().read_timeout;
        Self { response: answered(response, wire, permit, read_timeout), attempts }
    }
}

type HeadOf<C> = (Response<()>, Box<Wire<<C as Connect>::Stream>>);

impl<C: Connect> Client<C> {
    /// A client without connections, which opens them through `connect`.
    pub fn new(connect: C) -> Self {
        Self { connect: Arc::new(connect), pools: Pools::new() }
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
    pub async fn call(
        &self,
        target: &Arc<Target>,
        request: Request<Body>,
        time_left: Duration,
    ) -> Result<Answer, CallFailed> {
        let due_at = Instant::now() + time_left;
        match self.call_as(target, (request, &|_| Beside::default()), true, time_left) {
            Ok(call) => call.await,
            Err(line) => {
                let turn = line.await?;
                let time_left = due_at.saturating_duration_since(Instant::now());
                self.call_in_turn(turn, Beside::default(), time_left).await
            }
        }
    }

    /// A request with what it says beside. `may_repeat` says whether it may go out again, where its
    /// method allows it.
    ///
    /// Over HTTP/1.1 it is written down at once, where there is a connection for it, and sent when
    /// the future is polled: of all that a call is made from, little has to be kept while it waits.
    /// Poll it soon: it has a connection, which is hung up when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`InLine`] where it has to wait for a connection first, or may not be made.
    pub(crate) fn call_as(
        &self,
        target: &Arc<Target>,
        request: (Request<Body>, Says<'_, '_>),
        may_repeat: bool,
        time_left: Duration,
    ) -> Result<impl Future<Output = Result<Answer, CallFailed>> + Send + use<'_, C>, InLine> {
        let begun = self.begin(target, request, may_repeat, time_left)?;
        Ok(self.go(begun))
    }

    /// The same for a call that has waited, with what it says now. Over a connection that is new
    /// nothing is sent again.
    pub(crate) fn call_in_turn(
        &self,
        Turn { target, request, permit, slot }: Turn,
        beside: Beside<'_>,
        time_left: Duration,
    ) -> impl Future<Output = Result<Answer, CallFailed>> + Send + use<'_, C> {
        let way = Way { home: self.home(&target), unused: None, slot, began: Instant::now() };
        self.go(self.begin_over(way, &target, (request, beside, permit), (false, time_left)))
    }

    async fn go(&self, begun: Begun<'_, C>) -> Result<Answer, CallFailed> {
        match begun {
            Begun::AtHand(target, written, permit) => {
                let sent = self.send(&target, written).await?;
                Ok(Answer::to(sent, &target, permit))
            }
            Begun::Boxed(call) => call.await,
        }
    }

    fn begin(
        &self,
        target: &Arc<Target>,
        (mut request, says): (Request<Body>, Says<'_, '_>),
        may_repeat: bool,
        time_left: Duration,
    ) -> Result<Begun<'_, C>, InLine> {
        if time_left.is_zero() {
            return Err(in_line::refused(CallFailed::ResponseTimedOut(time_left)));
        }
        let settings = target.settings();
        let Some(permit) = target.permit() else {
            return Err(in_line::refused(CallFailed::Busy(settings.requests_in_flight_max)));
        };
        if settings.protocol == Protocol::Http2 {
            says(&request).settle_in(request.headers_mut());
            let (request, target) = (prepared(target, request), Arc::clone(target));
            let call = async move {
                self.call_multiplexed(&target, (request, permit), may_repeat, time_left).await
            };
            return Ok(Begun::Boxed(Box::pin(call)));
        }
        let (home, began) = (self.home(target), Instant::now());
        let unused = home.take(began);
        let slot = match (&unused, target.slots()) {
            (None, Some(slots)) => match slots.try_take() {
                Some(slot) => Some(slot),
                None => return Err(in_line::wait(target, request, permit, time_left)),
            },
            _ => None,
        };
        let beside = says(&request);
        let way = Way { home, unused, slot, began };
        Ok(self.begin_over(way, target, (request, beside, permit), (may_repeat, time_left)))
    }

    fn begin_over(
        &self,
        way: Way<C::Stream>,
        target: &Arc<Target>,
        (request, beside, permit): (Request<Body>, Beside<'_>, Permit),
        (may_repeat, time_left): (bool, Duration),
    ) -> Begun<'_, C> {
        if !request.body().is_at_hand() {
            let call = self.streamed(way, target, (request, beside, permit), time_left);
            return Begun::Boxed(Box::pin(call));
        }
        let due = Due::within(target.settings().response_timeout.min(time_left), way.began);
        let may_repeat = may_repeat && request.method().is_idempotent();
        let written = written(way, target, (request, beside), may_repeat, Some(due));
        Begun::AtHand(Arc::clone(target), written, permit)
    }

    /// Sends a request, once more if it has to be; says how often.
    async fn send(
        &self,
        target: &Arc<Target>,
        written: Written<C::Stream>,
    ) -> Result<(HeadOf<C>, u32), CallFailed> {
        let Written { home, mut over, may_repeat, due } = written;
        let mut attempts = 1;
        loop {
            let mut wire = match over {
                Over::Unused(wire) => wire,
                Over::New(new) => {
                    return Ok((self.send_afresh(target, &home, new, due).await?, attempts));
                }
            };
            let failed = match (wire.answer(due.map(|due| due.at)).await, due) {
                (Some(Ok(response)), _) => return Ok(((response, wire), attempts)),
                (Some(Err(failed)), _) => failed,
                (None, Some(due)) => return Err(due.missed()),
                (None, None) => return Err(CallFailed::of_connection(Failed::Ended)),
            };
            let was_sent;
            (over, was_sent) = Over::after_death(wire, failed, &home, (may_repeat, due))?;
            if was_sent {
                target.count_replay();
                attempts += 1;
            }
        }
    }

    /// Sends a request over a new connection. Boxed: connections are kept, and all calls are as
    /// large as the largest.
    fn send_afresh<'a>(
        &'a self,
        target: &'a Arc<Target>,
        home: &'a Arc<Home<C::Stream>>,
        new: Box<New>,
        due: Option<Due>,
    ) -> BoxFuture<'a, Result<HeadOf<C>, CallFailed>> {
        let call = async move {
            let New { outgoing, slot } = *new;
            let mut wire = self.open(target, home, slot).await?;
            wire.begin(outgoing);
            let answer = wire.answer(None).await;
            let response = answer.unwrap_or(Err(Failed::Ended));
            Ok((response.map_err(CallFailed::of_connection)?, wire))
        };
        async move {
            match due {
                Some(due) => timeout_at(due.at, call).await.unwrap_or_else(|_| Err(due.missed())),
                None => call.await,
            }
        }
        .boxed()
    }

    pub(super) async fn open(
        &self,
        target: &Arc<Target>,
        home: &Arc<Home<C::Stream>>,
        slot: Option<Slot>,
    ) -> Result<Box<Wire<C::Stream>>, CallFailed> {
        let stream = self.connected(target).await?;
        self.pools.keep_swept();
        Ok(Wire::new(stream, home, head_size_max(target.settings()), slot))
    }

    /// A new connection, not yet used for anything.
    pub(super) async fn connected(&self, target: &Target) -> Result<C::Stream, CallFailed> {
        let limit = target.settings().connect_timeout;
        let stream = match timeout(limit, self.connect.connect(target)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(CallFailed::Unreachable(error.into())),
            Err(_) => return Err(CallFailed::ConnectTimedOut(limit)),
        };
        target.count_connection();
        Ok(stream)
    }

    /// Sends a request whose body is still arriving: it may take its time, and cannot be repeated.
    fn streamed(
        &self,
        way: Way<C::Stream>,
        target: &Arc<Target>,
        (request, beside, permit): (Request<Body>, Beside<'_>, Permit),
        time_left: Duration,
    ) -> impl Future<Output = Result<Answer, CallFailed>> + Send + use<'_, C> {
        let (head, body) = request.into_parts();
        let (body, sent) = UntilSent::of(body, target.settings());
        let request = Request::from_parts(head, body);
        let written = written(way, target, (request, beside), false, None);
        let target = Arc::clone(target);
        async move {
            let answer = async { Ok(self.send(&target, written).await?.0) };
            let sent = after_sending(sent, answer, target.settings(), time_left).await?;
            Ok(Answer::to((sent, 1), &target, permit))
        }
    }

    pub(super) fn home(&self, target: &Arc<Target>) -> Arc<Home<C::Stream>> {
        self.pools.home(target)
    }
}

impl<C: Connect> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Writes a request down, for an unused connection where there is one. Without `due` the caller sees
/// to it that it does not take for ever.
fn written<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    Way { home, mut unused, slot, .. }: Way<S>,
    target: &Target,
    (request, beside): (Request<Body>, Beside<'_>),
    may_repeat: bool,
    due: Option<Due>,
) -> Written<S> {
    let room = unused.as_mut().map(|wire| wire.room()).unwrap_or_default();
    let Beside { common, mut own, wants } = beside;
    own.set_first(header::HOST, target.host_header());
    let common = common.map(SharedFields::lines).unwrap_or_default();
    let outgoing = Outgoing::of(request, (common, &own), room).wanting(wants);
    Written { home, over: Over::of(unused, outgoing, slot), may_repeat, due }
}

/// The request as the target is sent it: its own host, and of the URL the path alone in HTTP/1.1.
pub(super) fn prepared(target: &Target, request: Request<Body>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.into_parts().path_and_query;
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if target.settings().protocol == Protocol::Http2 {
        head.version = Version::HTTP_2;
        head.uri = target.uri(path);
        // HTTP/2 says both in its own way (RFC 9113 §8.2.2 and §8.3.1).
        head.headers.remove(header::CONNECTION);
        head.headers.remove(header::HOST);
    } else {
        head.version = Version::HTTP_11;
        head.uri = Uri::from(path);
        head.headers.insert(header::HOST, target.host_header());
    }
    Request::from_parts(head, body)
}

/// The answer with its body, which holds permit and connection; one without a body holds nothing.
pub(super) fn answered<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    response: Response<()>,
    wire: Box<Wire<S>>,
    permit: Permit,
    read_timeout: Duration,
) -> Response<Body> {
    if wire.is_end() {
        wire.release();
        return response.map(|()| Body::empty());
    }
    response.map(|()| ServiceBody::new(wire, permit, read_timeout).into())
}

/// No service's heads are held to less than 8 KiB.
pub(super) fn head_size_max(settings: &TargetSettings) -> usize {
    settings.head_size_max.max(8_192)
}
