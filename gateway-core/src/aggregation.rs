//! Aggregation: one request, answered from several services.
//!
//! A team declares once which calls make up an answer (a [`Plan`]); each gateway shows its own
//! [`View`] of it. Read in this order: [`plan`] is the declaration, `call`, `template` and
//! [`bindings`] how calls take values from the request and from one another, [`run`] makes them,
//! `judge` says what of an answer is kept, `items` joins what was fetched for a list, `compose`
//! writes the answer from [`fields`] and `projection`, [`progress`] sends it as it lands,
//! [`status`] reports, [`failure`] is the answer when there is none. [`part_cache`] keeps answers.
//!
//! Invariants
//! - Values keep their exact bytes: no number is rounded, no key is moved.
//! - Parts stand in declaration order, whichever landed first.
//! - An answer that lacks anything says so (`Aggregate-Status`) and is not stored.
//!
//! Not here: connections, identity headers and the assertion (the pipeline's `Caller`), any
//! computing of values (that is a service's job).

pub mod bindings;
pub mod call;
pub mod caller;
mod compose;
mod condition;
mod contract;
mod entity_tag;
pub mod failure;
pub mod fields;
mod insert;
mod items;
mod json_scan;
mod judge;
pub mod merge;
pub mod part_cache;
pub mod plan;
pub mod progress;
mod projection;
pub mod run;
mod shape;
pub mod status;
mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod values;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use bindings::{Inputs, Source};
use caller::Caller;
use failure::AggregateFailed;
use fields::Fields;
use plan::{CallsMax, Plan, PlanError};
use run::{Environment, Run};
use status::Report;

/// A view as it is declared.
#[derive(Debug, Clone)]
pub struct ViewSource {
    /// `[views.<name>]`, which is also the aggregate's name.
    pub name: String,
    /// What is shown: `profile(name),links/items(id)`, or `*`.
    pub fields: String,
    /// What of that is not shown all the same.
    pub drop: Option<String>,
    /// The most elements of an array, by its path: `links/items`.
    pub limits: Vec<(String, usize)>,
    /// Whether the body carries the report as `_meta`.
    pub has_meta: bool,
    /// The names of the path parameters of the view's route, in the order of its pattern.
    pub params: Vec<Box<str>>,
    /// Whether a request that only reads, a `GET`, can reach the view.
    pub takes_safe_methods: bool,
}

/// What one gateway shows of an aggregate.
#[derive(Debug)]
pub struct View {
    plan: Arc<Plan>,
    selection: Selection,
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
        if plan.has_write() && source.takes_safe_methods {
            let reason = "must take no method that only reads: the aggregate holds a write";
            errors.push(PlanError::at(&["views", &*source.name, "route"], "", reason));
        }
        let fields = shown_fields(source, &plan).map_err(|mut found| errors.append(&mut found));
        match fields {
            Ok(fields) if errors.is_empty() => {
                let params = source.params.clone();
                let selection = Selection::of(fields, &plan);
                Ok(Self { plan, selection, has_meta: source.has_meta, params })
            }
            _ => Err(errors),
        }
    }

    /// The plan it is a view of.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What is shown.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.selection.fields
    }

    /// Whether the body carries the report.
    #[must_use]
    pub const fn has_meta(&self) -> bool {
        self.has_meta
    }

    /// How often each part that is shown may call its service for one request, retries left out.
    pub(crate) fn calls_max(&self) -> impl Iterator<Item = CallsMax<'_>> {
        let parts = self.plan.parts.iter().zip(&self.selection.called);
        parts.filter(|(_, called)| **called).map(|(part, _)| part.calls_max(&self.plan.caps))
    }

    /// Which parts a request calls that asks for no fields of its own.
    pub(crate) fn called(&self) -> &[bool] {
        &self.selection.called
    }

    /// Answers one request: makes the calls and puts the parts together.
    ///
    /// A `fields` parameter in the query narrows the view for this answer. Each call ends at the
    /// aggregate's deadline or when the answer is due, whichever comes first. Dropping the future
    /// gives all calls up.
    ///
    /// # Errors
    ///
    /// [`AggregateFailed`] when a required part or all parts failed, or when the request asks for
    /// what the view does not show.
    pub async fn answer<C: Caller>(
        &self,
        environment: &Environment<C>,
        inputs: &Inputs<'_>,
    ) -> Result<Composed, AggregateFailed> {
        let selection = self.selection_for(inputs)?;
        let mut run = Run::new(&self.plan, &selection, inputs, &self.params);
        run.run(environment, |_, _| {}).await?;
        let report = run.report();
        match run.body(self.has_meta.then_some(&report)) {
            Ok(body) => Ok(Composed { body, report, headers: compose::headers(&run) }),
            Err(_) => Err(run.too_large()),
        }
    }

    /// What is shown of it to one request.
    fn selection_for(&self, inputs: &Inputs<'_>) -> Result<Cow<'_, Selection>, AggregateFailed> {
        let Some(asked) = inputs.query("fields") else { return Ok(Cow::Borrowed(&self.selection)) };
        let narrowed = self.selection.fields.narrow(&Fields::parse(&asked)?)?;
        Ok(Cow::Owned(Selection::of(narrowed, &self.plan)))
    }
}

