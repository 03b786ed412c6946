//! Rules of services: URLs, encryption, targets, intervals.

use super::check;
use crate::testing::{Files, GATEWAY, PLATFORM};

#[test]
fn encryption_is_said_by_the_scheme_and_by_who_is_believed() {
    let service = |text: &str| format!("[services.a]\nurl = {text}");
    for (platform, expected) in [
        (
            "\"https://a\"",
            "services.a.url: needs `tls.ca`: the authorities that are believed, in PEM",
        ),
        ("\"http://a\"\ntls = { ca = \"gw.toml\" }", "services.a.tls: needs a `url` with https://"),
        (
            "\"https://a\"\ntls = { ca = \"gw.toml\", certificate = \"gw.toml\" }",
            "services.a.tls.certificate: needs `key` beside it",
        ),
        (
            "\"https://a\"\ntls = { ca = \"gw.toml\", key = { file = \"gw.toml\" } }",
            "services.a.tls.key: needs `certificate` beside it",
        ),
        (
            "\"http://a\"\nprotocol = \"h2\"\nconnections_max = 4",
            "services.a.connections_max: stands beside `protocol = \"h2\"`, where each core has one; \
             remove it",
        ),
        ("\"http://a\"\nprotocol = \"h3\"", "services.a.protocol: must be one of \"h1\", \"h2\""),
    ] {
        check(&service(platform), "", &[expected]);
    }
    check(&service("\"unix:/run/a.sock\"\nprotocol = \"h2\""), "", &[]);
    check(&service("\"https://a\"\ntls = { ca = \"gw.toml\" }"), "", &[]);
    let targets = "[services.a]\ntargets = [{ url = \"https://a\" }, { url = \"http://b\" }]\n";
    let reason =
        "services.a.targets[0].url: needs `tls.ca`: the authorities that are believed, in PEM";
    check(targets, "", &[reason]);
    let reason =
        "services.a.targets[1].url: must be https:// like the others: `tls` holds for all targets";
    check(&format!("{targets}tls = {{ ca = \"gw.toml\" }}"), "", &[reason]);
}

#[test]
fn a_service_has_targets_and_a_mesh_leaves_the_rest_to_its_sidecar() {
    let service = |keys: &str| format!("[services.a]\n{keys}\n");
    let check = |keys: &str, expected: &[&str]| check(&service(keys), "", expected);
    check("targets = [{ url = \"http://a\", weight = 100 }, { url = \"http://b\" }]", &[]);
    check(
        "limits = []",
        &["services.a: must say where it is: `url = \"http://host:port\"`, or `targets = [{ url \
           = … }]`"],
    );
    check(
        "targets = [{ url = \"http://a\" }, { url = \"http://a/v1\" }, { url = \"http://a\" }]",
        &[
            "services.a.targets[1].url: must be http:// or https://, a host and perhaps a port, and \
             nothing after it; or unix: and \
               the path of a socket",
            "services.a.targets[2].url: stands here twice; give it a `weight` instead",
        ],
    );
    check(
        "mesh = true\ntargets = [{ url = \"http://a\" }, { url = \"http://b\" }]",
        &["services.a.mesh: goes with one target: the sidecar knows the others; keep `url` alone"],
    );
    check(
        "mesh = true\nurl = \"http://a\"\nbalance = \"round_robin\"",
        &["services.a.balance: stands beside `mesh = true`, which leaves this to the sidecar; \
           remove one"],
    );
    check("mesh = false\nurl = \"http://a\"\nbalance = \"round_robin\"", &[]);
}

#[test]
fn pauses_and_intervals_are_long_enough_to_rest() {
    let service = |keys: &str| format!("[services.a]\nurl = \"http://a\"\n{keys}\n");
    for (keys, expected) in [
        ("breaker = { window = \"9ms\" }", "services.a.breaker.window: must be at least \"10ms\""),
        (
            "breaker = { open_time = \"9ms\" }",
            "services.a.breaker.open_time: must be at least \"10ms\"",
        ),
        ("ejection = { time = \"1ms\" }", "services.a.ejection.time: must be at least \"10ms\""),
        (
            "health = { path = \"/\", interval = \"1ms\" }",
            "services.a.health.interval: must be at least \"10ms\"",
        ),
        (
            "breaker = { open_time = \"2s\", open_time_max = \"1s\" }",
            "services.a.breaker.open_time: must be at most `breaker.open_time_max`, which is \"1s\"",
        ),
        (
            "ejection = { time_max = \"1s\" }",
            "services.a.ejection.time_max: must be at least `ejection.time`, which is \"10s\"",
        ),
        (
            "breaker = { open_time = \"2h\" }",
            "services.a.breaker.open_time: must be at most `breaker.open_time_max`, which is \"1m\"",
        ),
        (
            "health = { path = \"healthz\" }",
            "services.a.health.path: must be a path, such as \"/healthz\"",
        ),
    ] {
        check(&service(keys), "", &[expected]);
    }
    check(
        "",
        "[upstream]\nresolve_interval = \"999ms\"",
        &["upstream.resolve_interval: must be at least \"1s\""],
    );
}

#[test]
fn a_service_s_url_is_an_origin() {
    check(
        "[services.a]\nurl = \"http://a/v1\"",
        "",
        &["services.a.url: must be http:// or https://, a host and perhaps a port, and nothing \
           after it; or unix: and the path of a socket"],
    );
}

#[test]
fn a_password_in_a_url_is_refused_and_not_shown() {
    let found = Files::new(
        &format!("{PLATFORM}[services.a]\nurl = \"http://user:hunter2@a\"\n"),
        &format!(
            "{GATEWAY}[auth.jwt]\nrealm = \"r\"\n[auth.jwt.issuers.i]\nissuer = \"https://i\"\n\
             audience = \"a\"\nalgorithms = [\"ES256\"]\njwks_url = \"https://user:hunter2@i/k\"\n"
        ),
    )
    .mistakes(&[]);
    assert!(found.contains("must not hold a user name or password"), "{found}");
    assert!(found.ends_with("2 errors") && !found.contains("hunter2"), "{found}");
}
