//! The files in config/, as each gateway reads them.

use insta::assert_snapshot;

use super::*;

pub(super) const VARIABLES: [&str; 6] = [
    "LINK_SERVICE_ASSERTION_KEY",
    "ANALYTICS_SERVICE_ASSERTION_KEY",
    "USER_SERVICE_ASSERTION_KEY",
    "BILLING_SERVICE_ASSERTION_KEY",
    "WEBHOOK_SERVICE_ASSERTION_KEY",
    "PARTNER_GATEWAY_PEPPER",
];

fn sources(gateway: &str) -> Sources {
    Sources {
        directory: None,
        gateway: gateway.to_owned(),
        environment: None,
        variables: VARIABLES.map(|name| (name.to_owned(), format!("sample {name}"))).into(),
    }
}

/// The sections that the gateways' own crates type.
fn sections(gateway: &str) -> Vec<Section> {
    type Any = BTreeMap<String, Value>;
    match gateway {
        "web-bff" => vec![Section::of::<Any>("login")],
        "mobile-bff" => vec![Section::of::<Any>("push_tokens")],
        _ => vec![Section::of::<Any>("webhook_endpoints"), Section::of::<Vec<Any>>("keys")],
    }
}

#[test]
fn each_gateway_s_sample_loads() {
    for (gateway, routes) in [("web-bff", 19), ("mobile-bff", 14), ("partner-gateway", 15)] {
        let loaded = load(&sources(gateway), &sections(gateway));
        let loaded = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let platform = &loaded.platform;
        assert_eq!(platform.gateway.name, gateway);
        assert_eq!(platform.routes.len(), routes, "{gateway}");
        assert_eq!(platform.identity.claims.user_id, "/user_id");
        assert_eq!(platform.tiers().iter().collect::<Vec<_>>(), ["free", "partner", "pro"]);
        let parts = platform.aggregates["dashboard"].parts().map(|(name, _)| name);
        let parts: Vec<&str> = parts.collect();
        assert_eq!(parts, ["profile", "links", "clicks", "owners", "summary", "usage", "hooks"]);
        assert!(!loaded.render().contains("sample "), "{gateway}");
    }
}

#[test]
fn each_gateway_offers_what_its_sample_exposes() {
    for (gateway, route, is_offered) in [
        ("web-bff", "links-list-v2", true),
        ("web-bff", "auth-login", false),
        ("mobile-bff", "auth-login", true),
        ("partner-gateway", "links-get", true),
        ("partner-gateway", "links-list-v2", false),
        ("partner-gateway", "auth-login", false),
    ] {
        let loaded = load(&sources(gateway), &sections(gateway)).expect("loads");
        assert_eq!(loaded.platform.gateway.exposes(route), is_offered, "{gateway} {route}");
    }
}

#[test]
fn a_gateway_without_a_sample_needs_a_directory() {
    let found = load(&sources("tv-bff"), &[]).expect_err("not built in");
    assert_snapshot!(found.to_string(), @r"
    built-in/tv-bff.toml
        is not built in; say with --config which directory it is in

    1 error
    ");
}

#[test]
fn a_sixth_service_is_two_lines_and_a_route_to_it_three() {
    let service = "[services.sixth]\nurl = \"http://127.0.0.1:8085\"\n\
                   [routes.sixth]\nmatch = \"GET /sixth\"\nservice = \"sixth\"\n";
    assert_eq!(files().file("platform.d/sixth.toml", service).mistakes(&[]), "none");
}
