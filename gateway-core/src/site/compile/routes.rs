//! `[routes.*]`: everything a route has, its own and inherited.

use std::sync::Arc;

use shared_config::platform::{self, ServiceProtocol};
use shared_config::units::Duration;

use super::gate::{self, Gates};
use super::limits::Limits;
use super::{Report, constant, views};
use crate::endpoint::Endpoints;
use crate::principal::{IdentityText, Scheme};
use crate::routing::{Pattern, RouteTable};
use crate::site::limits::{self, LimitKey, Part};
use crate::site::{Action, Gate, Limit, LocalEndpoint, Proxy, Route, RouteMetrics};
use crate::transform::InvalidTransform;
use crate::transform::header_edits::HeaderRules;
use crate::transform::request::{RequestRules, RequestTransform};
use crate::transform::response::{ResponseRules, ResponseTransform};

/// The routes of a site, as they are found.
pub(super) struct Routes<'r, 'a> {
    pub(super) report: &'r mut Report<'a>,
    pub(super) limits: &'r Limits<'a>,
    pub(super) endpoints: &'r Endpoints,
    /// Headers that no route may edit.
    pub(super) reserved: &'r [&'r str],
    pub(super) gates: Gates,
    pub(super) found: Vec<Found>,
}

/// A route with the place of its pattern in configuration.
pub(super) struct Found {
    pub(super) route: Route,
    pub(super) pattern: Pattern,
    /// `routes.<name>.match` or `views.<name>.route`.
    pub(super) path: [String; 3],
}

/// What is inherited, or said by the route itself.
pub(super) struct Access<'a> {
    pub(super) section: &'static str,
    pub(super) name: &'a str,
    pub(super) scheme: Option<platform::Scheme>,
    pub(super) is_public: bool,
    pub(super) is_unlimited: bool,
    pub(super) inherited_limits: Vec<&'a String>,
    pub(super) own_limits: &'a [String],
}

