//! What goes on over a reload, by its place in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use shared_config::Sources;
use tokio::runtime::Runtime;

use super::watch::Watcher;
use super::{Outcome, ReloadRefused, Trigger};
use crate::command::{Gateway, Options, Running, start};
use crate::site::Site;

struct Plain;

impl Gateway for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }
}

const PLATFORM: &str = r#"
[services.a]
url = "http://127.0.0.1:1"
[services.b]
url = "http://127.0.0.1:2"
[routes.a]
match = "GET /a"
service = "a"
unlimited = "a test"
[routes.b]
match = "GET /b"
service = "b"
unlimited = "a test"
"#;

const GATEWAY: &str = r#"
[gateway]
name = "plain"
scheme = "jwt"
expose = ["*"]
[server]
listen = "127.0.0.1:0"
cores = 1
[admin]
listen = "127.0.0.1:0"
[log]
access = "off"
[reload]
watch = false
[auth.jwt]
realm = "plain"
verified_tokens_max = 10
[auth.jwt.issuers.one]
issuer = "https://one.example.com"
audience = "https://api.example.com"
jwks_file = "nowhere.json"
algorithms = ["ES256"]
"#;

/// A gateway over files of its own.
struct Sample {
    directory: tempfile::TempDir,
    running: Running,
    runtime: Runtime,
}

impl Sample {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        write(directory.path(), PLATFORM, GATEWAY);
        let sources = Sources {
            directory: Some(directory.path().to_owned()),
            gateway: "plain".to_owned(),
            environment: None,
            variables: BTreeMap::new(),
        };
        let loaded = shared_config::load(&sources, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let running = start(&Plain, &loaded, Options::default()).expect("started");
        Self { directory, running, runtime: Runtime::new().expect("a runtime") }
    }

    fn reload(&self, platform: &str, gateway: &str) -> Outcome {
        write(self.directory.path(), platform, gateway);
        self.runtime.block_on(self.running.reloader().reload(Trigger::Operator))
    }

    /// Who watches the files, and has looked at them once.
    fn watcher(&self) -> Watcher {
        let reloader = Arc::clone(self.running.reloader());
        self.runtime.block_on(Watcher::begin(reloader)).expect("files")
    }

    /// Whether two looks in a row have had the files read.
    fn has_followed(&self, watcher: &mut Watcher) -> bool {
        let before = self.running.reloader().last();
        for _ in 0..2 {
            self.runtime.block_on(watcher.look()).expect("a look");
        }
        let after = self.running.reloader().last();
        before.as_ref().map(Arc::as_ptr) != after.as_ref().map(Arc::as_ptr)
    }

    fn site(&self) -> Arc<Site> {
        self.running.reloader().core.site.load_full()
    }

    fn key_sources(&self) -> usize {
        self.running.reloader().core.key_sources.all().len()
    }
}

fn write(directory: &Path, platform: &str, gateway: &str) {
    std::fs::write(directory.join("platform.toml"), platform).expect("written");
    std::fs::write(directory.join("plain.toml"), gateway).expect("written");
}

/// For each service whether its target is the same, then for the tokens' scheme.
fn kept(old: &Site, new: &Site) -> Vec<bool> {
    let services = old.services.iter().zip(&new.services);
    let targets = services.map(|(old, new)| {
        let (old, new) = (old.targets.endpoints(), new.targets.endpoints());
        old.len() == new.len() && old.iter().zip(&new).all(|(old, new)| Arc::ptr_eq(old, new))
    });
    let schemes = old.jwt.iter().zip(&new.jwt).map(|(old, new)| Arc::ptr_eq(old, new));
    targets.chain(schemes).collect()
}

