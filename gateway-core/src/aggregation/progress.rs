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

use std::collections::HashSet;
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
use super::insert::NotInserted;
use super::merge::write;
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
        // Needs no bound of its own: a part is sent once, and once more for each that is put into
        // it, and no frame is larger than an answer may be.
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
    let selection = view.selection_for(inputs)?;
    let mut run = Run::new(&view.plan, &selection, inputs, &view.params);
    let mut is_too_large = false;
    let told = |run: &Run<'_>, place: usize| match frame(run, place) {
        Ok(Some(frame)) => drop(events.send(Event::Part(frame))),
        Ok(None) => {}
        Err(_) => is_too_large = true,
    };
    run.run(environment, told).await?;
    if is_too_large { Err(run.too_large()) } else { Ok(run.report()) }
}

/// What a part that is done changes in the answer.
fn frame(run: &Run<'_>, done: usize) -> Result<Option<Bytes>, NotInserted> {
    let Some(slot) = run.slots.get(done) else { return Ok(None) };
    let place = match slot.part.place {
        Place::Into { host, .. } => host,
        Place::Member { .. } | Place::Root { .. } => done,
    };
    let slot = run.slots.get(place).filter(|slot| slot.is_shown && slot.is_done());
    let Some(slot) = slot else { return Ok(None) };
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
    frame.extend_from_slice(&data(run, place)?);
    frame.push(b'}');
    Ok(Some(frame.into()))
}

fn data(run: &Run<'_>, place: usize) -> Result<Bytes, NotInserted> {
    let Some(slot) = run.slots.get(place) else { return Ok(Bytes::new()) };
    if run.plan.is_plain {
        return run.shown_value(place);
    }
    // As it is in the answer, where another part may have settled a name.
    let all = run.settled()?;
    if let Place::Root { .. } = slot.part.place {
        let own = run.root_members(place);
        let mut seen = HashSet::new();
        let own = own.iter().filter(|(key, _)| seen.insert(*key));
        let settled = own.filter_map(|(key, _)| Some((*key, all.value(key)?)));
        return Ok(write(settled).into());
    }
    Ok(all.value(&slot.part.key).map_or(super::judge::NULL, Bytes::copy_from_slice))
}
