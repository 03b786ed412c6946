//! What differs between two configurations, and whether files say something else.

use std::fs;
use std::path::Path;

use crate::{Sources, Watched, load};

fn sources(directory: &Path, variable: &str) -> Sources {
    Sources {
        directory: Some(directory.to_owned()),
        gateway: "gw".to_owned(),
        environment: None,
        variables: [("KEY".to_owned(), variable.to_owned())].into(),
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("written");
}

const PLATFORM: &str = r#"
[services.a]
url = "http://127.0.0.1:1"
assertion_key = { env = "KEY" }
[routes.a]
match = "GET /a"
service = "a"
public = "a test"
unlimited = "a test"
"#;

/// The keys that differ after `change`, which gets the platform's text.
#[track_caller]
fn check(change: impl Fn(&str) -> String, variable: &str, expected: &str) {
    let directory = tempfile::tempdir().expect("a folder");
    write(directory.path(), "platform.toml", PLATFORM);
    write(directory.path(), "gw.toml", "");
    let old = load(&sources(directory.path(), "0123456789abcdef0123456789abcdef"), &[]);
    write(directory.path(), "platform.toml", &change(PLATFORM));
    let new = load(&sources(directory.path(), variable), &[]);
    let changes = old.expect("good").changes_to(&new.expect("good"));
    assert_eq!(changes.to_string(), expected);
}

#[test]
fn each_key_that_differs_is_named_and_no_value_is() {
    let same = "0123456789abcdef0123456789abcdef";
    check(str::to_owned, same, "");
    check(|text| format!("# a comment\n{text}"), same, "");
    check(|text| text.replace(":1", ":2"), same, "services.a.url");
    check(|text| text.replace("\"a test\"\nu", "\"why\"\nu"), same, "routes.a.public");
    let second = "[services.b]\nurl = \"http://127.0.0.1:2\"\n";
    check(|text| format!("{text}{second}"), same, "services.b");
    check(str::to_owned, "fedcba9876543210fedcba9876543210", "services.a.assertion_key");
    let many = |text: &str| {
        let more = (0..22).map(|n| second.replace(".b", &format!(".s{n:02}")));
        more.fold(text.to_owned(), |text, one| text + &one)
    };
    let named: Vec<_> = (0..20).map(|n| format!("services.s{n:02}")).collect();
    check(many, same, &format!("{} and 2 more", named.join(", ")));
}

#[test]
fn a_schema_in_a_file_of_its_own_is_another_when_its_file_says_something_else() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path();
    let route = format!("{PLATFORM}body_schema = {{ file = \"schema.json\" }}\n");
    write(path, "platform.toml", &route.replace("{ env = \"KEY\" }", "{ file = \"key\" }"));
    write(path, "key", "0123456789abcdef0123456789abcdef");
    write(path, "gw.toml", "");
    write(path, "schema.json", "{}");
    let mut watched = Watched::new(&sources(path, ""), &[]);
    let before = (watched.look(), load(&sources(path, ""), &[]).expect("good"));
    assert_eq!(watched.look(), before.0);
    write(path, "schema.json", r#"{"type":"object"}"#);
    assert_ne!(watched.look(), before.0);
    let changes = before.1.changes_to(&load(&sources(path, ""), &[]).expect("good"));
    assert_eq!(changes.to_string(), "routes.a.body_schema.file");
}

#[test]
fn files_are_compared_by_what_they_say_secrets_included() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path();
    write(path, "platform.toml", &PLATFORM.replace("{ env = \"KEY\" }", "{ file = \"key\" }"));
    write(path, "gw.toml", "");
    let mut watched = Watched::new(&sources(path, ""), &[]);
    let mut before = watched.look();
    let mut check = |what: &str, is_another: bool| {
        let now = watched.look();
        assert_eq!(now != before, is_another, "{what}");
        before = now;
    };
    check("nothing", false);
    write(path, "gw.toml", "");
    check("the same text again", false);
    write(path, "key", "0123456789abcdef0123456789abcdef");
    check("the secret's file is there", true);
    write(path, "key", "fedcba9876543210fedcba9876543210");
    check("the secret is another", true);
    write(path, "unrelated", "");
    check("another file", false);
    fs::create_dir(path.join("platform.d")).expect("made");
    check("an empty folder", false);
    write(path, "platform.d/x.toml", "[services.b]\nurl = \"http://127.0.0.1:2\"\n");
    check("a part of the platform", true);
    write(path, "gw.toml", "[half");
    check("no TOML", true);
    check("still no TOML", false);
    fs::remove_file(path.join("gw.toml")).expect("removed");
    check("a file is gone", true);
}