#[test]
fn a_target_goes_on_unless_its_place_or_its_bounds_have_changed() {
    let sample = Sample::start();
    let before = sample.site();
    for (platform, gateway, expected) in [
        (PLATFORM.to_owned(), GATEWAY.to_owned(), vec![true, true, true]),
        (PLATFORM.replace(":2", ":3"), GATEWAY.to_owned(), vec![true, false, true]),
        (
            PLATFORM.replace("[services.b]", "[services.b]\nread_timeout = \"9s\""),
            GATEWAY.to_owned(),
            vec![true, false, true],
        ),
        (PLATFORM.to_owned(), format!("{GATEWAY}max_lifetime = \"1h\"\n"), vec![true, true, false]),
    ] {
        sample.reload(PLATFORM, GATEWAY).expect("the first again");
        let old = sample.site();
        sample.reload(&platform, &gateway).expect("good");
        let new = sample.site();
        assert_eq!(kept(&old, &new), expected, "{platform}{gateway}");
        assert_eq!(old.etag_secret, new.etag_secret);
    }
    assert!(!Arc::ptr_eq(&before, &sample.site()), "the site itself is another");
    sample.running.stop().expect("stopped");
}

#[test]
fn what_a_service_s_load_has_taught_goes_on() {
    let limited = |latency_max: &str| {
        format!("{PLATFORM}[services.a.concurrency]\nlatency_max = \"{latency_max}\"\n")
    };
    let sample = Sample::start();
    sample.reload(&limited("1s"), GATEWAY).expect("good");
    for (latency_max, is_same_limit) in [("1s", true), ("2s", false)] {
        let old = sample.site();
        let gateway = GATEWAY.replace("[server]", "priority = \"batch\"\n[server]");
        sample.reload(&limited(latency_max), &gateway).expect("good");
        let new = sample.site();
        for (old, new) in old.services.iter().zip(&new.services) {
            assert!(Arc::ptr_eq(&old.load, &new.load), "{}", new.name);
        }
        let limit = |site: &Site| site.services.first().and_then(|a| a.concurrency.clone());
        let (old, new) = (limit(&old).expect("a limit"), limit(&new).expect("a limit"));
        assert_eq!(Arc::ptr_eq(&old, &new), is_same_limit, "{latency_max}");
    }
    sample.running.stop().expect("stopped");
}

#[test]
fn what_a_service_has_decided_goes_on_unless_the_service_is_another() {
    use http::{Method, StatusCode};

    use crate::authorization::decision::{Asked, Question, Verdict};

    let decide = "decide = { call = \"POST b:/decide\", cache = \"1h\" }";
    let platform = PLATFORM.replace("service = \"a\"", &format!("service = \"a\"\n{decide}"));
    let sample = Sample::start();
    let question = Question::of(&Asked {
        principal: None,
        method: &Method::GET,
        path: "/a",
        route: "a",
        names: &[],
        params: &[],
    });
    let now = crate::clock::Moment::from_micros(0);
    let point = |sample: &Sample| {
        let site = sample.site();
        site.routes.iter().find_map(|route| route.gate.decide.clone()).expect("somebody decides")
    };
    let verdict = Verdict::parse(StatusCode::OK, b"{\"allow\":true}").expect("an answer");
    for (changed, is_kept) in [
        (platform.replace(":1", ":3"), true),
        (format!("[services.a0]\nurl = \"http://127.0.0.1:4\"\n{platform}"), true),
        (platform.replace(":2", ":3"), false),
        (platform.replace("/decide", "/other"), false),
    ] {
        sample.reload(PLATFORM, GATEWAY).expect("without one");
        sample.reload(&platform, GATEWAY).expect("with one");
        point(&sample).keep(&question, &verdict, now);
        sample.reload(&changed, GATEWAY).expect("good");
        assert_eq!(point(&sample).kept(&question, now).is_some(), is_kept, "{changed}");
    }
    sample.running.stop().expect("stopped");
}

#[test]
fn what_an_operator_has_put_in_force_is_followed_by_what_the_files_say_after_that() {
    let sample = Sample::start();
    let mut watcher = sample.watcher();
    let text = |sample: &Sample| sample.running.reloader().shown().text.clone();
    let (first, other) = (text(&sample), PLATFORM.replace(":2", ":3"));
    sample.reload(&other, GATEWAY).expect("good");
    let second = text(&sample);
    assert_ne!(first, second);
    // Put back before anybody has looked twice.
    write(sample.directory.path(), PLATFORM, GATEWAY);
    assert!(sample.has_followed(&mut watcher));
    assert_eq!(text(&sample), first);
    write(sample.directory.path(), "[services.a", GATEWAY);
    assert!(sample.has_followed(&mut watcher), "it is tried");
    assert!(!sample.has_followed(&mut watcher), "and not again");
    write(sample.directory.path(), &other, GATEWAY);
    assert!(sample.has_followed(&mut watcher));
    assert_eq!(text(&sample), second);
    sample.running.stop().expect("stopped");
}

