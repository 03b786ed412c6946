//! `[aggregates.*]` and `[views.*]`: plans, and what this gateway shows of them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shared_config::platform::{self, Platform};
use shared_config::units::Duration as Length;

use super::gate;
use super::routes::{Access, Found, Routes, scheme};
use crate::aggregation::merge::Policy;
use crate::aggregation::plan::{
    BatchSource, CacheSource, Caps, HeaderRule, Need, PartSource, Plan, PlanError, PlanSource,
};
use crate::aggregation::{View, ViewSource};
use crate::metric::Label;
use crate::site::limits;
use crate::site::{Action, Aggregate, Route, RouteMetrics};
use crate::transform::xml;

/// Adds a route for each view.
pub(super) fn compile(routes: &mut Routes<'_, '_>) {
    let platform = routes.report.platform();
    for (name, view) in &platform.views {
        let aggregate = view.aggregate.as_deref().unwrap_or(name);
        if let Some(written) = platform.aggregates.get(aggregate) {
            add_view(routes, name, view, aggregate, written);
        }
    }
    // Plans that no view of this gateway uses are checked all the same.
    for (name, aggregate) in &platform.aggregates {
        let is_used = |(view, written): (&String, &platform::View)| {
            written.aggregate.as_deref().unwrap_or(view) == name
        };
        if !platform.views.iter().any(is_used) {
            plan(routes, name, aggregate);
        }
    }
}

fn add_view<'a>(
    routes: &mut Routes<'_, 'a>,
    name: &'a str,
    view: &'a platform::View,
    aggregate: &str,
    written: &platform::Aggregate,
) {
    let platform = routes.report.platform();
    let pattern = routes.pattern(["views", name, "route"], &view.route, "");
    let plan = plan(routes, aggregate, written);
    let (Some(pattern), Some(plan)) = (pattern, plan) else { return };
    let source = ViewSource {
        name: name.to_owned(),
        fields: view.fields.clone(),
        drop: view.drop.clone(),
        limits: view.limit.iter().map(|(path, limit)| (path.clone(), *limit)).collect(),
        has_meta: view.meta,
        params: pattern.parameters().to_vec(),
        takes_safe_methods: pattern.takes_safe_methods(),
    };
    let compiled = View::compile(&source, Arc::new(plan));
    let compiled = compiled.map_err(|errors| note(routes, &errors)).ok();
    let (access, written_deadline) = (access(platform, name, view), view.deadline);
    let levels = gate::of_view(platform, name, aggregate, view);
    let params = pattern.parameters();
    let gate = routes.gates.compile(routes.report, &levels, access.is_public, params);
    let (Some(view), Some(gate), Some((by_address, by_consumer))) =
        (compiled, gate, routes.limits_of(&access))
    else {
        return;
    };
    let deadline = written_deadline.unwrap_or(platform.policy.deadline);
    let route = Route {
        name: name.into(),
        template: pattern.path().into(),
        scheme: scheme(&access),
        scopes: Vec::new(),
        limits_by_address: by_address,
        limit_members: limits::members(&by_consumer),
        limits_by_consumer: by_consumer,
        deadline: deadline.get(),
        body_size_max: platform.server.body_size_max.bytes(),
        upload_idle_timeout: None,
        gate,
        action: Action::Aggregate(Arc::new(Aggregate {
            succeeded: view.plan().parts().map(|_| OnceLock::new()).collect(),
            view: Arc::new(view),
            label: Label::from(aggregate),
            body_size_max: platform.server.body_size_max.as_usize(),
        })),
        metrics: Arc::new(RouteMetrics::new(name)),
    };
    let path = ["views", name, "route"].map(str::to_owned);
    routes.found.push(Found { route, pattern, path });
}

fn access<'a>(platform: &'a Platform, name: &'a str, view: &'a platform::View) -> Access<'a> {
    Access {
        section: "views",
        name,
        scheme: view.scheme.or(platform.gateway.scheme),
        is_public: view.public.is_some(),
        is_unlimited: view.unlimited.is_some(),
        inherited_limits: platform.policy.limits.iter().collect(),
        own_limits: &view.limits,
    }
}

