//! Rules of what is decided and answered at the gate.

use crate::testing::{Files, GATEWAY, PLATFORM};

/// A route that is otherwise right with `more`; expects this mistake, whatever follows from it.
#[track_caller]
fn check_route(more: &str, expected: &str) {
    let platform = format!("{PLATFORM}[routes.a]\nmatch = \"GET /a\"\n{more}");
    let found = Files::new(&platform, GATEWAY).load(&[]).expect_err(more);
    let found: Vec<String> =
        found.iter().map(|mistake| format!("{}: {}", mistake.key(), mistake.reason())).collect();
    let expected = format!("routes.a{expected}");
    assert!(found.contains(&expected), "{more}:\n{found:#?}");
}

#[test]
fn a_constant_is_public_and_says_nothing_that_is_never_used() {
    let public = |more: &str| format!("public = \"p\"\n{more}");
    let respond = "respond = { body = \"x\" }\n";
    check_route(
        &public("respond = {}\nlocal = \"x\""),
        ".respond: stands beside `local`; a route has one of the two",
    );
    check_route(
        respond,
        ": has `respond`, which is answered before anybody is identified, and no `public = \
         \"reason\"`",
    );
    check_route(
        &public(&format!("{respond}limits = [\"consumer\"]")),
        ".limits: is never used beside `respond`, which is answered at once",
    );
    check_route(
        &public("respond = { status = 204, body = \"x\" }"),
        ".respond.body: must be absent: answers of this status have no body",
    );
    check_route(&public("respond = { status = 199 }"), ".respond.status: must be at least 200");
    check_route(
        &public("redirect = { to = \"/b\", status = 300 }"),
        ".redirect.status: must be 301, 302, 303, 307 or 308",
    );
}

#[test]
fn what_is_decided_at_the_gate_holds_together() {
    let service = |more: &str, expected: &str| {
        check_route(&format!("service = \"links\"\n{more}"), expected);
    };
    service(
        "public = \"p\"\nlimits = [\"consumer\"]\nrequire = \"role == 'a'\"",
        ".require: stands beside `public`: nobody is identified, so nobody could pass",
    );
    let must_read = ".decide.call: must read \"POST service:/path\"";
    service("decide = { call = \"GET links:/d\" }", must_read);
    service("decide = { call = \"POST links\" }", must_read);
    service("decide = { call = \"POST lnks:/d\" }", ".decide.call: names no service");
    service(
        "canary = { service = \"links\", percent = 5 }",
        ".canary.service: is the service that all the others go to",
    );
    service("canary = { service = \"x\", percent = 5 }", ".canary.service: names no service");
    service(
        "canary = { service = \"x\", percent = 0 }",
        ".canary: sends nobody anywhere: set `percent`, `header` or both",
    );
    service("canary = { service = \"x\", percent = 101 }", ".canary.percent: must be at most 100");
    service(
        "body_schema = { file = \"a.json\", openapi = \"b.json\" }",
        ".body_schema: must have `openapi` and `operation` together, or neither",
    );
    service("body_schema = {}", ".body_schema: must have one of `file`, `schema` and `openapi`");
    service("maintenance = {}", ".maintenance.retry_after: is missing");
}

#[test]
fn a_view_of_what_a_service_decides_about_is_decided_about_or_says_why_not() {
    const DECIDE: &str = "decide = { call = \"POST links:/d\" }\n";
    let decided = PLATFORM.replace("[services.links]\n", &format!("[services.links]\n{DECIDE}"));
    let missing = "views.dashboard: shows what links says, whose `decide` is not asked here, and has \
                   no `decide` of its own, and no `undecided = \"reason\"`";
    let view = |platform: &str, more: &str, expected: &[&str]| {
        let view = format!("[views.dashboard]\nroute = \"GET /d\"\nfields = \"*\"\n{more}");
        let files = Files::new(&format!("{platform}{view}"), GATEWAY);
        let found = files.load(&[]).err().map(|found| {
            let texts = found.iter().map(|it| format!("{}: {}", it.key(), it.reason()));
            texts.collect::<Vec<_>>()
        });
        assert_eq!(found.unwrap_or_default(), expected, "{more}");
    };
    view(PLATFORM, "", &[]);
    view(&decided, "", &[missing]);
    view(&decided, DECIDE, &[]);
    view(&decided, "undecided = \"it counts links, and shows none\"", &[]);
    view(&decided, "undecided = \" \"", &["views.dashboard.undecided: must say why"]);
    let both = format!("{DECIDE}undecided = \"why not\"");
    let reason = "views.dashboard.decide: stands beside `undecided`; a route has one of the two";
    view(&decided, &both, &[reason]);
    view(&decided.replace("[policy]\n", &format!("[policy]\n{DECIDE}")), "", &[]);
    // Nobody is identified, and nothing inherited is asked, as with a public route.
    let public = "public = \"for everybody\"\nunlimited = \"a test\"";
    view(&decided, public, &[]);
    let named = decided.replace("aggregates.dashboard", "aggregates.other");
    view(&named, "aggregate = \"other\"", &[missing]);
}
