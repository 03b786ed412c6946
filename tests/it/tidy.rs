//! The project's own rules, as tests: what no lint checks and no reader should have to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tests::verify::repository;

const CRATES: [&str; 6] =
    ["shared-config", "gateway-core", "web-bff", "mobile-bff", "partner-gateway", "tests"];

/// The floors of gateway-core, from the vocabulary up: a module may use those of lower floors.
const FLOORS: [&[&str]; 6] = [
    &[
        "error",
        "header",
        "clock",
        "certificate",
        "principal",
        "body",
        "exchange",
        "record",
        "metric",
        "store",
        "trace_context",
        "json_object",
        "strict_json",
        "alarm",
        "permit",
        "priority",
    ],
    &[
        "guard",
        "routing",
        "auth",
        "authorization",
        "inspection",
        "assertion",
        "rate_limit",
        "transform",
        "cors",
        "security_headers",
    ],
    &["stores"],
    &["upstream"],
    &["aggregation"],
    &[
        "pipeline",
        "site",
        "endpoint",
        "server",
        "readiness",
        "reload",
        "admin",
        "observability",
        "command",
    ],
];

fn files_below(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries.map(|entry| entry.expect("readable").path()) {
        let is_output = entry.file_name().is_some_and(|name| name == "target" || name == ".git");
        if entry.is_dir() && !is_output {
            found.extend(files_below(&entry, ending));
        } else if entry.to_string_lossy().ends_with(ending) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let crates = CRATES.iter().flat_map(|name| files_below(&repository().join(name), ".rs"));
    crates.map(|path| (path.clone(), fs::read_to_string(path).expect("UTF-8"))).collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).to_string_lossy().into_owned()
}

#[track_caller]
fn none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

/// The lines before the file's own tests. `mod tests;` alone leads to another file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..tests].lines()
}

#[test]
fn the_top_level_holds_what_was_agreed() {
    let agreed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "gateway-core",
        "web-bff",
        "mobile-bff",
        "partner-gateway",
        "shared-config",
        "tests",
        "README.md",
        "config",
        "docs",
        "deploy",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "DEVELOPERS.md",
        "clippy.toml",
        "rustfmt.toml",
        "deny.toml",
        "target",
    ]
    .into();
    let found = fs::read_dir(repository()).expect("readable");
    let strange: Vec<String> = found
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !agreed.contains(name.as_str()))
        .collect();
    none("not part of the agreed top level", &strange);
}

#[test]
fn every_file_opens_with_what_it_is() {
    let offenders: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| relative(path))
        .collect();
    none("a file must open with `//!` and a sentence", &offenders);
}

#[test]
fn files_stay_short_and_have_telling_names() {
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        let lines = code(&text).count();
        let is_test = path.ends_with("tests.rs") || relative(&path).starts_with("tests/it/");
        if lines > 500 && !is_test {
            offenders.push(format!(
                "{}: {lines} lines without its tests (500 at most)",
                relative(&path)
            ));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ["mod.rs", "utils.rs", "util.rs", "common.rs", "types.rs", "helpers.rs"]
            .contains(&&*name)
        {
            offenders.push(format!("{}: a name that says nothing", relative(&path)));
        }
    }
    none("one idea to a file, and its name says which", &offenders);
}

