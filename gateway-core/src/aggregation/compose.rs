//! Composing: the answer's body, written from the parts' values.
//!
//! Where every part stands under its own name, values are spliced as they are. Where some stand in
//! others, those are rewritten once, and projected as a whole.
//!
//! Not here: calling (`run`), the report (`status`).

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use super::insert::{Inserted, insert};
use super::judge::NULL;
use super::merge::{Member, Policy, add, members, object};
use super::plan::place::Place;
use super::plan::{HeaderRule, OnFailure};
use super::projection::project_valid;
use super::run::{Run, Slot};
use super::status::Report;

impl Run<'_> {
    /// The answer: an object of what is shown, in declaration order; `_meta` last.
    pub(super) fn body(&self, meta: Option<&Report>) -> Bytes {
        let mut body = if self.plan.is_plain { self.spliced() } else { object(&self.members()) };
        if let Some(report) = meta {
            body.pop();
            push_key(&mut body, b"\"_meta\"");
            report.write_meta(&mut body);
            body.push(b'}');
        }
        body.into()
    }

    /// Every part under its own name.
    fn spliced(&self) -> Vec<u8> {
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
            body.extend_from_slice(&self.shown_value(place));
        }
        body.push(b'}');
        body
    }

    /// The answer's members, those that claim one place settled.
    pub(super) fn members(&self) -> Vec<Member<'_>> {
        let mut all: Vec<Member<'_>> = Vec::with_capacity(self.slots.len());
        let is_there = |slot: &Slot<'_>| slot.is_shown && slot.is_done();
        for (place, slot) in self.slots.iter().enumerate().filter(|(_, slot)| is_there(slot)) {
            let added = match &slot.part.place {
                Place::Into { .. } => Ok(()),
                Place::Member { policy, .. } => {
                    let value = self.shown_value(place).to_vec().into();
                    add(&mut all, &slot.part.key, value, *policy)
                }
                Place::Root { policy } => self.add_root(place, *policy, &mut all),
            };
            // Values have been validated when they landed.
            debug_assert!(added.is_ok(), "valid values are put together");
        }
        all
    }

    /// The members that one part brings into the answer.
    pub(super) fn root_members(&self, place: usize) -> Vec<Member<'_>> {
        let mut members = Vec::new();
        let added = self.add_root(place, Policy::First, &mut members);
        debug_assert!(added.is_ok(), "the value was validated when it landed");
        members
    }

    /// Members of the value become the answer's; what is no object stands under the part's name.
    fn add_root<'a>(
        &'a self,
        place: usize,
        policy: Policy,
        all: &mut Vec<Member<'a>>,
    ) -> Result<(), super::json_scan::NotJson> {
        let (Some(value), Some(slot)) = (self.values.get(place), self.slots.get(place)) else {
            return Ok(());
        };
        match value.first() {
            Some(b'{') => {
                for (key, value) in members(value)? {
                    let name = super::values::name_of(key);
                    if let Some(fields) = self.fields.child(&name) {
                        let shown = project_valid(&Bytes::copy_from_slice(&value), fields);
                        add(all, key, Cow::Owned(shown.to_vec()), policy)?;
                    }
                }
                Ok(())
            }
            None => Ok(()),
            Some(_) if **value == *b"null" => Ok(()),
            Some(_) => add(all, &slot.part.key, value.to_vec().into(), policy),
        }
    }

    /// What the answer shows of a part that stands under a name of its own.
    pub(super) fn shown_value(&self, place: usize) -> Bytes {
        let (Some(slot), Some(value)) = (self.slots.get(place), self.values.get(place)) else {
            return NULL;
        };
        if value.is_empty() {
            return NULL;
        }
        if slot.is_projected {
            return value.clone();
        }
        let name = slot.part.place.member(&slot.part.name);
        let Some(fields) = name.and_then(|name| self.fields.child(name)) else { return NULL };
        // Projecting twice shows the same as projecting once.
        project_valid(&self.with_guests(place, value), fields)
    }

    /// A part's value with those of the parts that stand in it.
    fn with_guests(&self, host: usize, value: &Bytes) -> Bytes {
        let mut whole = value.clone();
        for (number, slot) in self.slots.iter().enumerate() {
            let Place::Into { host: into, path, name, policy } = &slot.part.place else { continue };
            if *into != host || !slot.is_shown || !slot.is_done() {
                continue;
            }
            let own = self.values.get(number).filter(|value| !value.is_empty());
            let values = match (&slot.items, own, &slot.part.on_failure) {
                (Some(items), Some(_), _) => Inserted::Each(&items.results),
                (_, Some(value), _) => Inserted::One(value),
                (_, None, OnFailure::Value(value)) => Inserted::One(value),
                (_, None, _) => Inserted::One(&NULL),
            };
            if let Ok(inserted) = insert(&whole, path, name, values, *policy) {
                whole = inserted.into();
            }
        }
        whole
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
