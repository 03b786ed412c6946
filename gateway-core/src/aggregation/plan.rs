//! The plan of an aggregate: its declaration, checked and compiled when configuration is loaded.
//!
//! [`PlanSource`] is what a team wrote, [`Plan`] what requests run; every mistake is reported at
//! once, each as a [`PlanError`] with the key it stands under. Read in this order: `source`, this
//! file, `compile`, `graph` (who waits for whom), `place` (what stands where), [`explain`].
//!
//! Not here: what a view shows of it (`View`), how it is run (`run`).

mod compile;
pub mod explain;
mod graph;
pub(super) mod place;
mod source;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::header::IDEMPOTENCY_KEY;

use super::call::CallTemplate;
use super::condition::Condition;
use super::contract::Contract;
use super::fields::Fields;
use super::part_cache::CacheRule;
use super::shape::Shape;
use super::values::Path;

use self::place::Place;
pub use self::source::{
    BatchSource, CacheSource, Caps, HeaderRule, Need, PartSource, PlanError, PlanSource, Resolve,
    XmlToJson,
};

/// An aggregate that can be run.
#[derive(Debug)]
pub struct Plan {
    pub(super) aggregate: Box<str>,
    pub(super) deadline: Duration,
    pub(super) parts: Vec<Part>,
    pub(super) caps: Caps,
    pub(super) response_headers: Vec<(HeaderName, HeaderRule)>,
    /// Cookies that go on to the client, by name.
    pub(super) set_cookies: Vec<Box<str>>,
    /// Whether any call reads the request's body.
    pub(super) reads_body: bool,
    /// Whether every part stands under its own name, and none in another.
    pub(super) is_plain: bool,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: Arc<str>,
    /// `dashboard.usage`
    pub(super) label: Arc<str>,
    pub(super) call: CallTemplate,
    /// The service, by the resolver's number and by name.
    pub(super) service: usize,
    pub(super) service_name: Arc<str>,
    pub(super) when: Option<Condition>,
    pub(super) for_each: Option<ForEach>,
    /// The parts it reads, by number. A write waits for all others besides.
    pub(super) waits_for: Vec<usize>,
    pub(super) place: Place,
    /// Whether it leaves its place to others where it has no value: `on_conflict` is said.
    pub(super) yields: bool,
    /// The name under which it stands, as a JSON key with its quotes.
    pub(super) key: Box<[u8]>,
    pub(super) on_failure: OnFailure,
    pub(super) recipe: Recipe,
    pub(super) cache: Option<CacheRule>,
    pub(super) deadline: Option<Duration>,
    pub(super) weight: u32,
    /// Whether it is left out under overload.
    pub(super) is_spare: bool,
    /// Whether other parts read its value, or put theirs into it.
    pub(super) is_looked_into: bool,
}

/// The items that a part is called for.
#[derive(Debug)]
pub(super) struct ForEach {
    /// The part that has them, by number.
    pub(super) part: usize,
    /// Where they are in its value.
    pub(super) path: Path,
    pub(super) batch: Option<Batch>,
}

/// One call for many items.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) size: usize,
    /// The member of an item by which it is found again: what `{items.…}` names.
    pub(super) item_key: Path,
    /// The member of a result that says whose it is.
    pub(super) result_key: Path,
    /// Where the results are.
    pub(super) from: Path,
}

/// What is made of a service's answer before it is a part's value.
#[derive(Debug, Default)]
pub(super) struct Recipe {
    pub(super) xml_to_json: Option<XmlToJson>,
    pub(super) contract: Contract,
    pub(super) shape: Option<Shape>,
    /// Tells recipes apart: equal ones have equal texts.
    pub(super) text: Arc<str>,
}

/// What a part's failure does to the answer.
#[derive(Debug)]
pub(super) enum OnFailure {
    FailAnswer,
    Null,
    Value(Bytes),
}

impl Plan {
    /// The parts' names, in declaration order.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &*part.name)
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn has_write(&self) -> bool {
        self.parts.iter().any(|part| part.call.is_write())
    }

    /// Whether a call reads the request's body.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// The names that an answer's members have, where they are known before there is one.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| part.place.member(&part.name))
    }

    /// Whether members of an answer are known only when it is there.
    pub(super) fn has_open_root(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.place, Place::Root { .. }))
    }

    /// Which parts are called for an answer that shows these: they themselves, what is required or
    /// a write, and what those read.
    pub(super) fn called_for(&self, shown: &[bool]) -> Vec<bool> {
        let is_called =
            |(part, shown): (&Part, &bool)| *shown || part.is_required() || part.call.is_write();
        let mut called: Vec<bool> = self.parts.iter().zip(shown).map(is_called).collect();
        graph::close(&self.parts, &mut called);
        called
    }

    /// Whether `fields` show anything of a part.
    pub(super) fn shows(&self, part: &Part, fields: &Fields) -> bool {
        match &part.place {
            Place::Member { .. } => {
                part.place.member(&part.name).is_some_and(|name| fields.child(name).is_some())
            }
            Place::Root { .. } => {
                let is_member = |name: &str| self.members().any(|member| member == name);
                fields.shows_others() || fields.names().any(|name| !is_member(name))
            }
            Place::Into { host, path, name, .. } => {
                let host = self.parts.get(*host).and_then(|host| host.place.member(&host.name));
                let way = host.into_iter().chain(path.names().iter().map(|name| &**name));
                way.chain([&**name]).try_fold(fields, Fields::child).is_some()
            }
        }
    }

    /// Whether any of a service's header fields are kept for the client.
    pub(super) const fn keeps_headers(&self) -> bool {
        !self.response_headers.is_empty() || !self.set_cookies.is_empty()
    }

    /// What of a service's header fields is kept for the client.
    pub(super) fn kept_headers(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let mut kept = Vec::new();
        for (name, _) in &self.response_headers {
            kept.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
        }
        for cookie in headers.get_all(header::SET_COOKIE) {
            let name = cookie.as_bytes().split(|&byte| byte == b'=').next().unwrap_or_default();
            if self.set_cookies.iter().any(|known| known.as_bytes() == name.trim_ascii()) {
                kept.push((header::SET_COOKIE, cookie.clone()));
            }
        }
        kept
    }
}

/// How often a part may call its service.
#[derive(Debug)]
pub(crate) struct CallsMax<'a> {
    pub(crate) service: usize,
    pub(crate) calls: u64,
    pub(crate) method: &'a Method,
    /// Whether a call may be sent twice.
    pub(crate) may_repeat: bool,
}

impl Part {
    pub(super) fn calls_max(&self, caps: &Caps) -> CallsMax<'_> {
        let calls = match &self.for_each {
            None => 1,
            Some(ForEach { batch: None, .. }) => caps.items_max,
            Some(ForEach { batch: Some(batch), .. }) => caps.items_max.div_ceil(batch.size),
        };
        let has_key = self.call.header_names().any(|name| *name == IDEMPOTENCY_KEY);
        CallsMax {
            service: self.service,
            calls: calls as u64,
            method: self.call.method(),
            may_repeat: has_key || !self.call.is_write(),
        }
    }

    pub(super) const fn is_required(&self) -> bool {
        matches!(self.on_failure, OnFailure::FailAnswer)
    }
}

#[cfg(test)]
mod tests;
