//! The tools that the checks need: pinned, and installed below `target/` when missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Crates that are installed, with their versions.
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const MACHETE: (&str, &str) = ("cargo-machete", "0.9.2");

/// Programs that are only reported: who has them may run the benchmark.
const REPORTED: [(&str, &[&str]); 3] =
    [("cargo", &["--version"]), ("rustc", &["--version"]), ("nginx", &["-v"])];

/// Where the installed tools are.
pub(super) struct Installed {
    pub(super) deny: PathBuf,
    pub(super) machete: PathBuf,
}

/// Prints the versions of what was found, and fails without the parts of the toolchain that the
/// checks need.
pub(super) fn report(root: &Path) -> Result<()> {
    for (program, arguments) in REPORTED {
        let version = version_of(program, arguments);
        let version = version.unwrap_or_else(|| format!("{program}: not found (benchmark only)"));
        println!("verify: {version}");
    }
    for component in ["fmt", "clippy"] {
        let found = Command::new("cargo")
            .args([component, "--version"])
            .current_dir(root)
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !found {
            bail!("`cargo {component}` is missing; run `rustup component add rustfmt clippy`");
        }
    }
    Ok(())
}

/// Installs what is missing.
pub(super) fn install(root: &Path) -> Result<Installed> {
    let home = root.join("target/tools");
    // Downloaded here rather than in the middle of a test.
    super::packages::haproxy()?;
    Ok(Installed { deny: installed(&home, DENY)?, machete: installed(&home, MACHETE)? })
}

fn installed(home: &Path, (name, version): (&str, &str)) -> Result<PathBuf> {
    let program = home.join("bin").join(name);
    let found = version_of(&program.to_string_lossy(), &["--version"]);
    if found.is_some_and(|found| found.split_whitespace().any(|word| word == version)) {
        return Ok(program);
    }
    println!("verify: installing {name} {version} into {}", home.display());
    // Unoptimised: it runs for a second and would take minutes longer to build.
    let status = Command::new("cargo")
        .args(["install", "--quiet", "--locked", "--debug", "--force", "--root"])
        .arg(home)
        .arg(format!("{name}@{version}"))
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("{name} {version} cannot be installed; see cargo's words above");
    }
    Ok(program)
}

fn version_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}