impl<'a> Routes<'_, 'a> {
    pub(super) fn compile(&mut self) {
        let platform = self.report.platform();
        for (name, route) in &platform.routes {
            if route.service.is_none() || platform.gateway.exposes(name) {
                self.route(name, route);
            }
        }
        views::compile(self);
    }

    /// The routes and their patterns, side by side; `None` when two of them are the same.
    pub(super) fn finish(self) -> Option<(Vec<Route>, Vec<Pattern>)> {
        let patterns: Vec<Pattern> = self.found.iter().map(|one| one.pattern.clone()).collect();
        if let Err(conflicts) = RouteTable::build(&patterns) {
            for conflict in &conflicts {
                let place = |index: usize| self.found.get(index).map(|found| &found.path);
                let (Some(first), Some(second)) = (place(conflict.first), place(conflict.second))
                else {
                    continue;
                };
                let path: Vec<&str> = second.iter().map(String::as_str).collect();
                let reason = format!("can never be reached beside {}", first.join("."));
                self.report.add(&path, &conflict.second_pattern, &reason);
            }
            return None;
        }
        Some((self.found.into_iter().map(|found| found.route).collect(), patterns))
    }

    fn route(&mut self, name: &'a str, route: &'a platform::Route) {
        let platform = self.report.platform();
        let is_exposed = route.service.is_some();
        let prefix = if is_exposed { platform.gateway.prefix.as_str() } else { "" };
        let Some(pattern) = self.pattern(["routes", name, "match"], &route.pattern, prefix) else {
            return;
        };
        let service = route.service.as_ref().and_then(|name| platform.services.get(name));
        let action = match (&route.local, &route.service) {
            (Some(local), _) => self.local(name, local, &pattern),
            (None, Some(_)) => self.proxy(name, route, &pattern),
            (None, None) => constant::compile(self.report, name, route, &pattern),
        };
        let gate = self.gate(name, route, &pattern);
        let access = access(platform, name, route, service);
        let scopes = self.scopes(name, &route.scopes);
        let (Some(action), Some(gate), Some(scopes), Some((by_address, by_consumer))) =
            (action, gate, scopes, self.limits_of(&access))
        else {
            return;
        };
        let deadline = route.deadline.or_else(|| service.and_then(|service| service.deadline));
        let body_size_max = route.body_size_max.unwrap_or(platform.server.body_size_max);
        let compiled = Route {
            name: name.into(),
            template: pattern.path().into(),
            scheme: scheme(&access),
            scopes,
            limits_by_address: by_address,
            limit_members: limits::members(&by_consumer),
            limits_by_consumer: by_consumer,
            deadline: deadline.unwrap_or(platform.policy.deadline).get(),
            body_size_max: body_size_max.bytes(),
            upload_idle_timeout: route.upload_idle_timeout.map(Duration::get),
            gate,
            action,
            metrics: Arc::new(RouteMetrics::new(name)),
        };
        let path = ["routes", name, "match"].map(str::to_owned);
        self.found.push(Found { route: compiled, pattern, path });
    }

    fn gate(&mut self, name: &str, route: &platform::Route, pattern: &Pattern) -> Option<Gate> {
        if is_constant(route) {
            return Some(Gate::default());
        }
        let levels = gate::of_route(self.report.platform(), name, route);
        let (is_public, params) = (route.public.is_some(), pattern.parameters());
        let gate = self.gates.compile(self.report, &levels, is_public, params);
        let body_schema = gate::body_schema(self.report, name, route);
        Some(Gate { body_schema: body_schema?, ..gate? })
    }

    /// The pattern at a key, behind the gateway's prefix.
    pub(super) fn pattern(&mut self, path: [&str; 3], text: &str, prefix: &str) -> Option<Pattern> {
        let pattern = Pattern::parse(text).and_then(|pattern| pattern.with_prefix(prefix));
        let reason = pattern.map_err(|error| error.reason);
        self.report.keep(&path, text, reason)
    }

    fn scopes(&mut self, name: &str, written: &[String]) -> Option<Vec<IdentityText>> {
        let scopes = written.iter().map(|text| {
            self.report.keep(&["routes", name, "scopes"], text, IdentityText::parse(text))
        });
        scopes.collect()
    }

    /// The route's limits, its own and inherited. Some must hold for its callers: a limit of
    /// consumers means nothing where nobody is identified.
    pub(super) fn limits_of(&mut self, access: &Access<'_>) -> Option<(Vec<Limit>, Vec<Limit>)> {
        let inherited =
            if access.is_unlimited { &[][..] } else { access.inherited_limits.as_slice() };
        let names = inherited.iter().copied().chain(access.own_limits);
        let limits = self.limits.of_route(names, (access.section, access.name));
        let path = [access.section, access.name, "limits"];
        let (by_address, by_consumer) =
            self.report.keep(&path, &access.own_limits.join(", "), limits)?;
        let callers = if access.is_public { LimitKey::Anonymous } else { LimitKey::Consumer };
        let everybody = if access.is_public { Part::Address } else { Part::Consumer };
        let holds_for_callers = |one: &Limit| {
            let of_all = [&Part::Address, &everybody];
            one.key() == callers || one.parts().iter().any(|part| of_all.contains(&part))
        };
        let holds = !by_address.is_empty() || by_consumer.iter().any(holds_for_callers);
        if !holds && !access.is_unlimited {
            let reason = "hold for nobody who comes here: name one with `key = \"address\"`, or with \
                          `anonymous` on a public route and `consumer` on any other";
            self.report.add(&path, &access.own_limits.join(", "), reason);
            return None;
        }
        Some((by_address, by_consumer))
    }

    fn local(&mut self, name: &str, local: &str, pattern: &Pattern) -> Option<Action> {
        let Some(endpoint) = self.endpoints.find(local) else {
            let known: Vec<_> = self.endpoints.names().collect();
            let reason = format!(
                "names no endpoint of this gateway; it has {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
            self.report.add(&["routes", name, "local"], local, &reason);
            return None;
        };
        let params = pattern.parameters().iter().map(|name| (**name).into()).collect();
        Some(Action::Local(LocalEndpoint { endpoint: endpoint.clone(), params }))
    }

    fn proxy(&mut self, name: &str, route: &platform::Route, pattern: &Pattern) -> Option<Action> {
        let platform = self.report.platform();
        let service = route.service.as_deref()?;
        let index = platform.services.keys().position(|known| known == service)?;
        let canary = gate::canary(self.report, name, route)?;
        let speaks_h2 = |index: usize| {
            let service = platform.services.values().nth(index);
            service.is_some_and(|service| service.protocol == Some(ServiceProtocol::H2))
        };
        let mut services = std::iter::once(index).chain(canary.as_ref().map(|it| it.service));
        if route.websocket == Some(true) && services.any(speaks_h2) {
            let reason = "stands beside a service with `protocol = \"h2\"`; a WebSocket needs h1";
            self.report.add(&["routes", name, "websocket"], "true", reason);
            return None;
        }
        let rules = request_rules(route);
        let of_service = platform.services.get(service)?.stream_idle_timeout;
        let stream_idle_timeout = route.stream_idle_timeout.or(of_service);
        let stream_idle_timeout =
            stream_idle_timeout.unwrap_or(platform.upstream.stream_idle_timeout);
        let request = RequestTransform::compile(&rules, pattern.parameters(), self.reserved);
        let request = self.transform(name, request);
        let response = self.transform(name, ResponseTransform::compile(&response_rules(route)));
        let body_size_max = route.body_size_max.unwrap_or(platform.server.body_size_max);
        Some(Action::Service(Box::new(Proxy {
            service: index,
            canary: canary.map(Box::new),
            prefix: platform.gateway.prefix.as_str().into(),
            keeps_paths: route.rewrite.is_none(),
            stream_idle_timeout: stream_idle_timeout.get(),
            takes_websockets: route.websocket == Some(true),
            request: request?,
            response: response?,
            body_size_max: body_size_max.as_usize(),
        })))
    }

    fn transform<T>(
        &mut self,
        name: &str,
        compiled: Result<T, Vec<InvalidTransform>>,
    ) -> Option<T> {
        let report = &mut *self.report;
        compiled
            .map_err(|errors| {
                for error in errors {
                    let mut path = vec!["routes", name];
                    path.extend(error.key.split('.'));
                    report.add(&path, &error.value, &error.reason);
                }
            })
            .ok()
    }
}

