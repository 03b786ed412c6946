//! `explain`: what a request would do, without doing it.

use std::fmt::Write as _;

use http::Method;
use shared_config::units::Duration;

use super::worst_case;
use crate::aggregation::plan::explain;
use crate::guard::path;
use crate::principal::Scheme;
use crate::site::{Action, Route, Site};

/// The text for people; the error is a reason for them.
pub(super) fn explain(site: &Site, method: &str, target: &str) -> Result<String, String> {
    let method = method.parse::<Method>().map_err(|_| format!("{method:?} is no method"))?;
    let path = target.split('?').next().unwrap_or_default();
    let path = path::normalise(path).map_err(|error| error.to_string())?;
    let found = site.table.find(&method, None, &path).map_err(|error| error.to_string())?;
    let route = site.route(found.route).map_err(|error| error.to_string())?;
    let mut out = String::new();
    write(site, route, &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

fn write(site: &Site, route: &Route, out: &mut String) -> std::fmt::Result {
    let scheme = route.scheme.map_or("public", Scheme::as_str);
    writeln!(out, "route {}, {scheme}, {} in all", route.name, Duration::of(route.deadline))?;
    for requirement in &route.gate.require {
        writeln!(out, "requires {requirement}")?;
    }
    if let Some(point) = &route.gate.decide {
        let service = site.services.get(point.service).map_or("", |service| &*service.name);
        writeln!(out, "asks {service}:{}", point.target)?;
    }
    if let Some(maintenance) = &route.gate.maintenance {
        writeln!(out, "{maintenance}")?;
    }
    match &route.action {
        Action::Constant(_) => writeln!(out, "answered at once"),
        Action::Service(proxy) => {
            let Some(service) = site.services.get(proxy.service) else { return Ok(()) };
            write!(out, "passed through to {}", service.name)?;
            let targets = service.targets.authorities().count();
            match (service.is_mesh, targets) {
                (true, _) => writeln!(out, ", balanced by its mesh"),
                (false, 1) => writeln!(out),
                (false, _) => {
                    let balance = service.targets.settings().balance.as_str();
                    writeln!(out, ", {targets} targets, {balance}")
                }
            }?;
            let canary = proxy.canary.as_ref().and_then(|one| site.services.get(one.service));
            canary.map_or(Ok(()), |canary| writeln!(out, "or, as its canary, to {}", canary.name))
        }
        Action::Local(_) => writeln!(out, "an endpoint of the gateway's own"),
        Action::Aggregate(aggregate) => explain::explain(&aggregate.view, out),
    }?;
    worst_case::explain(site, route, out)
}
