//! What a configuration that loaded offers to whoever uses it.

use insta::assert_snapshot;

use super::*;

#[test]
fn own_sections_are_read_into_their_types() {
    let gateway = format!("{GATEWAY}[login]\nservice = \"links\"\nattempts_max = 3\n");
    let loaded = files().file("gw.toml", gateway).load(&own_sections());
    let loaded = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let login: Login = loaded.section("login").expect("a login");
    assert_eq!((login.service.as_str(), login.attempts_max), ("links", 3));
    let keys: Vec<Key> = loaded.section("keys").expect("an absent list is empty");
    assert!(keys.is_empty(), "{keys:?}");
    let unknown = loaded.section::<Login>("logn").expect_err("unknown");
    assert!(unknown.to_string().contains("logn\n    is no section"), "{unknown}");
}

#[test]
fn a_key_is_located_where_the_strongest_layer_wrote_it_and_a_table_where_it_began() {
    let files = files()
        .file("gw.toml", format!("{GATEWAY}[services.links]\ndeadline = \"1s\"\n"))
        .variable("GATEWAY__SERVER__CORES", "1");
    let loaded = files.loaded();
    for (path, expected) in [
        (&["services", "links", "deadline"][..], "gw.toml:9"),
        (&["services", "links"], "platform.toml:2"),
        (&["services", "links", "url"], "platform.toml:3"),
        (&["services", "links", "scheme"], "platform.toml:2"),
        (&["policy", "limits", "0"], "platform.toml:10"),
        (&["server", "cores"], "environment variable GATEWAY__SERVER__CORES"),
        (&["server", "listen"], "built-in/defaults.toml:26"),
        (&["nothing"], "gw.toml"),
    ] {
        let location = loaded.locate(path).to_string();
        assert!(location.ends_with(expected), "{path:?}: {location}");
    }
}

#[test]
fn a_compiler_adds_mistakes_of_its_own_at_their_keys() {
    let files = files();
    let loaded = files.loaded();
    let found = Diagnostics::from_iter([
        Diagnostic::at(
            &loaded,
            &["routes", "links-get", "match"],
            "GET /links/{id}",
            "must be shorter",
        ),
        Diagnostic::at(&loaded, &["routes", "links-get", "local"], "usr", "names no endpoint")
            .suggest("usr", ["user", "logout"]),
        Diagnostic::at(&loaded, &["aggregates", "dashboard", "parts"], "33", "must be at most 32"),
        Diagnostic::at(&loaded, &["routes", "links-get"], "", "is never reached"),
    ]);
    assert_snapshot!(files.named(&found), @r#"
    platform.toml:12: routes.links-get
        is never reached

    platform.toml:12: routes.links-get.local = "usr"
        names no endpoint; did you mean `user`?

    platform.toml:13: routes.links-get.match = "GET /links/{id}"
        must be shorter

    platform.toml:19: aggregates.dashboard.parts = 33
        must be at most 32

    4 errors
    "#);
    assert!(Diagnostics::none_or([]).is_ok());
}

#[test]
fn the_configuration_in_force_is_toml_that_loads_again() {
    let files = files().variable("GATEWAY__SERVER__CORES", "7");
    let shown = files.loaded().render();
    let again = Files::new("", &shown);
    assert_eq!(again.loaded().render(), shown);
    assert_eq!(again.loaded().platform.server.cores, 7);
}

#[test]
fn the_configuration_in_force_is_shown_in_the_order_it_is_declared() {
    let shown = files().loaded().render();
    let (_, declared) = shown.split_once("[services.links]").expect("after the defaults");
    assert_snapshot!(format!("[services.links]{declared}"), @r#"
    [services.links]
    url = "http://127.0.0.1:8080"

    [limits.consumer]
    key = "consumer"

    [limits.consumer.rate]
    free = "100/min"
    pro = "1000/min"

    [routes.links-get]
    match = "GET /links/{id}"
    service = "links"

    [aggregates.dashboard]
    deadline = "800ms"

    [aggregates.dashboard.parts.links]
    call = "GET links:/links"
    weight = 1

    [auth.session]
    cookie = "__Host-Http-sid"
    idle_timeout = "30m"
    lifetime = "12h"
    sessions_max = 100000
    "#);
}
