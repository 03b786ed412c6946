//! Each rule, broken once, in a configuration that is otherwise right.

use crate::testing::{Files, GATEWAY, PLATFORM};

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
fn a_key_that_has_moved_says_where_to() {
    check(
        "[aggregation]\ntime_left_header = \"X-Time-Left-Ms\"",
        "",
        &["aggregation.time_left_header: has moved to `upstream.time_left_header`"],
    );
}

#[test]
fn a_limit_of_the_policy_exists() {
    let platform = PLATFORM.replace("limits = [\"consumer\"]", "limits = [\"consumr\"]");
    let files = Files::new(&platform, GATEWAY);
    let expected = "platform.toml:10: policy.limits[0] = \"consumr\"\n    names no limit; did you mean \
                    `consumer`?\n\n1 error";
    assert_eq!(files.mistakes(&[]), expected);
}

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
fn rates_by_tier_are_for_consumers_and_cover_the_default_tier() {
    check(
        "[limits.a]\nkey = \"consumer\"\nrate = { pro = \"1/s\" }",
        "",
        &["limits.a.rate: lacks a rate for \"free\", the tier of whoever has no other"],
    );
    for key in ["address", "anonymous"] {
        check(
            &format!("[limits.a]\nkey = \"{key}\"\nrate = {{ free = \"1/s\" }}"),
            "",
            &[
                "limits.a.rate: must be one rate: only a limit with `key = \"consumer\"` knows the tier",
            ],
        );
    }
}

#[test]
fn any_origin_and_credentials_are_never_combined() {
    let reason = "cors.origins[1]: cannot be combined with `credentials = true`; list the origins";
    check("", "[cors]\norigins = [\"https://a.example\", \"*\"]\ncredentials = true", &[reason]);
    check("", "[cors]\norigins = [\"*\"]", &[]);
    check("", "[cors]\norigins = [\"https://a.example\"]\ncredentials = true", &[]);
}

#[test]
fn a_session_is_not_idle_for_longer_than_it_lives() {
    let reason = "auth.session.idle_timeout: must be at most the session's lifetime, \"1h\"";
    check("", "idle_timeout = \"61m\"\nlifetime = \"1h\"", &[reason]);
    check("", "idle_timeout = \"60m\"\nlifetime = \"1h\"", &[]);
}

#[test]
fn an_assertion_is_short_lived() {
    let reason = "assertion.lifetime: must be at most \"30s\": services refuse longer ones";
    check("", "[assertion]\nlifetime = \"31s\"", &[reason]);
    check("", "[assertion]\nlifetime = \"30s\"", &[]);
    let reason = "assertion.lifetime: must be longer than nothing";
    check("", "[assertion]\nlifetime = \"0s\"", &[reason]);
}

#[test]
fn a_part_is_done_within_its_aggregate_s_deadline() {
    let part = |deadline| format!("deadline = \"{deadline}\"");
    let reason =
        "aggregates.dashboard.parts.links.deadline: must be at most the aggregate's, \"800ms\"";
    check(&part("801ms"), "", &[reason]);
    check(&part("800ms"), "", &[]);
}

#[test]
fn a_part_falls_back_to_what_it_declares() {
    let at = "aggregates.dashboard.parts.links";
    check("need = \"fallback\"", "", &[&format!("{at}.need: needs a `fallback` value")]);
    check("need = \"fallback\"\nfallback = []", "", &[]);
    check("fallback = { plan = \"unknown\" }", "", &[]);
    for need in ["required", "optional"] {
        check(
            &format!("need = \"{need}\"\nfallback = 1"),
            "",
            &[&format!("{at}.fallback: is never used, since `need = \"{need}\"`")],
        );
    }
}

