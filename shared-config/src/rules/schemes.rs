//! Rules of `[auth.*]`: sessions and issuers. That a scheme in use has its section is checked
//! where it is named.

use super::services::{CREDENTIALS, Fault, url_fault};
use super::{Node, Report};
use crate::units::Duration;

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    session(&root.find(["auth", "session"]), report);
    for (_, issuer) in root.find(["auth", "jwt", "issuers"]).entries() {
        keys_of_issuer(&issuer, report);
    }
    for scheme in schemes(root) {
        require_section(root, &scheme, report);
    }
}

fn session(session: &Node<'_>, report: &mut Report<'_>) {
    let idle = session.get("idle_timeout");
    let lifetime = session.get("lifetime").parsed::<Duration>();
    if let (Some(timeout), Some(lifetime)) = (idle.parsed::<Duration>(), lifetime)
        && timeout > lifetime
    {
        report.add(&idle, format!("must be at most the session's lifetime, \"{lifetime}\""));
    }
}

fn keys_of_issuer(issuer: &Node<'_>, report: &mut Report<'_>) {
    let (url, file) = (issuer.get("jwks_url"), issuer.get("jwks_file"));
    match (url.is_written(), file.is_written()) {
        (true, true) => report.add(&file, "stands beside `jwks_url`; an issuer has one of the two"),
        (false, false) if issuer.is_table() => {
            report.add(issuer, "must say where its keys are: `jwks_url` or `jwks_file`");
        }
        _ => {}
    }
    match url.text().map(url_fault) {
        Some(Some(Fault::Shape)) => report.add(&url, "must be a http:// or https:// URL"),
        Some(Some(Fault::Credentials)) => report.add_without_value(&url, CREDENTIALS),
        Some(None) | None => {}
    }
}

/// Every key that names a scheme.
fn schemes<'a>(root: &Node<'a>) -> Vec<Node<'a>> {
    let mut named = vec![root.find(["gateway", "scheme"])];
    for table in ["services", "views"] {
        named.extend(root.get(table).entries().map(|(_, entry)| entry.get("scheme")));
    }
    let offered = super::routes::offered(root);
    named.extend(offered.into_iter().map(|(_, route)| route.get("scheme")));
    named
}

fn require_section(root: &Node<'_>, scheme: &Node<'_>, report: &mut Report<'_>) {
    let known = ["session", "jwt", "api_key", "client_certificate"];
    let Some(name) = scheme.text().filter(|name| known.contains(name)) else { return };
    if !root.find(["auth", name]).is_written() {
        report.add(scheme, format!("needs the section [auth.{name}]"));
    }
}
