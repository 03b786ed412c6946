//! The worst case: how many attempts at services one request of a client's may cause.
//!
//! Every service on the way may retry as well, and then the numbers multiply; so a platform should
//! know its own. What a reused connection that turns out dead costs is not counted: there the
//! service has not seen the request.

use std::fmt;

use crate::site::{Action, Proxy, Route, Service, Site};

/// Writes what one request may cause at each service.
pub(super) fn explain(site: &Site, route: &Route, out: &mut dyn fmt::Write) -> fmt::Result {
    let attempts = of_route(site, route);
    let all =
        attempts.iter().map(|(_, attempts)| attempts).sum::<u64>() - not_together(site, route);
    if attempts.is_empty() {
        return Ok(());
    }
    let each: Vec<_> = attempts
        .iter()
        .map(|(service, attempts)| format!("{attempts} at {}", service.name))
        .collect();
    writeln!(out, "\nworst case: {all} attempts for one request ({})", each.join(", "))?;
    for (service, _) in attempts.iter().filter(|(service, _)| service.is_mesh) {
        writeln!(out, "  at {}, and what the mesh's sidecar makes of each", service.name)?;
    }
    Ok(())
}

/// The same for the worst route of each service, as comments for the end of a configuration.
pub(super) fn comment(site: &Site) -> String {
    let of_routes: Vec<_> = site.routes.iter().map(|route| of_route(site, route)).collect();
    let mut out =
        String::from("\n# One request may cause at most so many attempts at a service:\n");
    for service in &site.services {
        let of_service = of_routes.iter().flatten().filter(|(one, _)| one.name == service.name);
        let attempts = of_service.map(|(_, attempts)| *attempts).max().unwrap_or(0);
        let who_else =
            if service.is_mesh { ", and what the mesh's sidecar makes of each" } else { "" };
        out.push_str(&format!("# {}: {attempts}{who_else}\n", service.name));
    }
    out
}

/// Attempts at the route's own service, and at its canary.
fn of_proxy<'a>(site: &'a Site, proxy: &'a Proxy) -> impl Iterator<Item = (usize, u64)> + 'a {
    let canary = proxy.canary.as_ref().map(|canary| canary.service);
    [Some(proxy.service), canary].into_iter().flatten().map(move |service| {
        let is_mesh = site.services.get(service).is_some_and(|one| one.is_mesh);
        let retry = proxy.retry.as_ref().filter(|_| !is_mesh);
        (service, retry.map_or(1, |retry| u64::from(retry.attempts_max)))
    })
}

/// A request goes to the route's own service or to its canary: the fewer of those attempts.
fn not_together(site: &Site, route: &Route) -> u64 {
    match &route.action {
        Action::Service(proxy) if proxy.canary.is_some() => {
            of_proxy(site, proxy).map(|(_, attempts)| attempts).min().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Attempts by the service, in their order.
fn of_route<'a>(site: &'a Site, route: &Route) -> Vec<(&'a Service, u64)> {
    let mut attempts = vec![0; site.services.len()];
    let mut add = |service: usize, more: u64| {
        if let Some(known) = attempts.get_mut(service) {
            *known += more;
        }
    };
    if let Some(point) = &route.gate.decide {
        add(point.service, 1);
    }
    match &route.action {
        Action::Service(proxy) => {
            of_proxy(site, proxy).for_each(|(service, attempts)| add(service, attempts));
        }
        Action::Aggregate(aggregate) => {
            for part in aggregate.view.calls_max() {
                let retry = site.services.get(part.service).and_then(|one| one.retry.as_ref());
                let attempts_max = match retry {
                    Some(retry) if part.may_repeat && retry.repeats(part.method) => {
                        u64::from(retry.attempts_max)
                    }
                    _ => 1,
                };
                add(part.service, part.calls * attempts_max);
            }
        }
        // What an endpoint calls is its own code's to say.
        Action::Local(_) | Action::Constant(_) => {}
    }
    site.services.iter().zip(attempts).filter(|(_, attempts)| *attempts > 0).collect()
}
