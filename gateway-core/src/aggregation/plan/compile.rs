//! How a declaration becomes a plan: every part for itself, then what holds between parts.

mod between;
mod part;

use std::collections::HashSet;

use http::{HeaderName, header};

use self::part::Compiling;
use super::graph;
use super::place::Place;
use super::source::{HeaderRule, PlanError, PlanSource, Resolve};
use super::{Part, Plan};
use crate::aggregation::bindings::Source;
use crate::header::HOP_BY_HOP;

impl Plan {
    /// Checks and compiles a declaration. `resolve` knows the services by name.
    ///
    /// # Errors
    ///
    /// Every mistake of the declaration.
    pub fn compile(source: &PlanSource, resolve: Resolve<'_>) -> Result<Self, Vec<PlanError>> {
        let mut errors = Vec::new();
        whole(source, &mut errors);
        let response_headers = response_headers(source, &mut errors);
        let mut parts = Vec::with_capacity(source.parts.len());
        for part in &source.parts {
            let mut compiling = Compiling { source, part, found: Vec::new() };
            parts.extend(compiling.part(resolve));
            errors.append(&mut compiling.found);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        between::check(source, &mut parts, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        mark_spare(&mut parts, source.brownout_weight_max);
        let reads =
            |part: &Part| part.call.sources().any(|source| matches!(source, Source::Body(_)));
        Ok(Self {
            aggregate: (*source.aggregate).into(),
            deadline: source.deadline,
            reads_body: parts.iter().any(reads),
            is_plain: parts
                .iter()
                .all(|part| matches!(part.place, Place::Member { name: None, .. })),
            parts,
            caps: source.caps,
            response_headers,
            set_cookies: source.set_cookies.iter().map(|name| (**name).into()).collect(),
        })
    }
}

/// Marks what the answer can do without under overload: light parts that neither are required nor
/// write anything, and that nothing such reads. Of an answer that would be nothing but those, the
/// heaviest stay.
fn mark_spare(parts: &mut [Part], weight_max: u32) {
    let is_light =
        |part: &Part| part.weight <= weight_max && !part.is_required() && !part.call.is_write();
    let heaviest = parts.iter().map(|part| part.weight).max();
    let are_all_light = parts.iter().all(is_light);
    let stays = |part: &Part| !is_light(part) || (are_all_light && Some(part.weight) == heaviest);
    let mut stay: Vec<bool> = parts.iter().map(stays).collect();
    graph::close(parts, &mut stay);
    for (part, stays) in parts.iter_mut().zip(stay) {
        part.is_spare = !stays;
    }
}

/// What holds for the aggregate as a whole.
fn whole(source: &PlanSource, errors: &mut Vec<PlanError>) {
    let at = ["aggregates", &*source.aggregate, "parts"];
    if source.parts.is_empty() || source.parts.len() > source.caps.parts_max {
        let reason = format!("must be from 1 to {} parts", source.caps.parts_max);
        errors.push(PlanError::at(&at, source.parts.len().to_string(), reason));
    }
    if source.deadline.is_zero() {
        let at = ["aggregates", &*source.aggregate, "deadline"];
        errors.push(PlanError::at(&at, "0s", "must be longer than nothing"));
    }
    let mut names = HashSet::new();
    for part in source.parts.iter().filter(|part| !names.insert(&*part.name)) {
        errors.push(PlanError::at(&at, &*part.name, "two parts have this name"));
    }
}

/// Fields that only this gateway may say of its answer.
const OWN_FIELDS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CACHE_CONTROL,
    header::ETAG,
    header::SET_COOKIE,
];

fn response_headers(
    source: &PlanSource,
    errors: &mut Vec<PlanError>,
) -> Vec<(HeaderName, HeaderRule)> {
    let mut headers = Vec::new();
    for (name, rule) in &source.response_headers {
        let mut refuse = |reason: &str| {
            let at = ["aggregates", &*source.aggregate, "response_headers", name];
            errors.push(PlanError::at(&at, &**name, reason));
        };
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => refuse("is no name of a header field"),
            Ok(name) if name == header::SET_COOKIE => {
                refuse("must be absent: name the cookies under `set_cookies`");
            }
            Ok(name)
                if OWN_FIELDS.contains(&name)
                    || HOP_BY_HOP.contains(&name.as_str())
                    || source.reserved_headers.iter().any(|own| *own == name.as_str()) =>
            {
                refuse("must be absent: the gateway says this itself");
            }
            Ok(name) => headers.push((name, *rule)),
        }
    }
    headers
}
