//! One part: everything that it says for itself.

use bytes::Bytes;
use http::HeaderName;

use crate::aggregation::bindings::Source;
use crate::aggregation::call::CallTemplate;
use crate::aggregation::condition::Condition;
use crate::aggregation::contract::Contract;
use crate::aggregation::fields::Fields;
use crate::aggregation::json_scan::one_value;
use crate::aggregation::merge::Policy;
use crate::aggregation::plan::place::Place;
use crate::aggregation::plan::{
    Batch, ForEach, Need, OnFailure, Part, PartSource, PlanError, PlanSource, Recipe, Resolve,
};
use crate::aggregation::shape::Shape;
use crate::aggregation::values::{Path, push_string};

/// One part while it is compiled, and its mistakes.
pub(super) struct Compiling<'a> {
    pub(super) source: &'a PlanSource,
    pub(super) part: &'a PartSource,
    pub(super) found: Vec<PlanError>,
}

impl Compiling<'_> {
    fn add(&mut self, key: &str, value: impl Into<String>, reason: impl Into<String>) {
        let keys = key.split('.');
        let at = ["aggregates", &*self.source.aggregate, "parts", &*self.part.name];
        let at: Vec<&str> = at.into_iter().chain(keys).collect();
        self.found.push(PlanError::at(&at, value, reason));
    }

    /// The value, or the reason noted under its key.
    fn keep<T>(&mut self, key: &str, value: &str, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|reason| self.add(key, value, reason)).ok()
    }

    pub(super) fn part(&mut self, resolve: Resolve<'_>) -> Option<Part> {
        let part = self.part;
        self.numbers();
        let on_failure = self.on_failure();
        let call = self.call();
        let when = part.when.as_deref().map(|text| {
            let condition = Condition::parse(text);
            self.keep("when", text, condition)
        });
        let for_each = part.for_each.as_deref().map(|text| self.for_each(text));
        let place = self.place();
        let recipe = self.recipe();
        self.cache();
        let call = call?;
        let Some(service) = resolve(&call.service) else {
            self.add("call", &*part.call, format!("there is no service {:?}", call.service));
            return None;
        };
        Some(Part {
            name: (*part.name).into(),
            label: format!("{}.{}", self.source.aggregate, part.name).into(),
            service,
            service_name: (*call.service).into(),
            call,
            when: when.map_or(Some(None), |when| when.map(Some))?,
            for_each: for_each.map_or(Some(None), |for_each| for_each.map(Some))?,
            waits_for: Vec::new(),
            key: key(place.as_ref()?, &part.name),
            place: place?,
            yields: part.on_conflict.is_some(),
            on_failure: on_failure?,
            recipe: recipe?,
            cache: part.cache,
            deadline: part.deadline,
            weight: part.weight,
            is_spare: false,
            is_looked_into: false,
        })
    }

    fn numbers(&mut self) {
        let part = self.part;
        if !is_name(&part.name) {
            let at = ["aggregates", &*self.source.aggregate, "parts", &*part.name];
            let reason = "must be 1 to 64 letters, digits, \"-\" and \"_\", a letter first";
            self.found.push(PlanError::at(&at, &*part.name, reason));
        }
        if part.deadline.is_some_and(|deadline| deadline.is_zero()) {
            self.add("deadline", "0s", "must be longer than nothing");
        }
        if !(1..=1_000).contains(&part.weight) {
            self.add("weight", part.weight.to_string(), "must be from 1 to 1000");
        }
    }

    fn on_failure(&mut self) -> Option<OnFailure> {
        let part = self.part;
        let is_all_or_nothing = self.source.is_all_or_nothing;
        let value = match part.fallback.as_deref() {
            Some(text) if one_value(text.as_bytes()).is_err() => {
                self.add("fallback", text, "must be one JSON value");
                return None;
            }
            text => text.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        };
        match (part.need, value) {
            (None | Some(Need::Fallback), Some(_)) if is_all_or_nothing => {
                Some(OnFailure::FailAnswer)
            }
            (None | Some(Need::Fallback), Some(value)) => Some(OnFailure::Value(value)),
            (Some(Need::Fallback), None) => {
                self.add("need", "fallback", "needs a \"fallback\" to fall back to");
                None
            }
            (Some(Need::Required | Need::Optional), Some(_)) => {
                self.add("need", "", "must be \"fallback\" where there is a \"fallback\"");
                None
            }
            (Some(Need::Required), None) => Some(OnFailure::FailAnswer),
            (None | Some(Need::Optional), None) => {
                Some(if is_all_or_nothing { OnFailure::FailAnswer } else { OnFailure::Null })
            }
        }
    }

    fn call(&mut self) -> Option<CallTemplate> {
        let part = self.part;
        let parsed = CallTemplate::parse(&part.call);
        let mut call = self.keep("call", &part.call, parsed)?;
        if let Err((key, reason)) = call.add_declared(part) {
            self.add(&key, "", reason);
        }
        let reserved = |name: &&HeaderName| {
            self.source.reserved_headers.iter().any(|own| *own == name.as_str())
        };
        if let Some(name) = call.header_names().find(reserved).cloned() {
            let key = format!("headers.{name}");
            self.add(&key, "", "must be absent: the gateway says this itself");
        }
        self.items(&call);
        if call.is_write() && part.for_each.is_some() {
            self.add("for_each", "", "must be absent: a write is one call");
        }
        Some(call)
    }

    /// `{item.…}` and `{items.…}` stand where there are items, and a batch names its own.
    fn items(&mut self, call: &CallTemplate) {
        let part = self.part;
        let reads_item = call.sources().any(|source| matches!(source, Source::Item(_)));
        let reads_items = call.sources().any(|source| matches!(source, Source::Items(_)));
        let reason = match (part.for_each.is_some(), part.batch.is_some()) {
            (false, _) if reads_item || reads_items => "reads items, and there is no `for_each`",
            (true, false) if reads_items => "reads all items at once, and there is no `batch`",
            (true, false) if !reads_item => "reads no `{item.…}`, so all calls would be the same",
            (true, true) if reads_item => "reads one item, and a `batch` has several",
            (true, true) if !reads_items => "reads no `{items.…}`",
            _ => return,
        };
        self.add("call", &*part.call, reason);
    }

    /// The part's number is found when all parts are known.
    fn for_each(&mut self, text: &str) -> Option<ForEach> {
        let parsed = Path::parse(text, '.');
        let path = self.keep("for_each", text, parsed)?;
        let Some(batch) = &self.part.batch else {
            return Some(ForEach { part: usize::MAX, path, batch: None });
        };
        let parsed = Path::parse(&batch.key, '.');
        let result_key = self.keep("batch.match", &batch.key, parsed)?;
        let from = batch.from.as_deref().unwrap_or_default();
        let parsed = Path::parse_rest(from);
        let from = self.keep("batch.from", from, parsed)?;
        let parsed = CallTemplate::parse(&self.part.call).ok()?;
        let item_key = parsed.sources().find_map(|source| match source {
            Source::Items(path) => Some(path.clone()),
            _ => None,
        })?;
        if !(1..=1_000).contains(&batch.size) {
            self.add("batch.size", batch.size.to_string(), "must be from 1 to 1000");
        }
        let batch = Batch { size: batch.size.max(1), item_key, result_key, from };
        Some(ForEach { part: usize::MAX, path, batch: Some(batch) })
    }

    fn place(&mut self) -> Option<Place> {
        let part = self.part;
        if part.batch.is_some() && part.for_each.is_none() {
            self.add("batch", "", "needs a `for_each`");
        }
        // What a part brings into the root does not take the place of another part unasked.
        let unasked = if part.is_merged_into_root { Policy::First } else { Policy::Last };
        let policy = part.on_conflict.unwrap_or(unasked);
        let Some(text) = part.into.as_deref() else {
            if !part.is_merged_into_root {
                return Some(Place::Member { name: None, policy });
            }
            if part.for_each.is_some() {
                self.add("merge", "root", "must be absent: items have no members of the answer");
            }
            return Some(Place::Root { policy });
        };
        if part.is_merged_into_root {
            self.add("merge", "root", "must be absent where there is an `into`");
        }
        let parsed = Path::parse(text, '.');
        let path = self.keep("into", text, parsed)?;
        let (way, name) = path.split_last()?;
        let Some((host, way)) = way.split_first() else {
            if name == "_meta" {
                self.add("into", text, "must be another name: `_meta` is the report's");
            }
            return Some(Place::Member { name: Some(name.into()), policy });
        };
        let Some(host) = self.source.parts.iter().position(|part| part.name == host) else {
            self.add("into", text, format!("there is no part {host:?}"));
            return None;
        };
        Some(Place::Into { host, path: way, name: name.into(), policy })
    }

    fn recipe(&mut self) -> Option<Recipe> {
        let part = self.part;
        let (mut contract, mut shape) = (Contract::default(), Shape::default());
        let mut is_good = true;
        let mut note = |compiling: &mut Self, key: &str, value: &str, outcome| {
            is_good &= compiling.keep(key, value, outcome).is_some();
        };
        if let Some(text) = &part.required_fields {
            note(self, "required_fields", text, contract.require(text));
        }
        if let Some(schema) = &part.schema {
            note(self, "schema", "", contract.schema(schema));
        }
        if let Some(text) = &part.owner {
            note(self, "owner", text, contract.owner(text));
        }
        if let Some(text) = &part.drop {
            let fields = Fields::parse(text).map_err(|error| error.to_string());
            note(self, "drop", text, fields.map(|fields| shape.drop(&fields)));
        }
        for (path, name) in &part.rename {
            let parsed = Path::parse(path, '/').map(|path| shape.rename(&path, name));
            note(self, "rename", path, parsed);
        }
        for path in &part.flatten {
            let parsed = Path::parse(path, '/').map(|path| shape.flatten(&path));
            note(self, "flatten", path, parsed);
        }
        for (path, limit) in &part.limits {
            let parsed = Path::parse(path, '/').map(|path| shape.limit(&path, *limit));
            note(self, "limit", path, parsed);
        }
        let text = format!(
            "{}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{shape:?}",
            part.xml_to_json.is_some(),
            self.source.response_headers,
            self.source.set_cookies,
            part.required_fields,
            part.schema,
            part.owner,
        );
        let shape = (!shape.is_none()).then_some(shape);
        let xml_to_json = part.xml_to_json;
        is_good.then(|| Recipe { xml_to_json, contract, shape, text: text.into() })
    }

    fn cache(&mut self) {
        let Some(cache) = self.part.cache else { return };
        if cache.ttl.is_zero() {
            self.add("cache.ttl", "0s", "must be longer than nothing");
        }
        let Ok(call) = CallTemplate::parse(&self.part.call) else { return };
        if call.is_write() {
            self.add("cache", "", "must be absent: a write is not kept");
        }
        let headers = self.part.headers.iter().map(|(_, value)| value.as_str());
        let mut texts = headers.chain([&*self.part.call, self.part.owner.as_deref().unwrap_or("")]);
        let says_who = self.part.owner.is_some() || texts.any(|text| text.contains("{identity."));
        if cache.is_shared && says_who {
            let reason = "must be \"identity\": the call, or whose data it is, depends on who asks";
            self.add("cache.scope", "shared", reason);
        }
    }
}

/// The answer's member, as a JSON key; of what is no member, the part's own name.
fn key(place: &Place, part: &str) -> Box<[u8]> {
    let mut key = Vec::new();
    push_string(place.member(part).unwrap_or(part), &mut key);
    key.into()
}

/// A name that is a JSON key, a field, a token of RFC 9651 and a metric's name as it stands.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && name.len() <= 64
}
