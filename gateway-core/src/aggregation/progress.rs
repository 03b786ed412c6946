//! Progressive delivery: each part is sent when it lands, and the report last.
//!
//! ```text
//! {"part":"profile","outcome":"ok","data":{…}}
//! {"part":"links","outcome":"ok","data":{…}}
//! {"part":"usage","outcome":"failed","reason":"timeout","data":null}
//! {"report":{"completeness":0.75,"parts":{…}}}
//! ```
//!
//! A frame says what a part is now: when another part's value has been put into it, it is sent
//! again. `at` is there where the value does not stand under the part's own name; `/` is the
//! answer itself.
//!
//! Invariants
//! - A frame is one line, whatever white space a service has put into its JSON.
//! - The calls go on only while somebody reads, and end with the reader.
//!
//! Not here: the answer's head, and the frame of an answer that failed (the pipeline).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use tokio::sync::mpsc;

use super::View;
use super::bindings::Inputs;
use super::caller::Caller;
use super::failure::AggregateFailed;
use super::merge::object;
use super::plan::place::Place;
use super::run::{Environment, Run};
use super::status::Report;
use crate::principal::Principal;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line each: `application/x-ndjson`.
    Ndjson,
    /// An event each: `text/event-stream`.
    EventStream,
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::EventStream => "text/event-stream",
        }
    }

    /// The frame of one JSON value; `event` names it where the format has names.
    #[must_use]
    pub fn frame(self, event: &str, json: &[u8]) -> Bytes {
        let mut frame = Vec::with_capacity(json.len() + 32);
        if self == Self::EventStream {
            frame.extend_from_slice(b"event: ");
            frame.extend_from_slice(event.as_bytes());
            frame.extend_from_slice(b"\ndata: ");
        }
        // In JSON a line break is never part of a value.
        let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
        frame.extend(json.iter().map(|&byte| if is_break(byte) { b' ' } else { byte }));
        frame.push(b'\n');
        if self == Self::EventStream {
            frame.push(b'\n');
        }
        frame.into()
    }
}

/// What happens while an answer comes together.
#[derive(Debug)]
pub enum Event {
    /// A part is this now: JSON.
    Part(Bytes),
    /// Everything has landed.
    Done(Report),
    /// There is no answer.
    Failed(AggregateFailed),
}

/// Everything of a request that an answer may read, for as long as it is being sent.
#[derive(Debug)]
pub struct OwnedInputs {
    /// Who asks.
    pub principal: Option<Arc<Principal>>,
    /// The path's parameters.
    pub params: Vec<Box<str>>,
    /// The raw query.
    pub query: Option<Box<str>>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Bytes>,
}

impl OwnedInputs {
    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            principal: self.principal.as_deref(),
            params: &self.params,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: self.body.as_ref(),
        }
    }
}

/// An answer on its way. Reading it drives the calls; dropping it gives them up.
pub struct Progress {
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Progress {
    /// Begins to answer one request of a view.
    pub fn begin<C: Caller>(
        view: Arc<View>,
        environment: Environment<C>,
        inputs: OwnedInputs,
    ) -> Self {
        // Not bounded, and needs no bound: a part is sent once, and once more for each that is put
        // into it, and all parts together are capped.
        let (sender, events) = mpsc::unbounded_channel();
        let driver = Box::pin(async move {
            let last = match drive(&view, &environment, &inputs.inputs(), &sender).await {
                Ok(report) => Event::Done(report),
                Err(failed) => Event::Failed(failed),
            };
            // The reader may be gone.
            let _ = sender.send(last);
        });
        Self { driver: Some(driver), events }
    }
}

impl Stream for Progress {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        if let Some(driver) = &mut this.driver
            && driver.as_mut().poll(context).is_ready()
        {
            this.driver = None;
        }
        this.events.poll_recv(context)
    }
}

async fn drive<C: Caller>(
    view: &View,
    environment: &Environment<C>,
    inputs: &Inputs<'_>,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<Report, AggregateFailed> {
    let fields = view.fields_for(inputs)?;
    let mut run = Run::new(&view.plan, &fields, inputs, &view.params);
    let told = |run: &Run<'_>, place: usize| {
        if let Some(frame) = frame(run, place) {
            let _ = events.send(Event::Part(frame));
        }
    };
    run.run(environment, told).await?;
    Ok(run.report())
}

/// What a part that is done changes in the answer.
fn frame(run: &Run<'_>, done: usize) -> Option<Bytes> {
    let place = match run.slots.get(done)?.part.place {
        Place::Into { host, .. } => host,
        Place::Member { .. } | Place::Root { .. } => done,
    };
    let slot = run.slots.get(place).filter(|slot| slot.is_shown && slot.is_done())?;
    let report = slot.report(place);
    let mut frame = format!("{{\"part\":\"{}\"", slot.part.name).into_bytes();
    let at = match &slot.part.place {
        Place::Root { .. } => Some(&b"\"/\""[..]),
        Place::Member { name: Some(_), .. } => Some(&*slot.part.key),
        Place::Member { .. } | Place::Into { .. } => None,
    };
    if let Some(at) = at {
        frame.extend_from_slice(b",\"at\":");
        frame.extend_from_slice(at);
    }
    let outcome = report.outcome.as_str();
    frame.extend_from_slice(format!(",\"outcome\":\"{outcome}\"").as_bytes());
    if let Some(reason) = report.reason {
        frame.extend_from_slice(format!(",\"reason\":\"{}\"", reason.as_str()).as_bytes());
    }
    frame.extend_from_slice(b",\"data\":");
    frame.extend_from_slice(&data(run, place));
    frame.push(b'}');
    Some(frame.into())
}

fn data(run: &Run<'_>, place: usize) -> Bytes {
    let Some(slot) = run.slots.get(place) else { return Bytes::new() };
    if let Place::Root { .. } = slot.part.place {
        // As they are in the answer, where another part may have settled a name.
        let brought = run.root_members(place);
        let all = run.members().into_iter();
        let own = |(key, _): &super::merge::Member<'_>| brought.iter().any(|(own, _)| own == key);
        return object(&all.filter(own).collect::<Vec<_>>()).into();
    }
    if run.plan.is_plain {
        return run.shown_value(place);
    }
    let is_it = |(key, _): &&super::merge::Member<'_>| **key == *slot.part.key;
    match run.members().iter().find(is_it) {
        Some((_, value)) => Bytes::copy_from_slice(value),
        None => super::judge::NULL,
    }
}