#[test]
fn what_was_refused_for_want_of_an_issuers_keys_is_tried_again_as_it_is() {
    let sample = Sample::start();
    let mut watcher = sample.watcher();
    let issuer = "[auth.jwt.issuers.a]\nissuer = \"https://a.example.com\"\n\
                  audience = \"https://b.example.com\"\nalgorithms = [\"ES256\"]\n\
                  jwks_url = \"http://127.0.0.1:1/keys\"\n";
    write(sample.directory.path(), &format!("{PLATFORM}{issuer}"), GATEWAY);
    assert!(sample.has_followed(&mut watcher), "it is tried");
    assert!(sample.has_followed(&mut watcher), "and again: the issuer may be back");
    write(sample.directory.path(), PLATFORM, GATEWAY);
    assert!(sample.has_followed(&mut watcher));
    assert!(!sample.has_followed(&mut watcher), "it is in force");
    sample.running.stop().expect("stopped");
}

#[test]
fn what_an_operator_has_put_in_force_is_not_read_again_by_who_watches() {
    let sample = Sample::start();
    let mut watcher = sample.watcher();
    assert!(!sample.has_followed(&mut watcher), "a start has read it");
    for platform in [PLATFORM.replace(":2", ":3"), PLATFORM.to_owned()] {
        sample.reload(&platform, GATEWAY).expect("good");
        assert!(!sample.has_followed(&mut watcher), "{platform}");
    }
    sample.reload(PLATFORM, "[gateway").expect_err("bad");
    assert!(!sample.has_followed(&mut watcher), "nor what was refused");
    sample.running.stop().expect("stopped");
}

#[test]
fn since_when_it_is_in_force_changes_with_what_is_in_force() {
    let sample = Sample::start();
    let shown = |sample: &Sample| sample.running.reloader().shown();
    let before = shown(&sample);
    sample.reload(PLATFORM, GATEWAY).expect("the same");
    assert!(Arc::ptr_eq(&before, &shown(&sample)));
    sample.reload(&PLATFORM.replace(":2", ":3"), GATEWAY).expect("good");
    assert!(!Arc::ptr_eq(&before, &shown(&sample)));
    sample.running.stop().expect("stopped");
}

#[test]
fn an_issuer_s_keys_go_on_when_something_else_about_it_has_changed() {
    let sample = Sample::start();
    // Its keys were never loaded: a new source would be refused.
    sample.reload(PLATFORM, &GATEWAY.replace("ES256", "RS256")).expect("good");
    assert_eq!(sample.key_sources(), 1);
    let refused = sample.reload(PLATFORM, &GATEWAY.replace("nowhere", "elsewhere"));
    assert!(matches!(refused, Err(ReloadRefused::Keys(issuer)) if &*issuer == "one"));
    sample.running.stop().expect("stopped");
}

#[test]
fn whatever_takes_a_restart_is_refused_whether_or_not_anybody_thought_of_it() {
    let sample = Sample::start();
    for (from, to, key) in [
        ("cores = 1", "cores = 2", "server.cores"),
        ("access = \"off\"", "access = \"stdout\"", "log.access"),
        ("watch = false", "watch = true", "reload.watch"),
        ("name = \"plain\"", "name = \"other\"", "gateway.name"),
        ("[log]", "[log]\naccess_queue_max = 7", "log.access_queue_max"),
    ] {
        let before = sample.site();
        let refused = sample.reload(PLATFORM, &GATEWAY.replace(from, to));
        let Err(ReloadRefused::Configuration(errors)) = refused else { panic!("{refused:?}") };
        let keys: Vec<_> = errors.iter().map(|error| error.key()).collect();
        assert_eq!(keys, [key]);
        assert!(Arc::ptr_eq(&before, &sample.site()));
    }
    let may = GATEWAY.replace("[log]", "[log]\nlevel = \"warn\"");
    sample.reload(PLATFORM, &may).expect("the level may change");
    sample.running.stop().expect("stopped");
}
