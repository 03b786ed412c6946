//! What is printed once all is ready: credentials, and a `curl` line for each thing worth trying.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::credentials::Credentials;
use super::layout::{DemoGateway, Layout};
use crate::platform::Service;

/// One line of JSON for scripts.
pub(super) fn print_json(layout: &Layout, credentials: &Credentials, authority: Option<&Path>) {
    let urls = |gateway| (layout.url(gateway), layout.admin_url(gateway));
    let (web, web_admin) = urls(DemoGateway::Web);
    let (mobile, mobile_admin) = urls(DemoGateway::Mobile);
    let (partner, partner_admin) = urls(DemoGateway::Partner);
    let services: Map<String, Value> = Service::ALL
        .iter()
        .map(|&service| (service.name().to_owned(), layout.service_url(service).into()))
        .collect();
    let tokens = credentials.tokens.as_ref();
    let mut line = json!({
        "web": {
            "url": web, "admin": web_admin,
            "email": credentials.email, "password": credentials.password,
        },
        "mobile": {
            "url": mobile, "admin": mobile_admin,
            "access_token": tokens.map(|tokens| &tokens.access_token),
            "refresh_token": tokens.map(|tokens| &tokens.refresh_token),
        },
        "partner": { "url": partner, "admin": partner_admin, "keys": credentials.keys },
        "services": services,
        "authority": authority,
    });
    if layout.gateways().contains(&DemoGateway::Edge) {
        let (url, admin) = urls(DemoGateway::Edge);
        line["edge"] = json!({ "url": url, "admin": admin });
    }
    println!("{line}");
}

/// The same for people.
pub(super) fn print(
    layout: &Layout,
    credentials: &Credentials,
    authority: Option<&Path>,
    without: &[String],
) {
    let mut page = String::from("\nThe platform runs. Everything is on this machine only.\n");
    if !without.is_empty() {
        let _ = writeln!(page, "Left out: {}.", without.join(", "));
    }
    let _ = writeln!(
        page,
        "Open {}/ in a browser and log in with EMAIL and PASSWORD: the dashboard, part by part.",
        layout.url(DemoGateway::Web)
    );
    variables(&mut page, layout, credentials);
    if let Some(authority) = authority {
        let _ = writeln!(page, "CA='{}'", authority.display());
        section(&mut page, "TLS: what --cacert says once, the first line says for all", TLS);
    }
    let edge = ("The other pattern: one gateway for all consumers", EDGE);
    let has_edge = layout.gateways().contains(&DemoGateway::Edge);
    for (heading, lines) in sections().into_iter().chain(has_edge.then_some(edge)) {
        section(&mut page, heading, lines);
    }
    let _ = write!(page, "\n{WITHOUT}\nCtrl-C stops everything.\n");
    println!("{page}");
}

fn section(page: &mut String, heading: &str, lines: Lines) {
    let _ = write!(page, "\n# {heading}\n");
    for (words, line) in lines {
        let _ = write!(page, "# {words}\n{line}\n");
    }
}

const WITHOUT: &str = "\
A service that is not there: start again with `cargo demo -- --without analytics-service`, and look at
the dashboards. The clicks of every link and the summary are null, everything else is there;
Aggregate-Status says o=failed;r=refused of clicks and summary, nothing is kept (no-store, no ETag), and
the log line has completeness 0.714: five parts of seven. With `--without billing-service` the usage is
its fallback, and the completeness is still 1.
";

