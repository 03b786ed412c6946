//! `explain`: what a request would do, as an operator asks for it.

use crate::command::{VARIABLES, run, text};

#[test]
fn the_rich_dashboard_is_explained_in_waves_with_batch_cache_and_what_is_shown() {
    let output = run("web-bff", &["explain", "GET", "/api/dashboard"], &VARIABLES);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let mut rest = &*said;
    for expected in [
        "route dashboard, session, 10s in all\n",
        "aggregate dashboard, answered within 800ms\n",
        "  1  profile: GET user-service:/users/{identity.user_id}\n",
        "the answer fails\n",
        "  1  links: GET link-service:/links?owner={identity.user_id}&limit={query.limit|20}\n",
        "  1  usage: GET billing-service:/usage\n",
        r#" {"plan":"unknown"}"#,
        " for 30s, 5m more while a new one is fetched, 1h more where none can be had\n",
        " {scheme, user_id, role, roles, tenant, tier, scopes, credential} + GET billing-service:/usage\n",
        "  2  clicks: GET analytics-service:/links?ids={items.id}\n",
        " links\n",
        " links.items, 50 in one call, joined by id = id\n",
        " in links.items.clicks\n",
        "  2  owners: GET user-service:/users/{item.owner_id}\n",
        " links.items, equal calls once\n",
        "\nshows\n",
        "  usage: everything\n",
    ] {
        let found = rest.find(expected).map(|at| at + expected.len());
        rest = &rest
            [found.unwrap_or_else(|| panic!("{expected:?} is missing, or not next, in\n{said}"))..];
    }
}

#[test]
fn the_compact_dashboard_calls_for_no_owners() {
    let output = run("mobile-bff", &["explain", "GET", "/dashboard?fields=usage"], &VARIABLES);
    let said = text(&output.stdout);
    assert!(said.starts_with("route dashboard, jwt, "), "{said}");
    assert!(said.contains("owners: not called, the view does not show it"), "{said}");
    let links = "  links: items(at most 5, clicks(total), id, slug)\n";
    assert!(said.contains(links), "{said}");
}

#[test]
fn other_routes_say_where_they_lead() {
    for (gateway, method, path, expected) in [
        ("mobile-bff", "GET", "/links/x7Kp2", "passed through to link-service"),
        ("web-bff", "POST", "/bff/logout", "an endpoint of the gateway's own"),
        ("web-bff", "POST", "/auth/login", "route web-login, public"),
    ] {
        let output = run(gateway, &["explain", method, path], &VARIABLES);
        assert_eq!(output.status.code(), Some(0), "{path}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(expected), "{}", text(&output.stdout));
    }
}

#[test]
fn the_worst_case_counts_each_attempt_at_each_service() {
    let retries = [("GATEWAY__POLICY__RETRY__ATTEMPTS_MAX", "3")];
    let with_retries = [&VARIABLES[..], &retries].concat();
    let at_once = "worst case: 25 attempts for one request (21 at analytics-service, \
                   1 at billing-service, 1 at link-service, 1 at user-service, \
                   1 at webhook-service)\n";
    let thrice = "worst case: 75 attempts for one request (63 at analytics-service, ";
    for (path, method, variables, expected) in [
        ("/dashboard", "GET", &VARIABLES[..], at_once),
        ("/dashboard", "GET", &with_retries, thrice),
        ("/links/x", "GET", &with_retries, "worst case: 3 attempts for one request (3 at link-"),
    ] {
        let output = run("mobile-bff", &["explain", method, path], variables);
        let said = text(&output.stdout);
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    let said = text(&run("mobile-bff", &["check"], &with_retries).stdout);
    for expected in ["# analytics-service: 63\n", "# link-service: 3\n", "# user-service: 3\n"] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn a_request_that_would_be_refused_is_an_error_with_the_reason() {
    for (method, path, expected) in [
        ("GET", "/nothing", "error: no route has this path\n"),
        ("PUT", "/dashboard", "error: no route of this path has this method\n"),
        ("GET", "/dashboard/%2e%2e/links", "error: the path has a dot segment\n"),
        ("G E T", "/dashboard", "error: \"G E T\" is no method\n"),
    ] {
        let output = run("mobile-bff", &["explain", method, path], &VARIABLES);
        assert_eq!(output.status.code(), Some(2), "{method} {path}");
        assert_eq!(text(&output.stdout), "", "{method} {path}");
        let said = text(&output.stderr);
        assert_eq!(said, expected, "{method} {path}");
    }
}
