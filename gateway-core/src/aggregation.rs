//! Aggregation: one request, answered from several services.
//!
//! A team declares once which calls make up an answer (a [`Plan`]); each gateway shows its own
//! [`View`] of it. Read in this order: [`plan`] is the declaration, [`bindings`] how calls take
//! values from the request, [`parts`] runs them, [`fields`] and `projection` say what is shown of
//! each, [`status`] reports, [`failure`] is the answer when there is none.
//!
//! Invariants
//! - Values keep their exact bytes: no number is rounded, no key is moved.
//! - Parts stand in declaration order, whichever landed first.
//! - An answer that lacks anything says so (`Aggregate-Status`) and is not stored.
//!
//! Not here: connections, identity headers and the assertion (the pipeline's `Caller`), any
//! computing of values (that is a service's job).

pub mod bindings;
pub mod failure;
pub mod fields;
mod json_scan;
pub mod parts;
pub mod plan;
mod projection;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, Moment};

use bindings::Inputs;
use failure::AggregateFailed;
use fields::Fields;
use parts::{Caller, Parts};
use plan::{Plan, PlanError};
use status::Report;

/// A view as it is declared.
#[derive(Debug, Clone)]
pub struct ViewSource {
    /// `[views.<name>]`, which is also the aggregate's name.
    pub name: String,
    /// What is shown: `profile(name),links/items(id)`, or `*`.
    pub fields: String,
    /// The most elements of an array, by its path: `links/items`.
    pub limits: Vec<(String, usize)>,
    /// Whether the body carries the report as `_meta`.
    pub has_meta: bool,
    /// The names of the path parameters of the view's route, in the order of its pattern.
    pub params: Vec<Box<str>>,
}

/// What one gateway shows of an aggregate.
#[derive(Debug)]
pub struct View {
    plan: Arc<Plan>,
    fields: Fields,
    has_meta: bool,
    params: Vec<Box<str>>,
}

impl View {
    /// Checks and compiles a declaration against the plan it is a view of.
    ///
    /// # Errors
    ///
    /// Every mistake of the declaration: fields of parts that do not exist, limits on what is not
    /// shown, path parameters that the route does not have.
    pub fn compile(source: &ViewSource, plan: Arc<Plan>) -> Result<Self, Vec<PlanError>> {
        let mut errors = missing_params(source, &plan);
        let fields = shown_fields(source, &plan).map_err(|mut found| errors.append(&mut found));
        match fields {
            Ok(fields) if errors.is_empty() => {
                let params = source.params.clone();
                Ok(Self { plan, fields, has_meta: source.has_meta, params })
            }
            _ => Err(errors),
        }
    }

    /// Answers one request: makes the calls and puts the parts together.
    ///
    /// A `fields` parameter in the query narrows the view for this answer. Each call ends at the
    /// aggregate's deadline or at `due`, whichever comes first. Dropping the future gives all
    /// calls up.
    ///
    /// # Errors
    ///
    /// [`AggregateFailed`] when a required part or all parts failed, or when the request asks for
    /// what the view does not show.
    pub async fn answer<C: Caller>(
        &self,
        caller: &C,
        clock: &Clock,
        inputs: &Inputs<'_>,
        due: Moment,
    ) -> Result<Composed, AggregateFailed> {
        let fields = match inputs.query("fields") {
            Some(asked) => Cow::Owned(self.fields.narrow(&Fields::parse(&asked)?)?),
            None => Cow::Borrowed(&self.fields),
        };
        let mut parts = Parts::prepare(&self.plan, &fields, inputs, &self.params)?;
        let due = due.min(clock.now().after(self.plan.deadline));
        parts.run(caller, clock, due).await?;
        let report = parts.report();
        let body = parts.body(self.has_meta.then_some(&report));
        Ok(Composed { body, report })
    }
}

/// The fields of a view with their limits, and with `*` spelled out as the parts there are.
fn shown_fields(source: &ViewSource, plan: &Plan) -> Result<Fields, Vec<PlanError>> {
    let refused = |reason: String| {
        vec![PlanError::at(&["views", &*source.name, "fields"], &*source.fields, reason)]
    };
    let mut fields = Fields::parse(&source.fields).map_err(|error| refused(error.to_string()))?;
    if fields.shows_others() {
        fields = Fields::each_of(plan.parts());
    }
    if let Some(unknown) = fields.names().find(|name| plan.parts().all(|part| part != *name)) {
        return Err(refused(format!("there is no part {unknown:?}")));
    }
    let mut errors = Vec::new();
    for (path, limit) in &source.limits {
        if !fields.set_limit(path, *limit) {
            let at = ["views", &*source.name, "limit", path];
            errors.push(PlanError::at(&at, limit.to_string(), "the view shows nothing there"));
        }
    }
    if errors.is_empty() { Ok(fields) } else { Err(errors) }
}

/// The path parameters that parts read and the view's route does not have.
fn missing_params(source: &ViewSource, plan: &Plan) -> Vec<PlanError> {
    let mut errors = Vec::new();
    for part in &plan.parts {
        for param in part.call.params() {
            if source.params.iter().all(|known| **known != *param) {
                let reason = format!("part {:?} reads a path parameter it lacks", part.name);
                errors.push(PlanError::at(&["views", &*source.name, "route"], param, reason));
            }
        }
    }
    errors
}

/// An answer.
#[derive(Debug)]
pub struct Composed {
    /// One JSON object: a member for each part that is shown.
    pub body: Bytes,
    /// What became of the parts.
    pub report: Report,
}

impl Composed {
    /// Adds what belongs to the answer: its type, whether it may be stored, and the report.
    ///
    /// A whole answer may be kept by the client alone, which asks again with its `ETag`; one that
    /// lacks anything is not stored at all. `Accept-Ranges` is not offered: ranges are ignored.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let storing = if self.report.is_whole() { "private, no-cache" } else { "no-store" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(storing));
        self.report.add_headers(headers);
    }

    /// The strong `ETag` of a whole answer: 128 bits of SHA-256 over `salt` and the body; `None`
    /// for an answer that lacks anything.
    ///
    /// `salt` is secret and differs by principal, so that nobody learns from two tags whether two
    /// callers were told the same.
    #[must_use]
    pub fn etag(&self, salt: &[u8]) -> Option<HeaderValue> {
        if !self.report.is_whole() {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update((salt.len() as u64).to_be_bytes());
        hash.update(salt);
        hash.update(&self.body);
        let digest = hash.finalize();
        let tag = BASE64_URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>()?);
        HeaderValue::from_str(&format!("\"{tag}\"")).ok()
    }
}
