//! Between parts: numbers for names, who waits for whom, one write, one part to a place.

use std::collections::{HashMap, HashSet};

use crate::aggregation::bindings::Source;
use crate::aggregation::plan::place::Place;
use crate::aggregation::plan::{Part, PlanError, PlanSource, graph};

/// What holds between parts: numbers for names, who waits for whom, one write, one part a place.
pub(super) fn check(source: &PlanSource, parts: &mut [Part], errors: &mut Vec<PlanError>) {
    let names: Vec<&str> = source.parts.iter().map(|part| &*part.name).collect();
    let number = |name: &str| names.iter().position(|known| *known == name);
    let mut refuse = |part: &str, key: &str, value: &str, reason: String| {
        let at = ["aggregates", &*source.aggregate, "parts", part, key];
        errors.push(PlanError::at(&at, value, reason));
    };
    for (part, written) in parts.iter_mut().zip(&source.parts) {
        let mut waits_for = Vec::new();
        for binding in part.call.sources_mut() {
            if let Source::Part(name, place, _) = binding {
                match number(name) {
                    Some(found) => {
                        *place = found;
                        waits_for.push(found);
                    }
                    None => {
                        let reason = format!("there is no part {name:?}");
                        refuse(&written.name, "call", &written.call, reason);
                    }
                }
            }
        }
        if let Some(for_each) = &mut part.for_each {
            let text = written.for_each.as_deref().unwrap_or_default();
            match for_each.path.split_first().and_then(|(name, rest)| Some((number(name)?, rest))) {
                Some((found, rest)) => {
                    (for_each.part, for_each.path) = (found, rest);
                    waits_for.push(found);
                }
                None => refuse(&written.name, "for_each", text, "must begin with a part".into()),
            }
        }
        waits_for.sort_unstable();
        waits_for.dedup();
        part.waits_for = waits_for;
    }
    places(source, parts, &names, &mut refuse);
    writes(parts, &mut refuse);
    if let Some(cycle) = graph::cycle(parts) {
        let at = ["aggregates", &*source.aggregate, "parts"];
        errors.push(PlanError::at(&at, &*cycle, format!("wait for one another: {cycle}")));
    }
    let looked_into: HashSet<usize> = parts
        .iter()
        .flat_map(|part| {
            let host = match &part.place {
                Place::Into { host, .. } => Some(*host),
                Place::Member { .. } | Place::Root { .. } => None,
            };
            part.waits_for.iter().copied().chain(host)
        })
        .collect();
    for (number, part) in parts.iter_mut().enumerate() {
        part.is_looked_into = looked_into.contains(&number);
    }
}

fn places(
    source: &PlanSource,
    parts: &[Part],
    names: &[&str],
    refuse: &mut impl FnMut(&str, &str, &str, String),
) {
    let mut claimed: HashMap<String, &str> = HashMap::new();
    for (part, written) in parts.iter().zip(&source.parts) {
        let text = part.place.text(&part.name, names);
        let key = if written.into.is_some() { "into" } else { "merge" };
        if let Place::Into { host, path, .. } = &part.place {
            let is_plain = |host: &Part| matches!(host.place, Place::Member { name: None, .. });
            if !parts.get(*host).is_some_and(is_plain) || *host == usize::MAX {
                let reason = "must lead into a part that stands under its own name".to_owned();
                refuse(&part.name, key, &text, reason);
            }
            if let Some(for_each) = &part.for_each
                && (for_each.part != *host || for_each.path != *path)
            {
                let items = written.for_each.as_deref().unwrap_or_default();
                let reason = format!("must be \"{items}\" and one more name");
                refuse(&part.name, key, &text, reason);
            }
        }
        // Items are joined by their number: another part must not put another list in their place.
        let replaces = |other: &&Part| {
            let outer = other.place.text(&other.name, names);
            let rest = text.strip_prefix(&*outer).filter(|_| other.name != part.name);
            let is_guest = matches!(other.place, Place::Into { .. });
            is_guest && rest.is_some_and(|rest| rest.starts_with('.'))
        };
        if let (Some(_), Some(other)) = (&part.for_each, parts.iter().find(replaces)) {
            let reason = format!("lies within the place of {:?}", other.name);
            refuse(&part.name, key, &text, reason);
        }
        if let Some(first) = claimed.insert(text.clone(), &part.name)
            && written.on_conflict.is_none()
        {
            let reason = format!(
                "claims {text}, as {first:?} does; say `on_conflict = \"first\"`, \"last\", \
                 \"deep\" or \"concat\""
            );
            refuse(&part.name, key, &text, reason);
        }
    }
}

fn writes(parts: &[Part], refuse: &mut impl FnMut(&str, &str, &str, String)) {
    let writes: Vec<usize> = (0..parts.len())
        .filter(|&part| parts.get(part).is_some_and(|p| p.call.is_write()))
        .collect();
    for &second in writes.iter().skip(1) {
        let Some(part) = parts.get(second) else { continue };
        let reason = "is a second write: what the first one did could not be undone".to_owned();
        refuse(&part.name, "call", &part.call.text, reason);
    }
    let Some(&write) = writes.first() else { return };
    for part in parts.iter().filter(|part| part.waits_for.contains(&write)) {
        let reason = "reads the write's answer, and the write runs last".to_owned();
        refuse(&part.name, "call", &part.call.text, reason);
    }
}
