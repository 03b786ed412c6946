//! Which layer wins, and how.

use insta::assert_snapshot;

use super::*;
use crate::platform::LimitRate;

#[test]
fn each_layer_overrides_those_below_it() {
    let limit = |text: &str| format!("[server]\n{text}\n");
    let files = files()
        .file("platform.toml", format!("{}{PLATFORM}", limit("cores = 1\nheader_count_max = 1")))
        .file("platform.d/a.toml", "[upstream]\nidle_connections_max = 2\n")
        .file("gw.toml", format!("{}{GATEWAY}", limit("cores = 3\nconnections_max = 3")))
        .file("gw.test.toml", limit("cores = 4\naccess = 1").replace("access = 1", ""))
        .environment("test");
    let cores = |files: &Files| files.loaded().platform.server.cores;
    assert_eq!(cores(&files), 4);
    let files = files.variable("GATEWAY__SERVER__CORES", "5");
    assert_eq!(cores(&files), 5);
    let platform = files.loaded().platform;
    assert_eq!(platform.server.header_count_max, 1, "platform.toml");
    assert_eq!(platform.upstream.idle_connections_max, 2, "platform.d");
    assert_eq!(platform.server.connections_max, 3, "gw.toml");
    assert_eq!(platform.server.body_size_max.bytes(), 1 << 20, "the defaults");
}

#[test]
fn a_list_is_replaced_and_a_table_is_merged() {
    let gateway =
        format!("{GATEWAY}[limits.consumer]\nrate.pro = \"5/s\"\n[cors]\nmethods = [\"GET\"]\n");
    let platform = files().file("gw.toml", gateway).loaded().platform;
    assert_eq!(platform.cors.methods, ["GET"]);
    let rates = &platform.limits["consumer"].rate;
    assert_eq!(rates.tiers().collect::<Vec<_>>(), ["free", "pro"]);
    let same = format!("{GATEWAY}[limits.consumer]\nrate = \"5/s\"\n");
    let platform = files().file("gw.toml", same).loaded().platform;
    assert_eq!(platform.limits["consumer"].rate, LimitRate::Same("5/s".parse().expect("a rate")));
}

#[test]
fn a_secret_s_reference_is_replaced_as_a_whole() {
    let token = |token: &str| format!("{GATEWAY}[admin]\ntoken = {token}\n");
    let files = files()
        .file("gw.toml", token("{ env = \"TOKEN\" }"))
        .file("gw.test.toml", "[admin.token]\nfile = \"token\"\n")
        .file("token", "from a file\r\n")
        .environment("test");
    let token = files.loaded().platform.admin.token.expect("a token");
    assert_eq!(token.expose(), "from a file");
}

#[test]
fn a_variable_is_read_as_what_it_looks_like() {
    for (value, expected) in [
        ("info,gateway_core=debug", "info,gateway_core=debug"),
        ("\"debug\"", "debug"),
        ("2024-01-01", "2024-01-01"),
        ("nan", "nan"),
    ] {
        let files = files().variable("GATEWAY__LOG__LEVEL", value);
        assert_eq!(files.loaded().platform.log.level, expected, "{value}");
    }
    let files = files()
        .variable("GATEWAY__SERVER__CONNECTIONS_MAX", "20_000")
        .variable("GATEWAY__SERVER__LISTEN", "0.0.0.0:80")
        .variable("GATEWAY__GATEWAY__EXPOSE", "[\"links-get\"]")
        .variable("GATEWAY__CORS__CREDENTIALS", "true")
        .variable("GATEWAY__ADMIN__TOKEN", "{ env = \"TOKEN\" }")
        .variable("TOKEN", "t")
        .variable("GATEWAY_ADMIN_TOKEN", "no override");
    let platform = files.loaded().platform;
    assert_eq!(platform.server.connections_max, 20_000);
    assert_eq!(platform.server.listen.port(), 80);
    assert_eq!(platform.gateway.expose, ["links-get"]);
    assert!(platform.cors.credentials);
    assert_eq!(platform.admin.token.expect("a token").expose(), "t");
}

#[test]
fn a_variable_reaches_keys_with_dashes() {
    let service = "[services.link-service]\nurl = \"http://a\"\n";
    let files = files()
        .file("platform.d/a.toml", service)
        .variable("GATEWAY__SERVICES__LINK_SERVICE__URL", "http://b:81");
    assert_eq!(
        files.loaded().platform.services["link-service"].url.as_deref(),
        Some("http://b:81")
    );
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let files = files()
        .variable("GATEWAY__SERVER__HEAD_TIMEOUT", "soon")
        .variable("GATEWAY__SERVER__LISTN", "0.0.0.0:80")
        .variable("GATEWAY__ADMIN__TOKEN", "hunter2");
    assert_snapshot!(files.mistakes(&[]), @r#"
    environment variable GATEWAY__ADMIN__TOKEN: admin.token = ***
        must say where the secret is, { env = "NAME" } or { file = "PATH" }; no secret stands in a configuration file

    environment variable GATEWAY__SERVER__HEAD_TIMEOUT: server.head_timeout = "soon"
        must be a whole number and a unit: ms, s, m, h or d, such as "250ms" or "5m"

    environment variable GATEWAY__SERVER__LISTN: server.listn = "0.0.0.0:80"
        is no key of [server]; did you mean `listen`?

    3 errors
    "#);
    let files = super::files().variable("GATEWAY__", "1").variable("GATEWAY__A____B", "1");
    assert_snapshot!(files.mistakes(&[]), @r"
    environment variable GATEWAY__
        must name a key as GATEWAY__SECTION__KEY

    environment variable GATEWAY__A____B
        must name a key as GATEWAY__SECTION__KEY

    2 errors
    ");
}

#[test]
fn parts_keep_the_order_in_which_they_are_declared() {
    let part =
        |name: &str| format!("[aggregates.dashboard.parts.{name}]\ncall = \"GET links:/\"\n");
    let files = files()
        .file("platform.d/a.toml", format!("{}{}", part("zeta"), part("alpha")))
        .file("gw.toml", format!("{GATEWAY}{}", part("mid")))
        .file("gw.test.toml", "[aggregates.dashboard.parts.zeta]\nweight = 2\n")
        .environment("test");
    let platform = files.loaded().platform;
    let parts: Vec<&str> = platform.aggregates["dashboard"].parts().map(|(name, _)| name).collect();
    assert_eq!(parts, ["links", "zeta", "alpha", "mid"]);
}
