//! The command line, as an operator types it: real processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::verify::repository;

/// A gateway's program, built with the tests' own profile.
fn program(name: &str) -> PathBuf {
    tests::harness::program(name)
}

/// Runs a gateway's program in the sample's folder, with these variables alone.
pub(crate) fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments).current_dir(repository()).env_clear();
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().expect("the program runs")
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The secrets that the sample's configuration asks for.
pub(crate) const VARIABLES: [(&str, &str); 6] = [
    ("LINK_SERVICE_ASSERTION_KEY", KEY),
    ("ANALYTICS_SERVICE_ASSERTION_KEY", KEY),
    ("USER_SERVICE_ASSERTION_KEY", KEY),
    ("BILLING_SERVICE_ASSERTION_KEY", KEY),
    ("WEBHOOK_SERVICE_ASSERTION_KEY", KEY),
    ("PARTNER_GATEWAY_PEPPER", KEY),
];

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_prints_what_is_in_force_with_every_secret_masked() {
    for gateway in ["web-bff", "mobile-bff", "partner-gateway"] {
        let output = run(gateway, &["check"], &VARIABLES);
        assert_eq!(output.status.code(), Some(0), "{gateway}: {}", text(&output.stderr));
        let shown = text(&output.stdout);
        assert!(shown.contains("[services.link-service]"), "{shown}");
        assert!(shown.contains("assertion_key = \"***\""), "{shown}");
        assert!(!shown.contains(KEY));
    }
}

#[test]
fn three_mistakes_in_one_file_are_three_errors_with_file_line_key_value_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    let file = folder.path().join("web-bff.toml");
    let good = std::fs::read_to_string(&file).expect("readable");
    let bad = good
        .replace("idle_timeout = \"30m\"", "idle_timeout = \"half an hour\"")
        .replace("prefix = \"/api\"", "prefx = \"/api\"")
        .replace("local = \"logout\"", "local = \"logut\"\nrewrite = 5");
    std::fs::write(&file, bad).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("web-bff", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr).replace(&folder, "config");
    for expected in [
        "config/web-bff.toml:5: gateway.prefx = \"/api\"\n    is no key of [gateway]; did you mean `prefix`?",
        "auth.session.idle_timeout = \"half an hour\"\n    must be a whole number and a unit",
        "routes.web-logout.rewrite = 5\n    must be text in quotes",
        "3 errors",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
}

#[test]
fn what_only_the_core_can_judge_is_reported_in_the_same_way() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    let file = folder.path().join("web-bff.toml");
    let good = std::fs::read_to_string(&file).expect("readable");
    let bad = good
        .replace("local = \"logout\"", "local = \"logut\"")
        .replace("fields = \"*\"", "fields = \"profile(name\"")
        .replace("match = \"GET /bff/user\"", "match = \"GET /bff/{user\"")
        + "\n[services.a]\nurl = \"https://a\"\ntls = { ca = \"platform.toml\" }\n\
           [services.b]\nurl = \"http://b\"\nprotocol = \"h2\"\n\
           [routes.b]\nmatch = \"GET /b\"\nservice = \"b\"\nwebsocket = true\n\
           [traces.headers]\n\"X Key\" = { env = \"PARTNER_GATEWAY_PEPPER\" }\n";
    std::fs::write(&file, bad).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("web-bff", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for expected in [
        "routes.web-logout.local = \"logut\"\n",
        "views.dashboard.fields = \"profile(name\"\n",
        "routes.web-user.match = \"GET /bff/{user\"\n",
        "services.a.tls.ca = \"platform.toml\"\n    must hold certificates of authorities in PEM",
        "routes.b.websocket = true\n    stands beside a service with",
        "traces.headers.\"X Key\" = ***\n    is no name of a header field",
        "6 errors",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
}

/// Aggregates and a view; a number in a test below is a line of this text.
const MISTAKES: &str = r#"
[aggregates.writes.parts.first]
call = "POST link-service:/links"
[aggregates.writes.parts.second]
call = "DELETE link-service:/links/1"

[aggregates.circle.parts.a]
call = "GET link-service:/a?b={part.b.id}"
[aggregates.circle.parts.b]
call = "GET link-service:/b?c={part.c.id}"
[aggregates.circle.parts.c]
call = "GET link-service:/c?a={part.a.id}"

[aggregates.places.parts.one]
call = "GET link-service:/one"
into = "here"
[aggregates.places.parts.two]
call = "GET link-service:/two"
into = "here"

[aggregates.parts.parts.x]
call = "GET link-service:/x"
[aggregates.parts.parts.y]
call = "GET link-service:/{nothing.y}"
when = "identity.role = 'admin'"
schema = { type = "objekt" }
[aggregates.parts.parts.z]
call = "GET link-service:/z"
for_each = "x.items"

[aggregates.writes]
deadline = "1s"
[aggregates.circle]
deadline = "1s"
[aggregates.places]
deadline = "1s"
[aggregates.parts]
deadline = "1s"

[views.dropped]
aggregate = "dashboard"
route = "GET /dropped"
fields = "profile(name),usage"
drop = "profile/email,nothing"
"#;

#[test]
fn an_aggregate_with_several_mistakes_has_each_under_its_key_with_the_line() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    std::fs::create_dir(folder.path().join("platform.d")).expect("made");
    std::fs::write(folder.path().join("platform.d/mistakes.toml"), MISTAKES).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("mobile-bff", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr).replace(&folder, "config");
    for expected in [
        "mistakes.toml:5: aggregates.writes.parts.second.call = \"DELETE link-service:/links/1\"\n    \
         is a second write",
        "mistakes.toml:7: aggregates.circle.parts = a → b → c → a\n",
        "mistakes.toml:19: aggregates.places.parts.two.into = \"here\"\n    claims here, as \"one\" does",
        "mistakes.toml:24: aggregates.parts.parts.y.call = \"GET link-service:/{nothing.y}\"\n",
        "mistakes.toml:25: aggregates.parts.parts.y.when = \"identity.role = 'admin'\"\n",
        "mistakes.toml:26: aggregates.parts.parts.y.schema\n    is no JSON Schema",
        "mistakes.toml:28: aggregates.parts.parts.z.call = \"GET link-service:/z\"\n    \
         reads no `{item.…}`",
        "mistakes.toml:44: views.dropped.drop = \"profile/email,nothing\"\n    \"nothing\" is not shown",
        "8 errors",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
}

#[test]
fn two_routes_of_the_same_requests_are_an_error_that_names_both() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    let second = "[routes.second]\nmatch = \"GET /links/{slug}\"\nservice = \"link-service\"\n";
    std::fs::create_dir(folder.path().join("platform.d")).expect("made");
    std::fs::write(folder.path().join("platform.d/second.toml"), second).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("mobile-bff", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("routes.second.match") && said.contains("routes.links-get.match"),
        "{said}"
    );
}

