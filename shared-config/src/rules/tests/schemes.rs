//! Rules of `[auth.*]`, and that a scheme in use has its section.

use super::check;
use crate::testing::Files;

#[test]
fn a_session_is_not_idle_for_longer_than_it_lives() {
    let reason = "auth.session.idle_timeout: must be at most the session's lifetime, \"1h\"";
    check("", "idle_timeout = \"61m\"\nlifetime = \"1h\"", &[reason]);
    check("", "idle_timeout = \"60m\"\nlifetime = \"1h\"", &[]);
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