/// Shell variables, so that each line below can be pasted as it stands.
fn variables(page: &mut String, layout: &Layout, credentials: &Credentials) {
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(page, "{name}='{value}'");
    };
    let url = |gateway| layout.url(gateway);
    set("WEB", &url(DemoGateway::Web));
    set("MOBILE", &url(DemoGateway::Mobile));
    set("PARTNER", &url(DemoGateway::Partner));
    if layout.gateways().contains(&DemoGateway::Edge) {
        set("EDGE", &url(DemoGateway::Edge));
    }
    set("ADMIN", &layout.admin_url(DemoGateway::Mobile));
    for service in Service::ALL {
        let name = service.name().replace('-', "_").to_uppercase();
        set(&name, &layout.service_url(service));
    }
    set("EMAIL", credentials.email);
    set("PASSWORD", credentials.password);
    if let Some(tokens) = &credentials.tokens {
        set("TOKEN", &tokens.access_token);
        set("REFRESH_TOKEN", &tokens.refresh_token);
    }
    set("KEY_UNKNOWN", &crate::harness::unknown_key());
    for (tier, key) in &credentials.keys {
        set(&format!("KEY_{}", tier.to_uppercase()), key);
    }
}

type Lines = &'static [(&'static str, &'static str)];

fn sections() -> [(&'static str, Lines); 6] {
    [
        ("The app: mobile-bff, bearer tokens, compact answers", MOBILE),
        ("The partner: partner-gateway, API keys, tiers", PARTNER),
        ("The browser: web-bff, a session cookie, rich answers", WEB),
        ("What a service that fails does to a dashboard", FAILING),
        ("What is refused, and how", REFUSED),
        ("What an operator sees", OPERATOR),
    ]
}

const TLS: Lines = &[
    ("whom curl believes from here on", r#"export CURL_CA_BUNDLE="$CA""#),
    (
        "HTTP/2 where both can; strict-transport-security tells browsers to stay",
        r#"curl -si --cacert "$CA" "$MOBILE/links/x7Kp2" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "the handshake: version, cipher, certificate",
        r#"curl -sv --cacert "$CA" "$WEB/" 2>&1 >/dev/null | grep -E 'SSL|ALPN|subject|issuer'"#,
    ),
    (
        "TLS 1.2 and nothing older",
        r#"curl -si --cacert "$CA" --tls-max 1.2 "$PARTNER/v1/links" -H "X-API-Key: $KEY_PRO"; curl -sS --cacert "$CA" --tls-max 1.1 "$WEB/""#,
    ),
    (
        "an authority that nobody knows: refused by curl",
        r#"env -u CURL_CA_BUNDLE curl -sS "$WEB/""#,
    ),
    ("HTTP at the door of HTTPS: 400, in words", r#"curl -si "http://${WEB#https://}/""#),
];

const MOBILE: Lines = &[
    ("one link", r#"curl -si "$MOBILE/links/x7Kp2" -H "Authorization: Bearer $TOKEN""#),
    (
        "five services in one compact answer; Aggregate-Status says what was delivered",
        r#"curl -si "$MOBILE/dashboard" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "only what this screen shows",
        r#"curl -s "$MOBILE/dashboard?fields=profile(name),usage" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "part by part, as each lands; the last line is the report",
        r#"curl -sN "$MOBILE/dashboard" -H "Authorization: Bearer $TOKEN" -H 'Accept: application/x-ndjson'"#,
    ),
    ("its clicks", r#"curl -s "$MOBILE/analytics/links/x7Kp2" -H "Authorization: Bearer $TOKEN""#),
    (
        "the billing service answers XML; you get JSON",
        r#"curl -s "$MOBILE/billing/usage" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "version 2 of the API, from the same service",
        r#"curl -s "$MOBILE/v2/links?limit=2" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "log in, as an app does",
        r#"curl -s "$MOBILE/auth/login" -H 'Content-Type: application/json' -d "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}""#,
    ),
    (
        "a new pair of tokens",
        r#"curl -s "$MOBILE/auth/refresh" -H 'Content-Type: application/json' -d "{\"refresh_token\":\"$REFRESH_TOKEN\"}""#,
    ),
    (
        "register for notifications",
        r#"curl -s "$MOBILE/devices/push-tokens" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"platform":"fcm","installation_id":"my-phone","token":"fcm-0123456789-ABCD"}'"#,
    ),
    (
        "who gets notifications",
        r#"curl -s "$MOBILE/devices/push-tokens" -H "Authorization: Bearer $TOKEN""#,
    ),
];

const PARTNER: Lines = &[
    (
        "the partner's links",
        r#"curl -si "$PARTNER/v1/links?limit=2" -H "Authorization: Bearer $KEY_PRO""#,
    ),
    ("its usage", r#"curl -s "$PARTNER/v1/billing/usage" -H "X-API-Key: $KEY_PRO""#),
    (
        "where it wants to be told what happened; the secret is shown this once",
        r#"curl -s "$PARTNER/v1/webhooks/endpoints" -H "X-API-Key: $KEY_PRO" -H 'Content-Type: application/json' -d '{"url":"https://hooks.example.com/links","event_types":["link.clicked"]}'"#,
    ),
    ("its endpoints", r#"curl -s "$PARTNER/v1/webhooks/endpoints" -H "X-API-Key: $KEY_PRO""#),
];

const WEB: Lines = &[
    (
        "log in; the cookie is all the browser ever gets",
        r#"curl -si -c /tmp/gateway-demo.cookies "$WEB/auth/login" -H 'X-CSRF: 1' -H 'Content-Type: application/json' -d "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}""#,
    ),
    ("who am I", r#"curl -s -b /tmp/gateway-demo.cookies "$WEB/bff/user" -H 'X-CSRF: 1'"#),
    (
        "the rich dashboard, from the same declaration as the compact one: each link with its clicks and owner",
        r#"curl -si -b /tmp/gateway-demo.cookies "$WEB/api/dashboard" -H 'X-CSRF: 1'"#,
    ),
    (
        "once more: the usage is kept for 30 seconds, and Cache-Status says so",
        r#"curl -si -b /tmp/gateway-demo.cookies "$WEB/api/dashboard" -H 'X-CSRF: 1' | grep -iE '^(cache|aggregate)-status'"#,
    ),
    (
        "only what this page shows",
        r#"curl -s -b /tmp/gateway-demo.cookies "$WEB/api/dashboard?limit=3&fields=links/items(title,clicks/total,owner/name)" -H 'X-CSRF: 1'"#,
    ),
    (
        "part by part, as server-sent events: the links come first alone, then with clicks and owners",
        r#"curl -sN -b /tmp/gateway-demo.cookies "$WEB/api/dashboard?limit=2" -H 'X-CSRF: 1' -H 'Accept: text/event-stream'"#,
    ),
    (
        "pass-through",
        r#"curl -s -b /tmp/gateway-demo.cookies "$WEB/api/links?limit=2" -H 'X-CSRF: 1'"#,
    ),
    (
        "log out",
        r#"curl -si -b /tmp/gateway-demo.cookies -X POST "$WEB/bff/logout" -H 'X-CSRF: 1'"#,
    ),
];

/// `POST /faults` on a sample service says what its next requests meet.
const FAILING: Lines = &[
    (
        "one that takes three seconds: at the deadline of 800 ms its part is null (r=timeout), the others are there",
        r#"curl -s "$WEBHOOK_SERVICE/faults" -d '{"next":1,"delay_ms":3000}' && curl -si "$MOBILE/dashboard" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "the same, part by part: nobody waits for the slow one",
        r#"curl -s "$WEBHOOK_SERVICE/faults" -d '{"next":1,"delay_ms":600}' && curl -sN "$MOBILE/dashboard" -H "Authorization: Bearer $TOKEN" -H 'Accept: application/x-ndjson'"#,
    ),
    (
        "a body without end: cut off at 4 MiB (r=too_large)",
        r#"curl -s "$WEBHOOK_SERVICE/faults" -d '{"next":1,"endless":true}' && curl -si "$MOBILE/dashboard?fields=profile(name),hooks" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "what was kept is gone, and billing-service fails: the declared fallback stands in",
        r#"curl -s -X POST "$ADMIN/purge?part=dashboard.usage" && echo && curl -s "$BILLING_SERVICE/faults" -d '{"next":1,"status":500}' && curl -si "$MOBILE/dashboard?fields=usage" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "the part without which there is no answer: 502, and none of the service's words",
        r#"curl -s "$USER_SERVICE/faults" -d '{"next":1,"status":500,"path":"/users/4821"}' && curl -si "$MOBILE/dashboard" -H "Authorization: Bearer $TOKEN""#,
    ),
];

const REFUSED: Lines = &[
    ("no credential: 401", r#"curl -si "$MOBILE/links/x7Kp2""#),
    (
        "a key of the right shape that nobody was issued: 401",
        r#"curl -si "$PARTNER/v1/links" -H "X-API-Key: $KEY_UNKNOWN""#,
    ),
    (
        "a key with a typing mistake: 401 without a look-up",
        r#"curl -si "$PARTNER/v1/links" -H "X-API-Key: plk_test_wrong""#,
    ),
    (
        "21 new links at once: the last is refused with 429 and Retry-After",
        r#"for i in $(seq 21); do curl -s -o /dev/null -w '%{http_code} ' "$MOBILE/links" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"target_url":"https://example.com/"}'; done; echo"#,
    ),
    (
        "a spoofed identity is dropped: still your own name",
        r#"curl -s "$MOBILE/dashboard?fields=profile" -H "Authorization: Bearer $TOKEN" -H 'X-User-ID: 4823' -H 'X_User_Role: admin'"#,
    ),
    (
        "past the gateway: 401, the signed assertion is missing",
        r#"curl -si "$LINK_SERVICE/links/x7Kp2" -H 'X-Auth-Verified: true' -H 'X-User-ID: 4821'"#,
    ),
    ("no such route: 404", r#"curl -si "$MOBILE/nothing" -H "Authorization: Bearer $TOKEN""#),
    (
        "no such method: 405 with Allow",
        r#"curl -si -X PUT "$MOBILE/links" -H "Authorization: Bearer $TOKEN""#,
    ),
    (
        "a foreign page's preflight: 403",
        r#"curl -si -X OPTIONS "$WEB/api/links" -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: GET'"#,
    ),
];

/// `cargo demo -- --edge`
const EDGE: Lines = &[
    (
        "log in: the credential for everything else",
        r#"curl -s "$EDGE/auth/login" -H 'Content-Type: application/json' -d "{\"email\":\"$EMAIL\",\"password\":\"$PASSWORD\"}""#,
    ),
    ("one link", r#"curl -si "$EDGE/links/x7Kp2" -H "Authorization: Bearer $TOKEN""#),
    ("its clicks", r#"curl -s "$EDGE/analytics/links/x7Kp2" -H "Authorization: Bearer $TOKEN""#),
    ("what is used", r#"curl -s "$EDGE/billing/usage" -H "Authorization: Bearer $TOKEN""#),
    ("nothing else is exposed: 404", r#"curl -si "$EDGE/links" -H "Authorization: Bearer $TOKEN""#),
];

const OPERATOR: Lines = &[
    ("ready?", r#"curl -si "$ADMIN/readyz""#),
    ("metrics", r#"curl -s "$ADMIN/metrics" | grep -E '_(count|total)[{ ]'"#),
    ("the configuration in force, secrets masked", r#"curl -s "$ADMIN/config""#),
    (
        "what a dashboard would do: its calls in waves, what is kept for whom, what is shown",
        r"(for s in LINK ANALYTICS USER BILLING WEBHOOK; do export ${s}_SERVICE_ASSERTION_KEY=any-text-of-32-characters-or-more; done; cargo run -q -p web-bff -- explain GET /api/dashboard)",
    ),
    ("one JSON line for each request", "tail -n 3 target/demo/*/mobile-bff.log"),
];
