//! Rules of `[server.tls]` and `[server.redirect]`: what needs what.

use std::net::SocketAddr;

use super::services::{CREDENTIALS, Fault, url_fault};
use super::{Node, Report};

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    client_certificates(root, report);
    redirect(root, report);
}

fn client_certificates(root: &Node<'_>, report: &mut Report<'_>) {
    let tls = root.find(["server", "tls"]);
    let (clients, authorities) = (tls.get("client_certificates"), tls.get("client_ca"));
    let are_asked = clients.text().is_some_and(|text| text != "off");
    if are_asked && !authorities.is_written() {
        report.add(&clients, "needs `client_ca`: who issues the certificates of clients");
    }
    if tls.is_table() && !are_asked && authorities.is_written() {
        let reason = "is of no use while `client_certificates` is \"off\"; say \"optional\" or \
                      \"required\"";
        report.add(&authorities, reason);
    }
    let scheme = root.find(["auth", "client_certificate"]);
    if scheme.is_table() && !are_asked {
        let reason = "needs `server.tls.client_certificates`, \"optional\" or \"required\"";
        report.add(&scheme, reason);
    }
}

fn redirect(root: &Node<'_>, report: &mut Report<'_>) {
    let redirect = root.find(["server", "redirect"]);
    let listen = redirect.get("listen");
    let address = listen.parsed::<SocketAddr>().filter(|address| address.port() != 0);
    for other in ["server", "admin"] {
        let taken = root.find([other, "listen"]).parsed::<SocketAddr>();
        if address.is_some() && taken == address {
            report.add(&listen, format!("is `{other}.listen` too; each listener needs its own"));
        }
    }
    let (folder, url) = (redirect.get("acme_directory"), redirect.get("acme_url"));
    if folder.is_written() && url.is_written() {
        report.add(&url, "stands beside `acme_directory`; one of the two answers challenges");
    }
    match url.text().map(url_fault) {
        Some(Some(Fault::Shape)) => report.add(&url, "must be a http:// or https:// URL"),
        Some(Some(Fault::Credentials)) => report.add_without_value(&url, CREDENTIALS),
        Some(None) | None => {}
    }
}
