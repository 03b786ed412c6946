//! The checks of `cargo verify`, in the order in which they tell most soonest.
//!
//! Not here: what the tests test, and the rules that are tests themselves (`it/tidy`).

pub mod packages;
mod secrets;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

pub use self::secrets::find_secret;

/// One check: its name, and the command that decides.
struct Check {
    name: &'static str,
    command: Command,
    /// Whether its output is searched for credentials that must never be printed.
    scans_output: bool,
}

/// What became of a check.
struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// Runs everything. `false` when a check failed.
///
/// # Errors
///
/// When a tool can be neither found nor installed.
pub fn run() -> Result<bool> {
    let root = repository();
    println!("verify: in {}", root.display());
    tools::report(&root)?;
    let started = Instant::now();
    let installed = tools::install(&root)?;
    let mut outcomes = vec![Outcome { name: "tools", passed: true, took: started.elapsed() }];
    for check in checks(&root, &installed) {
        outcomes.push(perform(check)?);
    }
    outcomes.push(no_secret_in_logs(&root));
    report(&outcomes);
    Ok(outcomes.iter().all(|outcome| outcome.passed))
}

fn checks(root: &Path, tools: &tools::Installed) -> Vec<Check> {
    let cargo = |name, arguments: &[&str]| Check {
        name,
        command: command(root, Path::new("cargo"), arguments),
        scans_output: false,
    };
    let mut doc = cargo("doc", &["doc", "--workspace", "--no-deps", "--locked"]);
    doc.command.env("RUSTDOCFLAGS", "-D warnings");
    let tool = |name, path: &Path, arguments: &[&str]| Check {
        name,
        command: command(root, path, arguments),
        scans_output: false,
    };
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    vec![
        cargo("fmt", &["fmt", "--all", "--check"]),
        cargo("clippy", &clippy),
        cargo("core alone", &["check", "--package", "gateway-core", "--locked"]),
        Check {
            scans_output: true,
            ..cargo("test", &["test", "--workspace", "--locked", "--no-fail-fast"])
        },
        doc,
        tool("deny", &tools.deny, &["check", "bans", "licenses", "sources"]),
        tool("machete", &tools.machete, &["."]),
    ]
}

fn command(root: &Path, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    command
}

fn perform(mut check: Check) -> Result<Outcome> {
    println!("\nverify: {} …", check.name);
    let started = Instant::now();
    let passed = if check.scans_output {
        runs_without_secrets(&mut check.command)
    } else {
        check.command.status().map(|status| status.success()).map_err(Into::into)
    };
    let passed = passed.with_context(|| format!("cannot run the check `{}`", check.name))?;
    Ok(Outcome { name: check.name, passed, took: started.elapsed() })
}

/// Runs a command, shows what it prints, and fails it when a line holds a credential.
fn runs_without_secrets(command: &mut Command) -> Result<bool> {
    use std::io::{BufRead as _, BufReader};
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The parent's ends of the pipe must go, or reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut leaked = None;
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        leaked = leaked.or(find_secret(&line));
        println!("{line}");
    }
    if let Some(kind) = leaked {
        println!("verify: the output above holds a credential: {kind}");
    }
    Ok(child.wait()?.success() && leaked.is_none())
}

/// What the demos of the tests have written down, gateways and services alike.
fn no_secret_in_logs(root: &Path) -> Outcome {
    let started = Instant::now();
    let mut passed = true;
    let folders = std::fs::read_dir(root.join("target/demo")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    for file in files.flatten().map(|file| file.path()) {
        let is_log = file.extension().is_some_and(|ending| ending == "log");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(kind) = find_secret(&text).filter(|_| is_log) {
            println!("verify: {} holds a credential: {kind}", file.display());
            passed = false;
        }
    }
    Outcome { name: "logs", passed, took: started.elapsed() }
}

fn report(outcomes: &[Outcome]) {
    println!("\nverify: what ran");
    for Outcome { name, passed, took } in outcomes {
        let verdict = if *passed { "ok" } else { "FAILED" };
        println!("  {name:<12} {verdict:<7} {:>7.1} s", took.as_secs_f64());
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    println!("  {:<12} {:<7} {:>7.1} s", "total", "", total.as_secs_f64());
    println!("checks: {} passed, {failed} failed", outcomes.len() - failed);
}

/// The folder of the workspace.
#[must_use]
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}
