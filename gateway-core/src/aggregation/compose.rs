//! Composing: the answer's body, written from the parts' values.
//!
//! Where every part stands under its own name, values are spliced as they are. Where some stand in
//! others, those are rewritten once, and projected as a whole.
//!
//! Not here: calling (`run`), the report (`status`).

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use super::insert::{Inserted, NotInserted, insert};
use super::judge::NULL;
use super::merge::{Member, Object, Policy, members};
use super::plan::HeaderRule;
use super::plan::place::Place;
use super::projection::project_valid;
use super::run::{Run, Slot};
use super::status::Report;

impl Run<'_> {
    /// The answer: an object of what is shown, in declaration order; `_meta` last.
    ///
    /// Fails when parts that stand in others make it larger than an answer may be.
    pub(super) fn body(&self, meta: Option<&Report>) -> Result<Bytes, NotInserted> {
        let mut body = if self.plan.is_plain { self.spliced()? } else { self.settled()?.write() };
        if !self.plan.is_plain && body.len() > self.plan.caps.answer_size_max {
            return Err(NotInserted::TooLarge);
        }
        if let Some(report) = meta {
            body.pop();
            push_key(&mut body, b"\"_meta\"");
            report.write_meta(&mut body);
            body.push(b'}');
        }
        Ok(body.into())
    }

    /// Every part under its own name.
    fn spliced(&self) -> Result<Vec<u8>, NotInserted> {
        let size: usize = self.values.iter().map(|value| value.len() + 80).sum();
        let mut body = Vec::with_capacity(size);
        body.push(b'{');
        for (place, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.is_shown) {
            if body.len() > 1 {
                body.push(b',');
            }
            body.push(b'"');
            body.extend_from_slice(slot.part.name.as_bytes());
            body.extend_from_slice(b"\":");
            body.extend_from_slice(&self.shown_value(place)?);
        }
        body.push(b'}');
        Ok(body)
    }

    /// The answer's members, those that claim one place settled.
    pub(super) fn settled(&self) -> Result<Object<'_>, NotInserted> {
        let mut all = Object::default();
        // Names under which there is nothing yet but the null of a part without a value.
        let mut vacant: HashSet<&[u8]> = HashSet::new();
        let is_there = |slot: &Slot<'_>| slot.is_shown && slot.is_done();
        for (place, slot) in self.slots.iter().enumerate().filter(|(_, slot)| is_there(slot)) {
            let brought = match &slot.part.place {
                Place::Into { .. } => continue,
                Place::Root { .. } => self.root_members(place),
                Place::Member { .. } => {
                    vec![(&*slot.part.key, self.shown_value(place)?.to_vec().into())]
                }
            };
            let has_value = self.values.get(place).is_some_and(|value| !value.is_empty());
            for (key, value) in brought {
                let policy = match slot.part.place.policy() {
                    _ if vacant.contains(key) => Policy::Last,
                    _ if !has_value && slot.part.yields => Policy::First,
                    policy => policy,
                };
                if has_value {
                    vacant.remove(key);
                } else if all.value(key).is_none() {
                    vacant.insert(key);
                }
                // Together they may nest deeper than is read: the earlier one stays then.
                let _ = all.add(key, value, policy);
            }
        }
        Ok(all)
    }

    /// The members that one part brings into the answer: its value's, or itself where that is no
    /// object.
    pub(super) fn root_members(&self, place: usize) -> Vec<Member<'_>> {
        let (Some(value), Some(slot)) = (self.values.get(place), self.slots.get(place)) else {
            return Vec::new();
        };
        match value.first() {
            Some(b'{') => {
                let shown = |(key, value): Member<'_>| {
                    let name = super::values::name_of(key);
                    let fields = self.fields.child(&name).filter(|_| name != "_meta")?;
                    let shown = project_valid(&Bytes::copy_from_slice(&value), fields);
                    Some(Cow::Owned::<[u8]>(shown.to_vec()))
                };
                let members = members(value).unwrap_or_default().into_iter();
                members.filter_map(|(key, value)| Some((key, shown((key, value))?))).collect()
            }
            Some(_) if **value != *b"null" => vec![(&slot.part.key, value.to_vec().into())],
            _ => Vec::new(),
        }
    }

    /// What the answer shows of a part that stands under a name of its own.
    pub(super) fn shown_value(&self, place: usize) -> Result<Bytes, NotInserted> {
        let (Some(slot), Some(value)) = (self.slots.get(place), self.values.get(place)) else {
            return Ok(NULL);
        };
        if value.is_empty() {
            return Ok(NULL);
        }
        if slot.is_projected {
            return Ok(value.clone());
        }
        let name = slot.part.place.member(&slot.part.name);
        let Some(fields) = name.and_then(|name| self.fields.child(name)) else { return Ok(NULL) };
        // Projecting twice shows the same as projecting once.
        Ok(project_valid(&self.with_guests(place, value)?, fields))
    }

    /// A part's value with those of the parts that stand in it.
    fn with_guests(&self, host: usize, value: &Bytes) -> Result<Bytes, NotInserted> {
        let mut whole = value.clone();
        for (number, slot) in self.slots.iter().enumerate() {
            let Place::Into { host: into, path, name, policy } = &slot.part.place else { continue };
            if *into != host || !slot.is_shown {
                continue;
            }
            // Until it has landed, null stands in its place: not what the service has there.
            let own = self.values.get(number).filter(|value| !value.is_empty() && slot.is_done());
            let values = match (&slot.items, own) {
                (Some(items), Some(_)) => Inserted::Each(&items.results),
                (_, Some(value)) => Inserted::One(value),
                (_, None) => Inserted::One(&NULL),
            };
            let policy = if own.is_none() && slot.part.yields { Policy::First } else { *policy };
            let bound = (policy, self.plan.caps.answer_size_max);
            match insert(&whole, path, name, values, bound) {
                Ok(inserted) => whole = inserted.into(),
                Err(NotInserted::TooLarge) => return Err(NotInserted::TooLarge),
                // Together they nest deeper than is read: this one is left out.
                Err(NotInserted::NotJson) => {}
            }
        }
        Ok(whole)
    }
}

fn push_key(body: &mut Vec<u8>, key: &[u8]) {
    if body.len() > 1 {
        body.push(b',');
    }
    body.extend_from_slice(key);
    body.push(b':');
}

/// The header fields that clients see of the services' answers, several settled by the rule.
pub(super) fn headers(run: &Run<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    let all = || run.slots.iter().flat_map(|slot| &slot.headers);
    for (name, rule) in &run.plan.response_headers {
        let mut values = all().filter(|(known, _)| known == name).map(|(_, value)| value);
        match rule {
            HeaderRule::First => {
                headers.extend(values.next().map(|one| (name.clone(), one.clone())))
            }
            HeaderRule::All => headers.extend(values.map(|one| (name.clone(), one.clone()))),
            HeaderRule::Join => {
                let values: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
                let joined = HeaderValue::from_bytes(&values.join(&b", "[..]));
                headers.extend(
                    joined.ok().filter(|one| !one.is_empty()).map(|one| (name.clone(), one)),
                );
            }
        }
    }
    let cookies = all().filter(|(name, _)| *name == header::SET_COOKIE);
    headers.extend(cookies.cloned());
    headers
}
