//! What the document of the gate shows: each example is a configuration, each message is the program's.

use serde_json::json;
use tests::verify::repository;

/// The sample's configuration in a folder of its own, with one more layer; runs mobile-bff there.
fn mobile_with(layer: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["platform.toml", "mobile-bff.toml"] {
        let from = repository().join("config").join(name);
        std::fs::copy(from, folder.path().join(name)).expect("copied");
    }
    std::fs::write(folder.path().join("mobile-bff.doc.toml"), layer).expect("written");
    std::fs::create_dir(folder.path().join("schemas")).expect("made");
    std::fs::write(folder.path().join("schemas/new-link.json"), "{}").expect("written");
    let api = json!({ "openapi": "3.1.0", "paths": { "/links/{id}": { "patch": {
        "operationId": "updateLink",
        "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } },
    } } } });
    std::fs::write(folder.path().join("api.json"), api.to_string()).expect("written");
    let folder = folder.path().to_string_lossy().into_owned();
    let arguments = [arguments, &["--config", &folder, "--environment", "doc"]].concat();
    let output = crate::command::run("mobile-bff", &arguments, &crate::command::VARIABLES);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), crate::command::text(&said).replace(&folder, "config"))
}

fn document() -> String {
    std::fs::read_to_string(repository().join("docs/gate.md")).expect("readable")
}

fn blocks(document: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let blocks = document.split(&opening).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn every_example_of_the_document_is_a_configuration() {
    let examples = blocks(&document(), "toml");
    assert!(examples.len() >= 7, "{}", examples.len());
    for example in examples {
        let (status, said) = mobile_with(&example, &["check"]);
        assert_eq!(status, Some(0), "{example}\n{said}");
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_shown_as_the_document_shows_it() {
    let wrong = "[routes.links-delete]\nrequire = \"role in [editor]\"\n";
    let (status, said) = mobile_with(wrong, &["check"]);
    let shown = blocks(&document(), "text").into_iter().find(|block| block.contains('^'));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains(&shown.expect("a block with a caret")), "{said}");
}

#[test]
fn explain_says_what_is_required_and_who_decides() {
    let layer = "[policy]\nrequire = \"tier != 'suspended'\"\n\
                 [services.billing-service]\ndecide = { call = \"POST user-service:/d\" }\n\
                 [routes.billing-usage]\nrequire = \"role in ['editor','admin']\"\n\
                 [views.dashboard]\nundecided = \"a test\"\n";
    let (status, said) = mobile_with(layer, &["explain", "GET", "/billing/usage"]);
    assert_eq!(status, Some(0), "{said}");
    for expected in [
        "requires tier != 'suspended' (policy.require)\n",
        "requires role in ['editor', 'admin'] (routes.billing-usage.require)\n",
        "asks user-service:/d\n",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}
