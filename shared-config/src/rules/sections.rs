//! Rules of single sections: the listeners, the assertion, CORS.

use std::net::SocketAddr;

use super::{Node, Report};
use crate::units::Duration;

/// Services refuse an assertion that is valid for longer.
const ASSERTION_LIFETIME_MAX: Duration = Duration::from_secs(30);

pub(super) fn check(root: &Node<'_>, report: &mut Report<'_>) {
    prefix(&root.find(["gateway", "prefix"]), report);
    listeners(root, report);
    assertion(&root.find(["assertion", "lifetime"]), report);
    cors(&root.get("cors"), report);
}

fn prefix(prefix: &Node<'_>, report: &mut Report<'_>) {
    // It is cut off by its length, so it has one spelling: nothing in it is ever escaped.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_segment = |segment: &str| {
        !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(is_plain)
    };
    let is_path =
        |text: &str| text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
    if prefix.text().is_some_and(|text| !text.is_empty() && !is_path(text)) {
        report.add(
            prefix,
            "must be empty, or segments of letters, digits, `-`, `.`, `_` and `~`, such as \"/api/v1\"",
        );
    }
}

fn listeners(root: &Node<'_>, report: &mut Report<'_>) {
    let admin = root.find(["admin", "listen"]);
    let Some(address) = admin.parsed::<SocketAddr>() else { return };
    if !address.ip().is_loopback() && !root.find(["admin", "token"]).is_written() {
        report.add(&admin, "is not loopback, so `admin.token` must be set");
    }
    let clients = root.find(["server", "listen"]).parsed::<SocketAddr>();
    if address.port() != 0 && clients == Some(address) {
        report.add(&admin, "is `server.listen` too; operators and clients need one each");
    }
}

fn assertion(lifetime: &Node<'_>, report: &mut Report<'_>) {
    if lifetime.parsed().is_some_and(|lifetime: Duration| lifetime > ASSERTION_LIFETIME_MAX) {
        report.add(lifetime, "must be at most \"30s\": services refuse longer ones");
    }
}

/// Browsers refuse the combination; a gateway that answered with the caller's origin instead
/// would let every page on the web act for its users.
fn cors(cors: &Node<'_>, report: &mut Report<'_>) {
    let any = cors.get("origins").texts().find(|(origin, _)| *origin == "*");
    if let Some((_, any)) = any.filter(|_| cors.get("credentials").is_true()) {
        report.add(&any, "cannot be combined with `credentials = true`; list the origins");
    }
}
