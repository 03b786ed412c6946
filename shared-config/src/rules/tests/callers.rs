//! Who may call a route and how often: that it is said, or why not.

use crate::testing::{Files, GATEWAY, PLATFORM};

#[test]
fn a_route_says_who_may_call_or_why_everybody_may() {
    let platform = |own: &str| {
        format!("{PLATFORM}[routes.a]\nmatch = \"GET /a\"\nservice = \"links\"\n{own}\n")
    };
    let gateway = "[gateway]\nexpose = [\"a\"]\n[auth.session]\n";
    let check = |own, expected: &str| {
        let found = Files::new(&platform(own), gateway).mistakes(&[]);
        assert!(found.contains(expected), "{own}: {found}");
        assert!(expected == "none" || found.ends_with("\n1 error"), "{own}: {found}");
    };
    check("", "routes.a\n    has no `scheme`, and no `public = \"reason\"`");
    check("scheme = \"session\"", "none");
    check("public = \"everybody may look\"", "none");
    check("public = \" \"", "routes.a.public = \" \"\n    must say why");
    check(
        "public = \"why not\"\nscheme = \"session\"",
        "routes.a.scheme = \"session\"\n    stands beside `public`; a route has one of the two",
    );
}

#[test]
fn a_route_says_how_often_or_why_without_end() {
    let platform = PLATFORM.replace("limits = [\"consumer\"]", "");
    let with = |own: &str| {
        format!("{platform}[routes.a]\nmatch = \"GET /a\"\nservice = \"links\"\n{own}\n")
    };
    let gateway = GATEWAY.replace("\"*\"", "\"a\"");
    let check = |own, expected: &str| {
        let found = Files::new(&with(own), &gateway).mistakes(&[]);
        assert!(found.contains(expected), "{own}: {found}");
        assert!(expected == "none" || found.ends_with("\n1 error"), "{own}: {found}");
    };
    check("", "routes.a\n    has no `limits`, and no `unlimited = \"reason\"`");
    check("limits = []", "has no `limits`");
    check("public = \"everybody may look\"", "has no `limits`");
    check("limits = [\"consumer\"]", "none");
    check("unlimited = \"costs nothing\"", "none");
    check("unlimited = \"\"", "routes.a.unlimited = \"\"\n    must say why");
    check(
        "unlimited = \"why not\"\nlimits = [\"consumer\"]",
        "routes.a.limits = [\"consumer\"]\n    stands beside `unlimited`",
    );
}

#[test]
fn scheme_and_limits_are_inherited_from_the_service() {
    let platform = "[services.a]\nurl = \"http://a\"\nscheme = \"session\"\nlimits = [\"l\"]\n\
                    [limits.l]\nkey = \"address\"\nrate = \"1/s\"\n\
                    [routes.a]\nmatch = \"GET /a\"\nservice = \"a\"\n";
    let gateway = "[gateway]\nexpose = [\"a\"]\n[auth.session]\n";
    assert_eq!(Files::new(platform, gateway).mistakes(&[]), "none");
}

#[test]
fn views_and_own_endpoints_need_scheme_and_limit_too() {
    let gateway = "[routes.own]\nmatch = \"GET /own\"\nlocal = \"own\"\n\
                   [views.v]\nroute = \"GET /v\"\nfields = \"*\"\naggregate = \"a\"\n\
                   [services.s]\nurl = \"http://s\"\n\
                   [aggregates.a]\ndeadline = \"1s\"\n[aggregates.a.parts.p]\ncall = \"GET s:/\"\n";
    let found = Files::new("", gateway).mistakes(&[]);
    for key in ["routes.own", "views.v"] {
        for needed in ["scheme", "limits"] {
            assert!(found.contains(&format!("{key}\n    has no `{needed}`")), "{found}");
        }
    }
    assert!(found.ends_with("\n4 errors"), "{found}");
}

#[test]
fn a_route_that_is_not_offered_needs_neither_scheme_nor_limit() {
    let platform = "[services.s]\nurl = \"http://s\"\n\
                    [routes.a]\nmatch = \"GET /a\"\nservice = \"s\"\n\
                    [routes.b]\nmatch = \"GET /b\"\nservice = \"s\"\nscheme = \"api_key\"\n";
    assert_eq!(Files::new(platform, "").mistakes(&[]), "none");
}

#[test]
fn constants_need_neither_scheme_nor_limit_nor_exposing() {
    let platform = PLATFORM.replace("limits = [\"consumer\"]", "");
    let platform = platform.replace("[routes.links-get]", "[routes.links-get]\nunlimited = \"u\"");
    let platform = platform.replace("[routes.links-get]", "[routes.links-get]\npublic = \"p\"");
    let gateway = GATEWAY.replace("scheme = \"session\"\n", "");
    let constant = "[routes.robots]\nmatch = \"GET /robots.txt\"\npublic = \"for robots\"\n\
                    respond = { body = \"User-agent: *\" }\n";
    let files = Files::new(&format!("{platform}{constant}"), &gateway);
    assert_eq!(files.mistakes(&[]), "none");
}