#[test]
fn a_missing_secret_names_its_variable() {
    let output = run("mobile-bff", &["serve"], &VARIABLES[1..]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("is due in environment variable LINK_SERVICE_ASSERTION_KEY"), "{said}");
    assert!(said.contains("platform.toml:"), "{said}");
}

/// What `check` says of a layer that is wrong, beside the sample, which is not.
fn refused_beside_the_sample(bad: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    std::fs::create_dir(folder.path().join("platform.d")).expect("made");
    std::fs::write(folder.path().join("platform.d/10-bad.toml"), bad).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("mobile-bff", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(2));
    text(&output.stderr)
}

#[test]
fn what_cannot_be_retried_or_limited_so_is_an_error_at_its_key() {
    let bad = "[services.link-service.retry]\nbackoff_base = \"1s\"\n\
               [services.user-service.retry]\nmethods = [\"FETCH\"]\n\
               [services.user-service.concurrency]\nlatency_max = \"1s\"\nspare_percent = 70\n\
               [services.billing-service]\nmesh = true\n\
               [routes.billing-usage.retry]\nattempts_max = 2\n";
    let said = refused_beside_the_sample(bad);
    for expected in [
        "10-bad.toml:2: services.link-service.retry.backoff_base",
        "must be at most `backoff_max`, \"250ms\"",
        "10-bad.toml:4: services.user-service.retry.methods",
        "must be GET, HEAD, OPTIONS, PUT, DELETE, POST or PATCH",
        "10-bad.toml:7: services.user-service.concurrency.spare_percent",
        "must be at most `batch_percent`, 60",
        "routes.billing-usage.retry",
        "leaves this to the sidecar",
        "4 errors",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn no_two_things_are_told_to_services_under_one_name() {
    let bad = "[identity]\nrole_header = \"Traceparent\"\ntier_header = \"X-Left\"\n\
               [upstream]\ntime_left_header = \"x-left\"\n";
    let said = refused_beside_the_sample(bad);
    for expected in [
        "10-bad.toml:2: identity.role_header",
        "10-bad.toml:5: upstream.time_left_header",
        "must be a name of its own",
        "2 errors",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let listen =
        [("GATEWAY__SERVER__LISTEN", &*address), ("GATEWAY__ADMIN__LISTEN", "127.0.0.1:0")];
    let output = run("mobile-bff", &["serve"], &[&VARIABLES[..], &listen].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&address), "{said}");
}

#[test]
fn a_key_is_issued_once_with_the_record_that_accepts_it() {
    let arguments = ["keys", "issue", "--partner", "acme", "--tier", "pro"];
    let output = run("partner-gateway", &arguments, &VARIABLES);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let key = printed.lines().find(|line| line.starts_with("plk_live_")).expect("the key");
    let record = printed.split_once("[[keys]]").expect("the record").1;
    assert!(!record.contains(key), "the record holds the digest alone");

    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    let file = folder.path().join("partner-gateway.toml");
    let with_record = std::fs::read_to_string(&file).expect("readable") + "\n[[keys]]" + record;
    std::fs::write(&file, with_record).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("partner-gateway", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));

    let arguments = ["keys", "issue", "--partner", "acme", "--tier", "prö"];
    assert_eq!(run("partner-gateway", &arguments, &VARIABLES).status.code(), Some(2));
    let arguments = ["keys", "issue", "--partner", "acme", "--tier", "gold"];
    let output = run("partner-gateway", &arguments, &VARIABLES);
    assert!(text(&output.stderr).contains("known tiers: free, partner, pro"));
}

#[test]
fn a_fourth_gateway_is_a_name_and_a_file() {
    let program = include_str!("../examples/tv_bff.rs");
    assert!(program.lines().count() < 100);
    let folder = tempfile::tempdir().expect("a folder");
    copy_sample(folder.path());
    let document = std::fs::read_to_string(repository().join("docs/fourth-gateway.md"));
    let document = document.expect("readable");
    let toml = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    std::fs::write(folder.path().join("tv-bff.toml"), toml.expect("a block")).expect("written");
    let shown = document.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    let code = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("//!"));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    assert_eq!(code(shown.expect("a block")), code(program), "the document shows the example");
    let folder = folder.path().to_string_lossy().into_owned();
    let output = run("examples/tv_bff", &["check", "--config", &folder], &VARIABLES);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("name = \"tv-bff\""));
}

pub(crate) fn copy_sample(folder: &Path) {
    for name in ["platform.toml", "web-bff.toml", "mobile-bff.toml", "partner-gateway.toml"] {
        let from = repository().join("config").join(name);
        std::fs::copy(from, folder.join(name)).expect("copied");
    }
}