/// What is shown, and what is called for it: settled once for a view, and again only where a
/// client asks for less.
#[derive(Debug, Clone)]
struct Selection {
    fields: Fields,
    /// Whether anything of a part is shown, by its number.
    shown: Vec<bool>,
    /// Whether a part is called: what is shown, required or a write, and what those read.
    called: Vec<bool>,
}

impl Selection {
    fn of(fields: Fields, plan: &Plan) -> Self {
        let shown: Vec<bool> = plan.parts.iter().map(|part| plan.shows(part, &fields)).collect();
        let called = plan.called_for(&shown);
        Self { fields, shown, called }
    }
}

/// The fields of a view with their limits, and with `*` spelled out as the parts there are.
fn shown_fields(source: &ViewSource, plan: &Plan) -> Result<Fields, Vec<PlanError>> {
    let refused = |reason: String| {
        vec![PlanError::at(&["views", &*source.name, "fields"], &*source.fields, reason)]
    };
    let mut fields = Fields::parse(&source.fields).map_err(|error| refused(error.to_string()))?;
    if fields.shows_others() && !plan.has_open_root() {
        fields = Fields::each_of(plan.members());
    }
    let is_member = |name: &str| plan.members().any(|member| member == name);
    if let Some(unknown) = fields.names().find(|name| !is_member(name) && !plan.has_open_root()) {
        return Err(refused(format!("there is no part {unknown:?}")));
    }
    if let Some(text) = &source.drop {
        let at = ["views", &*source.name, "drop"];
        let dropped = Fields::parse(text).map_err(|error| error.to_string());
        let hidden = dropped.and_then(|dropped| fields.hide(&dropped));
        hidden.map_err(|reason| vec![PlanError::at(&at, &**text, reason)])?;
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
        let condition = part.when.iter().flat_map(condition::Condition::sources);
        for read in part.call.sources().chain(condition) {
            let Source::Path(param) = read else { continue };
            if !source.params.contains(param) {
                let reason = format!("part {:?} reads a path parameter it lacks", part.name);
                errors.push(PlanError::at(&["views", &*source.name, "route"], &**param, reason));
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
    /// What clients see of the services' header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
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
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        self.report.add_headers(headers);
    }

    /// The strong `ETag` of a whole answer, of `salt` and the body; `None` for an answer that lacks
    /// anything.
    ///
    /// `salt` begins with at least eight secret bytes and differs by principal, so that nobody learns
    /// from two tags whether two callers were told the same.
    #[must_use]
    pub fn etag(&self, salt: &[u8]) -> Option<HeaderValue> {
        if self.report.is_whole() { entity_tag::strong(salt, [&*self.body]) } else { None }
    }
}
