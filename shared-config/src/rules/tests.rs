//! Each rule, broken once, in a configuration that is otherwise right.

use crate::testing::{Files, GATEWAY, PLATFORM};

mod aggregates;
mod callers;
mod gate;
mod limits;
mod routes;
mod schemes;
mod sections;
mod services;
mod tls;
mod traces;

/// Adds text to `platform.toml` and `gw.toml`; expects these mistakes, as `key: reason`.
#[track_caller]
fn check(platform: &str, gateway: &str, expected: &[&str]) {
    let files = Files::new(&format!("{PLATFORM}{platform}"), &format!("{GATEWAY}{gateway}"));
    let found = match files.load(&[]) {
        Ok(_) => Vec::new(),
        Err(found) => {
            found.iter().map(|mistake| format!("{}: {}", mistake.key(), mistake.reason())).collect()
        }
    };
    assert_eq!(found, expected, "{platform}{gateway}");
}

#[test]
fn what_most_tests_start_from_breaks_no_rule() {
    check("", "", &[]);
}

#[test]
fn names_stand_for_what_exists() {
    let cases = [
        (
            "[routes.a]\nmatch = \"GET /a\"\nservice = \"lnks\"",
            "routes.a.service: names no service",
        ),
        (
            "[routes.a]\nmatch = \"GET /a\"\nservice = \"links\"\nlimits = [\"consumer\", \"x\"]",
            "routes.a.limits[1]: names no limit",
        ),
        (
            "[services.a]\nurl = \"http://a\"\nlimits = [\"x\"]",
            "services.a.limits[0]: names no limit",
        ),
        (
            "[views.dashbord]\nroute = \"GET /d\"\nfields = \"*\"",
            "views.dashbord: names no aggregate",
        ),
        (
            "[views.a]\nroute = \"GET /d\"\nfields = \"*\"\naggregate = \"x\"",
            "views.a.aggregate: names no aggregate",
        ),
        (
            "[views.dashboard]\nroute = \"GET /d\"\nfields = \"*\"\nlimits = [\"x\"]",
            "views.dashboard.limits[0]: names no limit",
        ),
        (
            "[aggregates.a]\ndeadline = \"1s\"\n[aggregates.a.parts.p]\ncall = \"GET lnks:/x\"",
            "aggregates.a.parts.p.call: names no service",
        ),
    ];
    for (platform, expected) in cases {
        check(platform, "", &[expected]);
    }
}

#[test]
fn a_key_that_has_moved_says_where_to() {
    check(
        "[aggregation]\ntime_left_header = \"X-Time-Left-Ms\"",
        "",
        &["aggregation.time_left_header: has moved to `upstream.time_left_header`"],
    );
}
