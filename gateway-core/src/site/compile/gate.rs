//! `require`, `maintenance`, `decide`, `canary` and `body_schema`, of all levels.
//!
//! Requirements of all levels hold together. Of the others the nearest level counts: a route's (or
//! view's), else its service's, else the policy's. What is inherited asks nothing where nobody is
//! identified: a public route has no caller to require anything of, and a service decides about
//! its requests only where the route itself says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::uri::PathAndQuery;
use jsonschema::Draft;
use serde_json::Value;
use shared_config::platform;

use super::Report;
use crate::authorization::decision::DecisionPoint;
use crate::authorization::{Requirement, Rule};
use crate::inspection::{BodySchema, openapi};
use crate::routing::canary::Canary;
use crate::site::gate::{Gate, Maintenance};

/// What one level says.
pub(super) struct Level<'a> {
    path: Vec<&'a str>,
    require: Option<&'a str>,
    maintenance: Option<&'a platform::Maintenance>,
    decide: Option<&'a platform::Decide>,
}

macro_rules! level {
    ($path:expr, $written:expr) => {
        Level {
            path: $path.to_vec(),
            require: $written.require.as_deref(),
            maintenance: $written.maintenance.as_ref(),
            decide: $written.decide.as_ref(),
        }
    };
}

/// The levels above a route, from the widest.
fn inherited<'a>(platform: &'a platform::Platform, service: Option<&'a str>) -> Vec<Level<'a>> {
    let mut levels = vec![level!(["policy"], platform.policy)];
    if let Some((name, service)) = service.and_then(|name| platform.services.get_key_value(name)) {
        levels.push(level!(["services", name.as_str()], service));
    }
    levels
}

/// The levels of a route.
pub(super) fn of_route<'a>(
    platform: &'a platform::Platform,
    name: &'a str,
    route: &'a platform::Route,
) -> Vec<Level<'a>> {
    let mut levels = inherited(platform, route.service.as_deref());
    levels.push(level!(["routes", name], route));
    levels
}

/// The levels of a view. It shows what the services of its parts say, so whoever sees it must be
/// one whom each of them is for. What decides about their routes is asked about those alone: a
/// configuration in which such a view says nothing of its own was not loaded.
pub(super) fn of_view<'a>(
    platform: &'a platform::Platform,
    name: &'a str,
    aggregate: &str,
    view: &'a platform::View,
) -> Vec<Level<'a>> {
    let mut levels = inherited(platform, None);
    let parts = platform.aggregates.get(aggregate).into_iter().flat_map(|written| written.parts());
    let called = parts.filter_map(|(_, part)| part.call.split_once(' ')?.1.split_once(":/"));
    let called: BTreeSet<&str> = called.map(|(service, _)| service).collect();
    for service in called {
        let written = platform.services.get(service).and_then(|written| written.require.as_deref());
        let path = vec!["services", service];
        levels.push(Level { path, require: written, maintenance: None, decide: None });
    }
    levels.push(level!(["views", name], view));
    levels
}

/// Compiles gates. What several routes inherit is compiled once, so that they share its answers.
#[derive(Default)]
pub(super) struct Gates {
    decisions: BTreeMap<String, Option<Arc<DecisionPoint>>>,
}

impl Gates {
    /// The gate of a route; `None` when something about it is wrong.
    pub(super) fn compile(
        &mut self,
        report: &mut Report<'_>,
        levels: &[Level<'_>],
        is_public: bool,
        params: &[Box<str>],
    ) -> Option<Gate> {
        let require = if is_public { Some(Box::default()) } else { requirements(report, levels) };
        let own = levels.last().filter(|_| is_public).map_or(levels, std::slice::from_ref);
        let decide = own.iter().rev().find_map(|level| Some((level, level.decide?)));
        let decide = match decide {
            Some((level, written)) => Some(self.decision(report, level, written)?),
            None => None,
        };
        let closed = levels.iter().rev().find_map(|level| Some((level, level.maintenance?)));
        let params = if decide.is_some() { params.into() } else { Box::default() };
        let maintenance =
            closed.map(|(level, written)| Arc::new(maintenance(&level.path, written)));
        Some(Gate { maintenance, require: require?, decide, params, body_schema: None })
    }

    fn decision(
        &mut self,
        report: &mut Report<'_>,
        level: &Level<'_>,
        written: &platform::Decide,
    ) -> Option<Arc<DecisionPoint>> {
        let key = level.path.join(".");
        let known = self.decisions.entry(key);
        known.or_insert_with(|| decision(report, level, written).map(Arc::new)).clone()
    }
}

fn requirements(report: &mut Report<'_>, levels: &[Level<'_>]) -> Option<Box<[Requirement]>> {
    let written = levels.iter().filter_map(|level| Some((level, level.require?)));
    let compiled: Vec<Option<Requirement>> = written
        .map(|(level, text)| {
            let path = [level.path.as_slice(), &["require"]].concat();
            let rule = report.keep(&path, text, Rule::parse(text))?;
            Some(Requirement::new(&path.join("."), rule))
        })
        .collect();
    compiled.into_iter().collect()
}

