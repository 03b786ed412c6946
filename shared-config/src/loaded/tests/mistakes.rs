//! What a mistake looks like to whoever made it, and that none hides another.

use insta::assert_snapshot;

use super::*;

#[test]
fn three_mistakes_in_one_file_are_three_errors() {
    let gateway = r#"
[gateway]
name = "gw"
scheme = "session"
expose = ["*"]

[server]
listen = "localhost:3000"
head_timeot = "5s"

[auth.session]
idle_timeout = "half an hour"
"#;
    assert_snapshot!(files().file("gw.toml", gateway).mistakes(&[]), @r#"
    gw.toml:8: server.listen = "localhost:3000"
        must be an address and a port, such as "127.0.0.1:3000"

    gw.toml:9: server.head_timeot = "5s"
        is no key of [server]; did you mean `head_timeout`?

    gw.toml:12: auth.session.idle_timeout = "half an hour"
        must be a whole number and a unit: ms, s, m, h or d, such as "250ms" or "5m"

    3 errors
    "#);
}

#[test]
fn mistakes_of_every_kind_in_every_source_are_reported_at_once() {
    let fragment = "[routes.broken]\nmatch = \"GET /x\"\nservcie = \"lnks\"\n";
    let gateway = format!("{GATEWAY}cookie = 5\n[admin]\ntoken = {{ env = \"UNSET\" }}\n");
    let files = files()
        .file("platform.d/teams.toml", fragment)
        .file("gw.toml", gateway)
        .variable("GATEWAY__SERVER__CONNECTIONS_MAX", "0");
    assert_snapshot!(files.mistakes(&own_sections()), @r#"
    gw.toml: login.service
        is missing

    gw.toml:8: auth.session.cookie = 5
        must be text in quotes

    gw.toml:10: admin.token
        is due in environment variable UNSET, which is not set

    platform.d/teams.toml:3: routes.broken.servcie = "lnks"
        is no key of [routes.broken]; did you mean `service`?

    platform.d/teams.toml:3: routes.broken.service = "lnks"
        names no service; did you mean `links`?

    environment variable GATEWAY__SERVER__CONNECTIONS_MAX: server.connections_max = 0
        must be at least 1

    6 errors
    "#);
}

#[test]
fn files_that_are_no_toml_are_reported_together() {
    let files = files()
        .file("platform.toml", "[a\n")
        .file("platform.d/a.toml", "[a]\nb = 1\nb = 2\n")
        .file("platform.d/b.toml", b"# \xff")
        .file("gw.toml", "\n\nx = \n");
    assert_snapshot!(files.mistakes(&[]), @r"
    gw.toml:3
        is no TOML: string values must be quoted, expected literal string

    platform.d/a.toml:3
        is no TOML: duplicate key

    platform.d/b.toml
        is not UTF-8

    platform.toml:1
        is no TOML: unclosed table, expected `]`

    4 errors
    ");
}

#[test]
fn files_that_do_not_exist_are_reported_together() {
    let files = files().environment("staging").gateway("other");
    assert_snapshot!(files.mistakes(&[]), @r"
    other.staging.toml
        does not exist

    other.toml
        does not exist

    2 errors
    ");
}

#[test]
fn a_name_does_not_lead_out_of_the_directory() {
    let found = files().environment("../../secrets").mistakes(&[]);
    assert!(found.contains("is named by letters"), "{found}");
}

/// A line put before `gw.toml`, and what is wrong with it, if anything.
#[track_caller]
fn check(gateway: &str, expected: &str) {
    let found = files().file("gw.toml", format!("{gateway}\n{GATEWAY}")).mistakes(&[]);
    let block = found.strip_suffix("\n\n1 error").unwrap_or(&found);
    let (_, block) = block.split_once(": ").unwrap_or_default();
    assert_eq!(block.replace("\n   ", ""), expected, "{gateway}");
}

#[test]
fn a_text_with_a_unit_says_how_to_write_it() {
    let duration =
        "must be a whole number and a unit: ms, s, m, h or d, such as \"250ms\" or \"5m\"";
    let size = "must be a whole number and a unit: B, KiB, MiB or GiB, such as \"64KiB\"";
    let rate = "must be a whole number, `/` and a period: s, min, h or d, such as \"100/min\"";
    let address = "must be an address and a port, such as \"127.0.0.1:3000\"";
    for (key, value, reason) in [
        ("server.head_timeout", "30", duration),
        ("server.head_timeout", "\"30\"", duration),
        ("server.head_timeout", "\"0s\"", "must be longer than nothing"),
        ("server.head_timeout", "\"40000d\"", "must be at most \"36500d\" (100 years)"),
        ("server.head_size_max", "\"1KB\"", size),
        ("server.listen", "\":3000\"", address),
        ("limits.consumer.rate", "\"1/m\"", rate),
        ("limits.consumer.rate.free", "100", rate),
        ("limits.consumer.rate.free", "\"0/s\"", "must allow from 1 to 1000000000 requests"),
    ] {
        check(&format!("{key} = {value}"), &format!("{key} = {value} {reason}"));
    }
    check("cors.preflight_max_age = \"0s\"", "");
    check(
        "server.trusted_proxies = [\"10.0.0.0/8\", \"10.1.0.0/8\"]",
        "server.trusted_proxies[1] = \"10.1.0.0/8\" has bits set beyond its prefix; write \
             \"10.0.0.0/8\"",
    );
}

#[test]
fn every_other_value_says_what_it_takes() {
    for (key, value, reason) in [
        ("server.cores", "-1", "must be at least 0"),
        ("server.cores", "2.0", "must be a whole number"),
        ("server.cores", "2.5", "must be a whole number"),
        ("server.connections_max", "0", "must be at least 1"),
        ("server.connections_max", "5000000000", "must be at most 4294967295"),
        ("server.connections_per_address_max", "0", "must be at least 1"),
        ("server.header_count_max", "5001", "must be at most 5000"),
        ("server.http2.streams_max", "0", "must be at least 1"),
        ("server.http2.control_frames_max", "99", "must be at least 100"),
        ("server.trusted_proxies", "\"::1\"", "must be a list: [ … ]"),
        ("cors.credentials", "\"yes\"", "must be true or false"),
        ("log.level", "3", "must be text in quotes"),
        ("log.level", "\"\"", "must not be empty"),
        ("limits.x", "1", "must be a table"),
        ("routes.links-get.request.set_headers.a", "1", "must be text in quotes"),
        ("routes.links-get.response.body", "\"xml\"", "must be \"xml_to_json\""),
    ] {
        check(&format!("{key} = {value}"), &format!("{key} = {value} {reason}"));
    }
    check("log.level.x = 1", "log.level must be text in quotes");
    check("server.cores = nan", "server.cores = \"nan\" must be a whole number");
    check("server.cores = 2024-01-01", "server.cores = \"2024-01-01\" must be a whole number");
    check("limits.x.key = \"address\"", "limits.x.rate is missing");
    check(
        "limits.x = { key = \"adress\", rate = \"1/s\" }",
        "limits.x.key = \"adress\" must be one of \"consumer\", \"address\", \"anonymous\"; did \
             you mean `address`?",
    );
    check(
        "views.dashboard = { route = \"GET /\", fields = \"*\", limit = { \"a/b\" = \"5\" } }",
        "views.dashboard.limit.\"a/b\" = \"5\" must be a whole number",
    );
}

#[test]
fn an_unknown_key_or_section_is_a_mistake_with_the_nearest_known_one() {
    check(
        "serverr.listen = \"127.0.0.1:1\"",
        "serverr is no section of this gateway's configuration; did you mean `server`?",
    );
    check("telemetry.url = \"x\"", "telemetry is no section of this gateway's configuration");
    check(
        "routes.x = { match = \"GET /\", local = \"x\", Rewrite = \"/y\" }",
        "routes.x.Rewrite = \"/y\" is no key of [routes.x]; did you mean `rewrite`?",
    );
}

#[test]
fn a_misspelt_key_is_read_as_the_one_that_was_meant() {
    // One error: nothing is missing, and what was meant is checked as well.
    check(
        "routes.x = { mtach = \"GET /\", local = \"x\" }",
        "routes.x.mtach = \"GET /\" is no key of [routes.x]; did you mean `match`?",
    );
    // One error: a number was meant for something else.
    check(
        "routes.x = { match = \"GET /\", local = \"x\", limit = 5 }",
        "routes.x.limit = 5 is no key of [routes.x]; did you mean `limits`?",
    );
    let nested =
        files().file("gw.toml", format!("servre.listn = \":80\"\n{GATEWAY}")).mistakes(&[]);
    assert!(nested.contains("did you mean `server`?") && nested.contains("did you mean `listen`?"));
    assert!(nested.ends_with("2 errors"), "{nested}");
    let gateway = format!("{GATEWAY}[routes.x]\nmatch = \"GET /\"\nservcie = \"linsk\"\n");
    assert_snapshot!(files().file("gw.toml", gateway).mistakes(&[]), @r#"
    gw.toml:10: routes.x.servcie = "linsk"
        is no key of [routes.x]; did you mean `service`?

    gw.toml:10: routes.x.service = "linsk"
        names no service; did you mean `links`?

    2 errors
    "#);
}

#[test]
fn a_part_of_the_platform_cannot_set_what_another_part_sets() {
    let files = files()
        .file(
            "platform.d/b.toml",
            "[services.links]\nurl = \"http://b\"\n[policy]\nlimits = [\"consumer\"]\n",
        )
        .file(
            "platform.d/a.toml",
            "[services.links]\ndeadline = \"1s\"\n[services.b]\nurl = \"http://b\"\n",
        )
        .file("gw.toml", format!("services.links.url = \"http://gw\"\n{GATEWAY}"))
        .file("platform.d/.draft.toml", "not read")
        .file("platform.d/notes.txt", "not read");
    assert_snapshot!(files.mistakes(&[]), @r#"
    platform.d/b.toml:2: services.links.url
        is set at platform.toml:3 already; one of the two must go

    platform.d/b.toml:4: policy.limits = ["consumer"]
        is set at platform.toml:10 already; one of the two must go

    2 errors
    "#);
}

#[test]
fn an_own_section_is_checked_with_the_others_and_others_are_unknown() {
    let gateway = format!("{GATEWAY}[login]\nattempts_max = \"many\"\n[[keys]]\nidd = \"a\"\n");
    let files = files().file("gw.toml", gateway);
    assert_snapshot!(files.mistakes(&own_sections()), @r#"
    gw.toml:8: login.service
        is missing

    gw.toml:9: login.attempts_max = "many"
        must be a whole number

    gw.toml:11: keys[0].idd = "a"
        is no key of [[keys]]; did you mean `id`?

    3 errors
    "#);
    let found = files.mistakes(&[]);
    assert!(found.contains("login\n    is no section") && found.contains("keys"), "{found}");
}

#[test]
fn an_own_section_that_is_absent_is_read_as_empty() {
    assert_snapshot!(files().mistakes(&own_sections()), @r"
    gw.toml: login.service
        is missing

    1 error
    ");
}

#[test]
fn nothing_that_may_be_a_secret_is_shown() {
    for gateway in [
        "[auth.api_key]\nrealm = \"r\"\nprefix = \"p\"\npepper = \"hunter2\"\n",
        "[auth.api_key]\nrealm = \"r\"\nprefix = \"p\"\npeper = \"hunter2\"\n",
        "[auth.api_key]\nrealm = \"r\"\nprefix = \"p\"\npepper = [\"hunter2\"]\n",
        "[auth.api_key]\nrealm = \"r\"\nprefix = \"p\"\npepper = { env = [\"hunter2\"] }\n",
        "[auth.api_key]\nrealm = \"r\"\nprefix = \"p\"\npepper = { value = \"hunter2\" }\n",
        "[auth]\napi_key = \"hunter2\"\n",
        "[auth]\nkey = \"hunter2\"\n",
        "auth = \"hunter2\"\n",
        "[admin]\npassword = \"hunter2\"\n",
        "[admin]\npassword = [\"hunter2\"]\n",
        "password = \"hunter2\"\n",
        "[login]\nservice = \"links\"\npassword = \"hunter2\"\n",
        "[[keys]]\nid = \"a\"\ndigest = \"hunter2\"\n",
    ] {
        let own = GATEWAY.replace("[auth.session]", "").replace("scheme = \"session\"", "");
        let text = format!("{gateway}{own}");
        let found = files()
            .file("gw.toml", &text)
            .file("platform.d/a.toml", gateway)
            .file("platform.d/b.toml", gateway)
            .mistakes(&own_sections());
        assert!(found.contains("error") && !found.contains("hunter2"), "{gateway}\n{found}");
    }
}