fn plan(routes: &mut Routes<'_, '_>, name: &str, written: &platform::Aggregate) -> Option<Plan> {
    let platform = routes.report.platform();
    let source = PlanSource {
        aggregate: name.to_owned(),
        deadline: written.deadline.get(),
        is_all_or_nothing: written.need == Some(platform::Need::Required),
        parts: written.parts().map(|(name, part)| part_source(name, part)).collect(),
        caps: caps(platform),
        response_headers: written
            .response_headers
            .iter()
            .map(|(name, rule)| (name.clone(), header_rule(*rule)))
            .collect(),
        set_cookies: written.set_cookies.clone(),
        reserved_headers: routes.reserved.iter().map(|&name| name.to_owned()).collect(),
    };
    let resolve = |service: &str| platform.services.keys().position(|known| known == service);
    Plan::compile(&source, &resolve).map_err(|errors| note(routes, &errors)).ok()
}

fn part_source(name: &str, part: &platform::Part) -> PartSource {
    let pairs = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    PartSource {
        name: name.to_owned(),
        call: part.call.clone(),
        headers: pairs(&part.headers),
        body: part.body.clone(),
        when: part.when.clone(),
        for_each: part.for_each.clone(),
        batch: part.batch.as_ref().map(|batch| BatchSource {
            size: batch.size,
            key: batch.key.clone(),
            from: batch.from.clone(),
        }),
        into: part.into.clone(),
        is_merged_into_root: part.merge == Some(platform::Merge::Root),
        on_conflict: part.on_conflict.map(policy),
        need: part.need.map(|need| match need {
            platform::Need::Required => Need::Required,
            platform::Need::Optional => Need::Optional,
            platform::Need::Fallback => Need::Fallback,
        }),
        fallback: part.fallback.as_ref().map(ToString::to_string),
        xml_to_json: part.convert.map(|platform::BodyRule::XmlToJson| {
            (|document: &[u8]| xml::to_json(document).ok()) as fn(&[u8]) -> Option<Vec<u8>>
        }),
        drop: part.drop.clone(),
        rename: pairs(&part.rename),
        flatten: part.flatten.clone(),
        limits: part.limit.iter().map(|(path, limit)| (path.clone(), *limit)).collect(),
        required_fields: part.required_fields.clone(),
        schema: part.schema.clone(),
        owner: part.owner.clone(),
        cache: part.cache.as_ref().map(|cache| CacheSource {
            ttl: cache.ttl.get(),
            stale_while_revalidate: cache
                .stale_while_revalidate
                .map_or(Duration::ZERO, Length::get),
            stale_if_error: cache.stale_if_error.map_or(Duration::ZERO, Length::get),
            is_shared: cache.scope == platform::CacheScope::Shared,
        }),
        deadline: part.deadline.map(|length| length.get()),
        weight: part.weight,
    }
}

const fn policy(conflict: platform::Conflict) -> Policy {
    match conflict {
        platform::Conflict::First => Policy::First,
        platform::Conflict::Last => Policy::Last,
        platform::Conflict::Deep => Policy::Deep,
        platform::Conflict::Concat => Policy::Concat,
    }
}

const fn header_rule(rule: platform::HeaderRule) -> HeaderRule {
    match rule {
        platform::HeaderRule::First => HeaderRule::First,
        platform::HeaderRule::All => HeaderRule::All,
        platform::HeaderRule::Join => HeaderRule::Join,
    }
}

fn caps(platform: &Platform) -> Caps {
    let aggregation = &platform.aggregation;
    Caps {
        parts_max: aggregation.parts_max,
        concurrent_calls_max: aggregation.concurrent_calls_max,
        part_size_max: aggregation.part_size_max.as_usize(),
        answer_size_max: aggregation.answer_size_max.as_usize(),
        items_max: aggregation.items_max,
    }
}

fn note(routes: &mut Routes<'_, '_>, errors: &[PlanError]) {
    for error in errors {
        let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
        routes.report.add(&path, &error.value, &error.reason);
    }
}