/// The maintenance that stands at `path`.
pub(super) fn maintenance(path: &[&str], written: &platform::Maintenance) -> Maintenance {
    Maintenance {
        key: format!("{}.maintenance", path.join(".")).into(),
        retry_after: written.retry_after.get(),
        detail: written.detail.as_deref().map(Into::into),
    }
}

/// Loading has checked its shape and its service.
fn decision(
    report: &mut Report<'_>,
    level: &Level<'_>,
    written: &platform::Decide,
) -> Option<DecisionPoint> {
    let (service, target) = written.call.strip_prefix("POST ")?.split_once(':')?;
    let service = report.platform().services.keys().position(|known| known == service)?;
    let path = [level.path.as_slice(), &["decide", "call"]].concat();
    let target = target.parse::<PathAndQuery>();
    let target = target.map_err(|_| "must be a path and perhaps a query behind the colon");
    let target = report.keep(&path, &written.call, target)?;
    let lifetime = written.cache.map(|cache| cache.get());
    Some(DecisionPoint::new(service, target, written.deadline.get(), lifetime))
}

/// The canary of a route, its own or its service's.
#[expect(clippy::option_option, reason = "none, or one that is wrong")]
pub(super) fn canary(
    report: &mut Report<'_>,
    name: &str,
    route: &platform::Route,
) -> Option<Option<Canary>> {
    let platform = report.platform();
    let service = route.service.as_deref()?;
    let of_service = || platform.services.get(service).and_then(|service| service.canary.as_ref());
    let (written, path) = match (&route.canary, of_service()) {
        (Some(own), _) => (own, ["routes", name, "canary", "header"]),
        (None, Some(inherited)) => (inherited, ["services", service, "canary", "header"]),
        (None, None) => return Some(None),
    };
    let index = platform.services.keys().position(|known| *known == written.service)?;
    if platform.services.get(&written.service).is_some_and(|other| other.maintenance.is_some()) {
        // Nobody goes where it is closed.
        return Some(None);
    }
    let header = match &written.header {
        Some(header) => Some(report.header(&path, header)?),
        None => None,
    };
    let canary = Canary::new(index, &written.service, written.percent);
    let by_address = written.by == platform::CanaryKey::Address;
    Some(Some(canary.with_header(header).by_address(by_address)))
}

/// The schema of a route's bodies.
#[expect(clippy::option_option, reason = "none, or one that is wrong")]
pub(super) fn body_schema(
    report: &mut Report<'_>,
    name: &str,
    route: &platform::Route,
) -> Option<Option<Arc<BodySchema>>> {
    let Some(written) = &route.body_schema else { return Some(None) };
    let loaded = report.loaded;
    let own = |schema: &Value| {
        let compiled = BodySchema::compile(schema, Draft::Draft202012);
        compiled.map_err(|error| error.to_string())
    };
    let (key, value, compiled) = match written {
        platform::BodySchema { file: Some(file), .. } => {
            ("file", file.as_str(), loaded.json_file(file).and_then(|schema| own(&schema)))
        }
        platform::BodySchema { openapi: Some(file), operation: Some(operation), .. } => {
            let document = loaded.json_file(file);
            let schema = document.and_then(|document| openapi::body_schema(&document, operation));
            ("openapi", file.as_str(), schema)
        }
        platform::BodySchema { schema: Some(schema), .. } => {
            let schema = Value::Object(schema.clone().into_iter().collect());
            ("schema", "", own(&schema))
        }
        platform::BodySchema { .. } => return None,
    };
    let schema = report.keep(&["routes", name, "body_schema", key], value, compiled)?;
    Some(Some(Arc::new(schema)))
}
