//! Rules of services: where they are.

use super::{Node, Report};

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    for (_, service) in root.get("services").entries() {
        encryption(&service, report);
        let connections_max = service.get("connections_max");
        if connections_max.is_written() && service.get("protocol").text() == Some("h2") {
            let reason = "stands beside `protocol = \"h2\"`, where each core has one; remove it";
            report.add(&connections_max, reason);
        }
        check_origin(&service.get("url"), report);
    }
}

/// A URL that names a server and nothing else.
pub(super) fn check_origin(url: &Node<'_>, report: &mut Report<'_>) {
    match url.text().map(origin_fault) {
        Some(Some(Fault::Credentials)) => report.add_without_value(url, CREDENTIALS),
        Some(Some(Fault::Shape)) => report.add(
            url,
            "must be http:// or https://, a host and perhaps a port, and nothing after it; or \
             unix: and the path of a socket",
        ),
        Some(None) | None => {}
    }
}

/// Encryption is said twice, by the scheme and by who is believed, and both must be there.
fn encryption(service: &Node<'_>, report: &mut Report<'_>) {
    let tls = service.get("tls");
    let targets = service.get("targets");
    let targets = targets.elements().map(|target| target.get("url"));
    let urls = std::iter::once(service.get("url")).chain(targets);
    let is_https = |url: &Node<'_>| url.text().is_some_and(|url| url.starts_with("https://"));
    let (encrypted, plain): (Vec<_>, Vec<_>) =
        urls.filter(|url| url.text().is_some()).partition(is_https);
    if !tls.is_written() {
        for url in &encrypted {
            report.add(url, "needs `tls.ca`: the authorities that are believed, in PEM");
        }
    } else if encrypted.is_empty() {
        report.add(&tls, "needs a `url` with https://");
    } else {
        for url in &plain {
            report.add(url, "must be https:// like the others: `tls` holds for all targets");
        }
    }
    let (certificate, key) = (tls.get("certificate"), tls.get("key"));
    for (one, other, name) in [(&certificate, &key, "key"), (&key, &certificate, "certificate")] {
        if one.is_written() && !other.is_written() {
            report.add_without_value(one, format!("needs `{name}` beside it"));
        }
    }
}

/// A URL with a password in it must not be shown.
pub(super) const CREDENTIALS: &str = "must not hold a user name or password";

/// What is wrong with a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Shape,
    Credentials,
}

/// What is wrong with a URL that should name a server and nothing else.
fn origin_fault(url: &str) -> Option<Fault> {
    if let Some(path) = url.strip_prefix("unix:") {
        let is_path = path.starts_with('/') && !path.ends_with('/');
        return (!is_path).then_some(Fault::Shape);
    }
    url_fault(url).or_else(|| after_scheme(url)?.contains(['/', '?', '#']).then_some(Fault::Shape))
}

/// What is wrong with the scheme and server of a URL.
pub(super) fn url_fault(url: &str) -> Option<Fault> {
    let Some(rest) = after_scheme(url) else { return Some(Fault::Shape) };
    let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if server.contains('@') {
        return Some(Fault::Credentials);
    }
    (!is_server(server)).then_some(Fault::Shape)
}

fn after_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))
}

/// A host, perhaps with a port; an IPv6 address stands in brackets.
fn is_server(server: &str) -> bool {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_by_scheme_host_and_port_alone() {
        for url in
            ["http://127.0.0.1:8080", "https://links.internal", "http://a_b", "unix:/run/a.sock"]
        {
            assert_eq!(origin_fault(url), None, "{url}");
        }
        for url in [
            "",
            "links:8080",
            "ftp://links",
            "HTTP://links",
            "http://",
            "http://:80",
            "http://links:",
            "http://links:0",
            "http://links:65536",
            "http://links:+80",
            "http://links/",
            "unix:a.sock",
            "unix:/run/",
            "unix://run/a.sock/",
            "http://links?x",
            "http://links#x",
            "http://[::1",
            "http://::1",
            "http://li nks",
            "http://a:80:80",
        ] {
            assert_eq!(origin_fault(url), Some(Fault::Shape), "{url}");
        }
        for url in ["http://user:pass@links", "https://user@links/path"] {
            assert_eq!(origin_fault(url), Some(Fault::Credentials), "{url}");
        }
    }
}