#[test]
fn in_the_core_arrows_point_down_only() {
    let mut offenders = Vec::new();
    let core = repository().join("gateway-core/src");
    for path in files_below(&core, ".rs") {
        let inside = path.strip_prefix(&core).expect("below").to_string_lossy().into_owned();
        let module = inside.split(['/', '.']).next().unwrap_or_default().to_owned();
        if module == "lib" {
            continue;
        }
        let Some(floor) = floor_of(&module) else {
            offenders.push(format!("{module} stands on no floor"));
            continue;
        };
        let text = fs::read_to_string(&path).expect("UTF-8");
        for used in code(&text).flat_map(modules_used) {
            let is_allowed = used == module
                || floor_of(used).is_some_and(|below| below < floor || (floor == 5 && below == 5))
                || (floor == 0 && floor_of(used) == Some(0));
            if !is_allowed {
                offenders.push(format!("{inside} uses {used}"));
            }
        }
    }
    none("a floor knows only those below", &offenders);
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn modules_used(line: &str) -> Vec<&str> {
    if line.trim_start().starts_with("//") {
        return Vec::new();
    }
    assert!(!line.contains("use crate::{"), "one path to a `use`: {line}");
    let rest = line.match_indices("crate::").map(|(at, found)| &line[at + found.len()..]);
    rest.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or(""))
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn only_the_clock_reads_time_and_only_shared_config_the_environment() {
    let mut offenders = Vec::new();
    for (path, text) in sources() {
        let file = relative(&path);
        for line in code(&text) {
            // tokio's `Instant` belongs to its timers, which tests pause.
            let reads_time = line.contains("SystemTime::now")
                || (line.contains("use std::time::") && line.contains("Instant"));
            let reads_environment = line.contains("env::var");
            if reads_time && file != "gateway-core/src/clock.rs" && !file.starts_with("tests/") {
                offenders.push(format!("{file}: {}", line.trim()));
            }
            if reads_environment
                && !file.starts_with("shared-config/")
                && !file.starts_with("tests/")
            {
                offenders.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    none("time and the environment have one reader each", &offenders);
}

#[test]
fn every_key_of_the_defaults_is_explained() {
    let text = fs::read_to_string(repository().join("config/defaults.toml")).expect("readable");
    let mut offenders = Vec::new();
    let mut is_explained = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            is_explained = true;
        } else if line.is_empty() || line.starts_with('[') {
            is_explained = false;
        } else {
            if !is_explained {
                offenders.push(line.to_owned());
            }
            is_explained = false;
        }
    }
    none("keys of config/defaults.toml without a comment", &offenders);
}

#[test]
fn every_code_of_a_problem_is_documented_and_every_documented_code_exists() {
    let documented: BTreeSet<String> =
        fs::read_to_string(repository().join("docs/status-codes.md"))
            .expect("readable")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
            .collect();
    let mut used = BTreeSet::new();
    let mut literals = BTreeSet::new();
    for (path, text) in sources() {
        if !relative(&path).starts_with("tests/") && !path.ends_with("tests.rs") {
            used.extend(codes(&text));
            literals.extend(code(&text).flat_map(texts).map(str::to_owned));
        }
    }
    let missing: Vec<_> = used.difference(&documented).cloned().collect();
    none("codes that docs/status-codes.md lacks", &missing);
    let surplus: Vec<_> = documented.difference(&literals).cloned().collect();
    none("codes that no code uses", &surplus);
}

/// The texts in quotes on a line.
fn texts(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

/// The texts that functions named `code` of a `Refusal` return, and those beside a status.
fn codes(text: &str) -> Vec<String> {
    let lines: Vec<&str> = code(text).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.contains("(StatusCode::") && line.trim_end().ends_with("\"),") {
            found.extend(texts(line).map(str::to_owned));
        }
        if !line.contains("fn code(&self) -> &'static str {") {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let body = lines[at + 1..]
            .iter()
            .take_while(|line| line.trim() != "}" || line.len() - line.trim_start().len() > indent);
        for line in body {
            found.extend(texts(line).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_path_of_the_admin_listener_stands_in_the_operators_table_and_no_other() {
    let read = |file: &str| fs::read_to_string(repository().join(file)).expect("readable");
    let router = read("gateway-core/src/admin.rs");
    let routed: BTreeSet<String> = router
        .split(".route(\"")
        .skip(1)
        .map(|rest| {
            let (path, rest) = rest.split_once("\", ").expect("a path and its handler");
            let (method, _) = rest.split_once('(').expect("a method");
            format!("{} {path}", method.to_uppercase())
        })
        .collect();
    let page = read("docs/operations.md");
    let table: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|request| request.starts_with("GET /") || request.starts_with("POST /"))
        .map(|request| request.split('?').next().unwrap_or_default().to_owned())
        .collect();
    assert!(routed.len() > 5, "{routed:?}");
    assert_eq!(routed, table, "the router's paths, and those in docs/operations.md");
}

#[test]
fn every_module_of_the_core_stands_in_the_architecture() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("readable");
    let library =
        fs::read_to_string(repository().join("gateway-core/src/lib.rs")).expect("readable");
    let modules =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<String> = modules
        .filter(|module| !text.contains(&format!("`{module}`")))
        .map(str::to_owned)
        .collect();
    none("modules that ARCHITECTURE.md does not name", &missing);
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut offenders = Vec::new();
    for path in files_below(&repository(), ".md") {
        let text = fs::read_to_string(&path).expect("UTF-8");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let is_local = !file.is_empty() && !file.contains("://");
            if is_local && !path.parent().expect("in a folder").join(file).exists() {
                offenders.push(format!("{}: {target}", relative(&path)));
            }
        }
    }
    none("links that lead nowhere", &offenders);
}

/// A threat without a test is a wish. Names of so many words are those of tests, or of metrics.
#[test]
fn every_test_that_a_document_names_exists() {
    let sources = sources();
    let mut offenders = Vec::new();
    for path in files_below(&repository().join("docs"), ".md") {
        let text = fs::read_to_string(&path).expect("UTF-8");
        let is_name = |name: &&str| {
            let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let is_long = name.matches('_').count() >= 5 && name.chars().all(is_part);
            is_long && !name.starts_with("gateway_")
        };
        for name in text.split('`').skip(1).step_by(2).filter(is_name) {
            let declared = format!("fn {name}(");
            if !sources.iter().any(|(_, source)| source.contains(&declared)) {
                offenders.push(format!("{}: {name}", relative(&path)));
            }
        }
    }
    none("tests that documents name and nobody has", &offenders);
}