fn access<'a>(
    platform: &'a platform::Platform,
    name: &'a str,
    route: &'a platform::Route,
    service: Option<&'a platform::Service>,
) -> Access<'a> {
    let of_service = service.map_or(&[][..], |service| service.limits.as_slice());
    Access {
        section: "routes",
        name,
        scheme: route
            .scheme
            .or_else(|| service.and_then(|service| service.scheme))
            .or(platform.gateway.scheme),
        is_public: route.public.is_some(),
        is_unlimited: route.unlimited.is_some() || is_constant(route),
        inherited_limits: platform.policy.limits.iter().chain(of_service).collect(),
        own_limits: &route.limits,
    }
}

/// Answered at once, and so before any limit.
const fn is_constant(route: &platform::Route) -> bool {
    route.respond.is_some() || route.redirect.is_some()
}

/// A public route identifies nobody.
pub(super) fn scheme(access: &Access<'_>) -> Option<Scheme> {
    if access.is_public {
        return None;
    }
    access.scheme.map(|scheme| match scheme {
        platform::Scheme::Session => Scheme::Session,
        platform::Scheme::Jwt => Scheme::Jwt,
        platform::Scheme::ApiKey => Scheme::ApiKey,
        platform::Scheme::ClientCertificate => Scheme::ClientCertificate,
    })
}

fn request_rules(route: &platform::Route) -> RequestRules {
    let edits = &route.request;
    RequestRules {
        rewrite: route.rewrite.clone(),
        query: pairs(&edits.query),
        headers: HeaderRules {
            set: pairs(&edits.set_headers),
            append: pairs(&edits.append_headers),
            remove: edits.remove_headers.clone(),
        },
        remove_body_fields: edits.remove_body_fields.clone(),
    }
}

fn response_rules(route: &platform::Route) -> ResponseRules {
    let edits = &route.response;
    ResponseRules {
        headers: HeaderRules {
            set: pairs(&edits.set_headers),
            append: pairs(&edits.append_headers),
            remove: edits.remove_headers.clone(),
        },
        remove_body_fields: edits.remove_body_fields.clone(),
        xml_to_json: edits.body == Some(platform::BodyRule::XmlToJson),
    }
}

fn pairs(table: &std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
    table.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
