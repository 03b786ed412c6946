//! Rules of routes: what answers them, what is exposed, what their paths begin with.

use super::check;
use crate::testing::{Files, GATEWAY, PLATFORM};

#[test]
fn a_route_is_answered_by_a_service_or_by_the_gateway() {
    check(
        "[routes.a]\nmatch = \"GET /a\"",
        "",
        &["routes.a: must say what answers: `service`, `local`, `respond` or `redirect`"],
    );
    check(
        "[routes.a]\nmatch = \"GET /a\"\nservice = \"links\"\nlocal = \"a\"",
        "",
        &["routes.a.local: stands beside `service`; a route has one of the two"],
    );
}

#[test]
fn what_is_exposed_or_excluded_is_a_route_to_a_service() {
    let with = |expose: &str| {
        let gateway = GATEWAY.replace("[\"*\"]", expose);
        let local = "[routes.own]\nmatch = \"GET /own\"\nlocal = \"own\"\n";
        Files::new(PLATFORM, &format!("{gateway}{local}")).mistakes(&[])
    };
    assert_eq!(with(r#"["*", "!links-*", "links-get"]"#), "none");
    for (entry, suggestion) in
        [("link-get", true), ("!linksget", true), ("auth-*", false), ("own", false)]
    {
        let found = with(&format!("[\"*\", \"{entry}\"]"));
        assert!(found.contains("names no route to a service"), "{entry}: {found}");
        assert_eq!(found.contains("did you mean `links-get`?"), suggestion, "{entry}: {found}");
        assert!(found.ends_with("1 error"), "{entry}: {found}");
    }
}

#[test]
fn the_only_star_may_wait_for_the_first_route() {
    let gateway = "[gateway]\nexpose = [\"*\"]\n";
    assert_eq!(Files::new("", gateway).mistakes(&[]), "none");
}

#[test]
fn a_prefix_is_the_beginning_of_a_path() {
    for (prefix, is_right) in [
        ("", true),
        ("/api", true),
        ("/api/v1.2", true),
        ("api", false),
        ("/api/", false),
        ("/", false),
        ("//api", false),
        ("/../api", false),
        ("/@acme", false),
        ("/%41pi", false),
        ("/{tenant}", false),
    ] {
        let gateway = GATEWAY.replace("name = \"gw\"", &format!("prefix = \"{prefix}\""));
        let found = Files::new(PLATFORM, &gateway).mistakes(&[]);
        assert_eq!(found == "none", is_right, "{prefix}: {found}");
    }
}