#[test]
fn an_aggregate_as_a_whole_is_required_or_says_nothing() {
    let parts = "[aggregates.a.parts.p]\ncall = \"GET links:/x\"";
    let with = |need| format!("[aggregates.a]\ndeadline = \"1s\"\nneed = \"{need}\"\n{parts}");
    check(&with("required"), "", &[]);
    for need in ["optional", "fallback"] {
        let reason = "aggregates.a.need: must be \"required\" or absent; the others are for single \
                      parts";
        check(&with(need), "", &[reason]);
    }
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
fn a_scheme_in_use_has_its_section_wherever_it_is_named() {
    let cases = [
        ("[services.a]\nurl = \"http://a\"\nscheme = \"jwt\"", "services.a.scheme"),
        (
            "[routes.a]\nmatch = \"GET /a\"\nservice = \"links\"\nscheme = \"jwt\"",
            "routes.a.scheme",
        ),
        (
            "[views.dashboard]\nroute = \"GET /d\"\nfields = \"*\"\nscheme = \"jwt\"",
            "views.dashboard.scheme",
        ),
    ];
    for (platform, key) in cases {
        check(platform, "", &[&format!("{key}: needs the section [auth.jwt]")]);
    }
    let gateway = "[gateway]\nname = \"gw\"\nscheme = \"api_key\"\n";
    let found = Files::new("", gateway).mistakes(&[]);
    assert!(found.contains("gateway.scheme = \"api_key\"\n    needs the section [auth.api_key]"));
}

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
fn an_issuer_s_keys_come_from_one_place() {
    let issuer = |keys: &str| {
        format!(
            "[auth.jwt]\nrealm = \"r\"\n[auth.jwt.issuers.i]\nissuer = \"https://i\"\n\
             audience = \"a\"\nalgorithms = [\"ES256\"]\n{keys}\n"
        )
    };
    let at = "auth.jwt.issuers.i";
    check("", &issuer("jwks_url = \"https://i/keys?v=1\""), &[]);
    check("", &issuer("jwks_file = \"/etc/keys.json\""), &[]);
    check(
        "",
        &issuer(""),
        &[&format!("{at}: must say where its keys are: `jwks_url` or `jwks_file`")],
    );
    check(
        "",
        &issuer("jwks_url = \"https://i/keys\"\njwks_file = \"x\""),
        &[&format!("{at}.jwks_file: stands beside `jwks_url`; an issuer has one of the two")],
    );
    check(
        "",
        &issuer("jwks_url = \"i/keys\""),
        &[&format!("{at}.jwks_url: must be a http:// or https:// URL")],
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

#[test]
fn the_admin_listener_is_on_loopback_or_needs_a_token() {
    let reason = "admin.listen: is not loopback, so `admin.token` must be set";
    check("", "[admin]\nlisten = \"0.0.0.0:9000\"", &[reason]);
    check("", "[admin]\nlisten = \"[::1]:9000\"", &[]);
    let with_token = format!("{GATEWAY}[admin]\nlisten = \"0.0.0.0:9000\"\ntoken.env = \"T\"\n");
    assert_eq!(Files::new(PLATFORM, &with_token).variable("T", "t").mistakes(&[]), "none");
}

/// A listener with TLS; `more` stands in its section. The certificate's file is this test's own
/// configuration: what it says does not matter here.
fn tls(more: &str) -> String {
    format!(
        "[server.tls]\n{more}\n[[server.tls.certificates]]\ncertificate = \"gw.toml\"\n\
         key = {{ file = \"gw.toml\" }}\n"
    )
}

#[test]
fn certificates_of_clients_need_authorities_and_authorities_need_clients() {
    let asked = "client_certificates = \"optional\"\n";
    let authorities = "client_ca = \"gw.toml\"\n";
    let scheme = "[auth.client_certificate]\n";
    check("", &tls(&format!("{asked}{authorities}")), &[]);
    let reason = "server.tls.client_certificates: needs `client_ca`: who issues the certificates of \
                  clients";
    check("", &tls(asked), &[reason]);
    let reason = "server.tls.client_ca: is of no use while `client_certificates` is \"off\"; say \
                  \"optional\" or \"required\"";
    check("", &tls(authorities), &[reason]);
    let reason = "auth.client_certificate: needs `server.tls.client_certificates`, \"optional\" or \
                  \"required\"";
    check("", &format!("{}{scheme}", tls("")), &[reason]);
    check("", scheme, &[reason]);
    check("", &format!("{}{scheme}", tls(&format!("{asked}{authorities}"))), &[]);
}

#[test]
fn the_plain_listener_has_its_own_address_and_one_way_to_answer_challenges() {
    let redirect = |more: &str| format!("[server.redirect]\nlisten = \"127.0.0.1:80\"\n{more}");
    check("", &redirect("acme_directory = \"/var/lib/acme\""), &[]);
    check("", &redirect("acme_url = \"http://127.0.0.1:8402\""), &[]);
    let both = "acme_directory = \"/a\"\nacme_url = \"http://127.0.0.1:8402\"";
    let reason = "server.redirect.acme_url: stands beside `acme_directory`; one of the two answers \
                  challenges";
    check("", &redirect(both), &[reason]);
    let reason = "server.redirect.acme_url: must be a http:// or https:// URL";
    check("", &redirect("acme_url = \"127.0.0.1:8402\""), &[reason]);
    for other in ["server", "admin"] {
        let listens = format!("[{other}]\nlisten = \"127.0.0.1:80\"\n{}", redirect(""));
        let reason =
            format!("server.redirect.listen: is `{other}.listen` too; each listener needs its own");
        check("", &listens, &[&reason]);
    }
}

#[test]
fn the_two_listeners_have_one_address_each() {
    let reason = "admin.listen: is `server.listen` too; operators and clients need one each";
    let both = |port| {
        format!("[server]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:{port}\"")
    };
    check("", &both(3000), &[reason]);
    check("", &both(0), &[]);
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
fn a_bucket_of_several_things_is_made_of_known_ones() {
    let limit = |text: &str| format!("[limits.x]\nkey = {text}\n");
    let one = "rate = \"1/s\"";
    check(&format!("{}{one}", limit("[\"address\", \"body.email\"]")), "", &[]);
    let reason = "must be \"address\", \"consumer\" or \"body.\" and a member's name";
    for part in ["anonymous", "body.", "header.x"] {
        let written = format!("{}{one}", limit(&format!("[\"address\", \"{part}\"]")));
        check(&written, "", &[&format!("limits.x.key[1]: {reason}")]);
    }
    check(&format!("{}{one}", limit("[]")), "", &["limits.x.key: must not be empty"]);
    let by_tier = "rate = { free = \"1/s\" }";
    let reason = "limits.x.rate: must be one rate: only a limit with `key = \"consumer\"` knows \
                  the tier";
    check(&format!("{}{by_tier}", limit("[\"address\"]")), "", &[reason]);
    check(&format!("{}{by_tier}", limit("[\"consumer\", \"body.x\"]")), "", &[]);
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

#[test]
fn a_collector_has_a_whole_url_and_batches_that_fit_into_the_queue() {
    let shape = "traces.endpoint: must be the whole URL of a collector, such as \
                 \"http://127.0.0.1:4318/v1/traces\"";
    let with = |line: &str| format!("[traces]\n{line}");
    check("", &with("endpoint = \"https://otlp.example.com/v1/traces\""), &[]);
    check("", &with("endpoint = \"collector:4318\""), &[shape]);
    check(
        "",
        &with("endpoint = \"https://user:hunter2@otlp.example.com\""),
        &["traces.endpoint: must not hold a user name or password"],
    );
    check("", &with("queue_max = 8\nbatch_max = 8"), &[]);
    let reason = "traces.batch_max: is above `traces.queue_max`: no batch would ever be full";
    check("", &with("queue_max = 7\nbatch_max = 8"), &[reason]);
    check("", &with("interval = \"0s\""), &["traces.interval: must be longer than nothing"]);
    check("", &with("timeout = \"0s\""), &["traces.timeout: must be longer than nothing"]);
}

#[test]
fn the_share_of_recorded_requests_is_from_none_to_all() {
    for (ratio, is_right) in
        [("0", true), ("0.5", true), ("1", true), ("1.1", false), ("-1", false)]
    {
        let gateway = format!("{GATEWAY}[traces]\nratio = {ratio}\n");
        let found = Files::new(PLATFORM, &gateway).mistakes(&[]);
        assert_eq!(found == "none", is_right, "{ratio}: {found}");
        assert_eq!(found.contains("traces.ratio"), !is_right, "{ratio}: {found}");
    }
}
