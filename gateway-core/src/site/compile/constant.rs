//! `respond` and `redirect`: routes that the gateway answers by itself.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};
use shared_config::platform;

use super::Report;
use crate::routing::Pattern;
use crate::site::Action;
use crate::site::constant::{Constant, Redirect, Respond};
use crate::transform::{Place, Template};

/// The constant of a route that has one.
pub(super) fn compile(
    report: &mut Report<'_>,
    name: &str,
    route: &platform::Route,
    pattern: &Pattern,
) -> Option<Action> {
    let constant = match (&route.respond, &route.redirect) {
        (Some(written), _) => Constant::Respond(respond(report, name, written)?),
        (None, Some(written)) => Constant::Redirect(redirect(report, name, written, pattern)?),
        (None, None) => return None,
    };
    Some(Action::Constant(Box::new(constant)))
}

fn respond(report: &mut Report<'_>, name: &str, written: &platform::Respond) -> Option<Respond> {
    let path = ["routes", name, "respond", "content_type"];
    let content_type = HeaderValue::from_str(&written.content_type);
    let content_type = content_type.map_err(|_| "must be a media type");
    let content_type = report.keep(&path, &written.content_type, content_type)?;
    let body = written.body.as_ref().map(|body| (content_type, Bytes::from(body.clone())));
    Some(Respond { status: StatusCode::from_u16(written.status).ok()?, body })
}

fn redirect(
    report: &mut Report<'_>,
    name: &str,
    written: &platform::Redirect,
    pattern: &Pattern,
) -> Option<Redirect> {
    let at = ["routes", name, "redirect", "to"];
    let to = written.to.as_str();
    let (origin, path) =
        report.keep(&at, to, split(to, &report.platform().policy.redirect_hosts))?;
    if path.contains("{identity.") {
        report.add(&at, to, "is answered before anybody is identified");
        return None;
    }
    let path = report.keep(&at, to, Template::parse(path, Place::Path, pattern.parameters()))?;
    Some(Redirect {
        status: StatusCode::from_u16(written.status).ok()?,
        origin: origin.into(),
        path,
        keeps_query: written.keep_query,
    })
}

/// The origin, which must be listed, and the path.
fn split<'t>(to: &'t str, hosts: &[String]) -> Result<(&'t str, &'t str), String> {
    if to.starts_with('/') {
        return Ok(("", to));
    }
    let after_scheme = to.strip_prefix("https://").or_else(|| to.strip_prefix("http://"));
    let Some(rest) = after_scheme else {
        return Err("must be a path, or an http:// or https:// URL".to_owned());
    };
    let host_length = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_length);
    let is_host = host.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some_and(|it| it == host));
    if !is_host || host.contains(['@', '{', '}']) {
        return Err("must name a host, and no values in it".to_owned());
    }
    if !hosts.iter().any(|listed| listed.eq_ignore_ascii_case(host)) {
        return Err(format!("leads to {host}, which `policy.redirect_hosts` does not list"));
    }
    let origin = to.get(..to.len() - path.len()).unwrap_or_default();
    Ok((origin, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_the_gateway_or_a_listed_host() {
        let hosts = ["app.example".to_owned(), "docs.example:8443".to_owned()];
        let check = |to: &str, expected: Result<(&str, &str), &str>| {
            let found = split(to, &hosts);
            let found = found.as_ref().map(|pair| *pair).map_err(String::as_str);
            assert_eq!(found, expected, "{to}");
        };
        check("/x/{id}", Ok(("", "/x/{id}")));
        check("https://app.example/x", Ok(("https://app.example", "/x")));
        check("https://APP.example", Ok(("https://APP.example", "/")));
        check("http://docs.example:8443/", Ok(("http://docs.example:8443", "/")));
        let unlisted = "leads to docs.example, which `policy.redirect_hosts` does not list";
        check("https://docs.example/", Err(unlisted));
        let no_host = Err("must name a host, and no values in it");
        check("https://{id}/x", no_host);
        check("https://app.example@evil.example/x", no_host);
        check("https:///x", no_host);
        check("javascript:alert(1)", Err("must be a path, or an http:// or https:// URL"));
    }
}
