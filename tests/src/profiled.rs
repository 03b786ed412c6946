//! `cargo build-gateways`: the three gateways, optimised by a profile of their own work.
//!
//! Read in this order: [`build`] is the whole way; `training` the work that the profile is of, with
//! `requests` what is asked and `connection` who asks; `tool` the one program beside the toolchain.
//!
//! A compiler that knows which branches are taken lays out what runs together and keeps the rest
//! out of its way. The gateways are built to count, serve the demo's platform while they do, and
//! are built again by what they counted. The profile is of all three together, since most of what
//! runs is the core's.
//!
//! Invariants
//! - What `cargo build --release` makes is left alone: each build has a folder of its own.
//! - A profile belongs to the gateways that counted it: when they are built anew, it is too.

mod connection;
mod requests;
mod tool;
pub mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use sha2::{Digest as _, Sha256};

use self::training::Training;
use crate::verify::repository;

/// The packages, whose binaries have the same names.
pub const GATEWAYS: [&str; 3] = ["web-bff", "mobile-bff", "partner-gateway"];

/// How long each gateway serves over each protocol.
const TRAINED_FOR: Duration = Duration::from_secs(5);

/// From here the demo's ports are free on most machines, and below those that the kernel hands out.
const PORT_OFFSET: u16 = 17_000;

/// The three gateways, optimised by a profile of their own work.
#[derive(Debug, Parser)]
#[command(name = "cargo build-gateways --")]
struct Options {
    /// Take a new profile even where the gateways have not changed.
    #[arg(long)]
    train: bool,
}

/// Builds the gateways and says where they are.
///
/// # Errors
///
/// A tool that is missing, a build that fails, a gateway that answers otherwise than it should.
pub fn run() -> Result<()> {
    let options = Options::parse();
    for gateway in build(options.train)? {
        println!("{}", gateway.display());
    }
    Ok(())
}

/// Builds the gateways where they are not built yet; where they are.
///
/// # Errors
///
/// As [`run`].
pub fn build(trains_again: bool) -> Result<[PathBuf; 3]> {
    let root = repository();
    let profdata = tool::find()?;
    let counting_folder = root.join("target/profiling");
    progress("building gateways that count what runs");
    let counting = cargo_build(&counting_folder, "-Cprofile-generate")?;
    let profile = counting_folder.join("gateways.profdata");
    if trains_again || !is_newer(&profile, &counting)? {
        take_profile(&profdata, &profile, folder_of(&counting[0])?)?;
    }
    let profile = named_by_content(&profile)?;
    progress("building the gateways by their profile");
    let flag = format!("-Cprofile-use={}", profile.display());
    let built = cargo_build(&root.join("target/profiled"), &flag)?;
    let places = GATEWAYS.map(place);
    for (program, place) in built.iter().zip(&places) {
        put(program, place)?;
    }
    Ok(places)
}

/// Where a gateway of this name is once it is built.
#[must_use]
pub fn place(gateway: &str) -> PathBuf {
    repository().join("target/gateways").join(gateway)
}

/// On stderr, so that the paths stand alone on stdout.
fn progress(what: &str) {
    eprintln!("build-gateways: {what} …");
}

/// Builds the three below `folder`, with one more flag for the compiler.
///
/// Naming the target keeps the flag from what runs at build time.
fn cargo_build(folder: &Path, flag: &str) -> Result<[PathBuf; 3]> {
    let target = tool::of_rustc("host")?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--locked", "--target", &target]);
    cargo.arg("--target-dir").arg(folder);
    for gateway in GATEWAYS {
        cargo.args(["--package", gateway, "--bin", gateway]);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(flag)).current_dir(repository());
    let status = cargo.stdin(Stdio::null()).status().context("cannot run cargo")?;
    ensure!(status.success(), "the gateways cannot be built; see cargo's words above");
    let programs = folder.join(target).join("release");
    Ok(GATEWAYS.map(|gateway| programs.join(gateway)))
}

/// The user's own flags, and one more.
fn flags(more: &str) -> String {
    let own = std::env::var("CARGO_ENCODED_RUSTFLAGS").ok();
    let own = own.or_else(|| {
        let flags = std::env::var("RUSTFLAGS").ok()?;
        Some(flags.split_whitespace().collect::<Vec<_>>().join("\u{1f}"))
    });
    match own.filter(|own| !own.is_empty()) {
        Some(own) => format!("{own}\u{1f}{more}"),
        None => more.to_owned(),
    }
}

/// Lets the gateways that count serve, and writes down what they counted.
fn take_profile(profdata: &Path, profile: &Path, gateways: &Path) -> Result<()> {
    progress("building the demo, which they serve");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--locked", "--package", "tests"]);
    cargo.args(["--bin", "demo", "--bin", "node"]).current_dir(repository());
    let status = cargo.stdin(Stdio::null()).status().context("cannot run cargo")?;
    ensure!(status.success(), "the demo cannot be built; see cargo's words above");
    let counts = tempfile::tempdir()?;
    let training = Training {
        demo: repository().join("target/release/demo"),
        gateways: gateways.to_path_buf(),
        port_offset: PORT_OFFSET,
        length: TRAINED_FOR,
        counts: Some(counts.path().join("%p-%m.profraw")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for is_tls in [false, true] {
        progress(if is_tls { "serving over TLS" } else { "serving" });
        runtime.block_on(training.serve(is_tls))?;
    }
    let mut merge = Command::new(profdata);
    merge.arg("merge").arg("--output").arg(profile).arg(counts.path());
    let status = merge.status().with_context(|| format!("cannot run {}", profdata.display()))?;
    ensure!(status.success(), "the counts cannot be read; see the words of llvm-profdata above");
    Ok(())
}

/// Whether a file is there and no older than each of `others`.
fn is_newer(file: &Path, others: &[PathBuf]) -> Result<bool> {
    let Some(file) = written_at(file) else { return Ok(false) };
    for other in others {
        let other = written_at(other).with_context(|| format!("{} is gone", other.display()))?;
        if other > file {
            return Ok(false);
        }
    }
    Ok(true)
}

fn written_at(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|file| file.modified()).ok()
}

/// The same profile under a name that is another for another content: cargo looks at names only.
fn named_by_content(profile: &Path) -> Result<PathBuf> {
    let content = fs::read(profile)?;
    let digest = Sha256::digest(&content);
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let named = profile.with_file_name(format!("{name}.profdata"));
    if !named.exists() {
        fs::write(&named, content)?;
    }
    Ok(named)
}

/// Puts a program in its place, also where the one before still runs.
fn put(program: &Path, place: &Path) -> Result<()> {
    if is_newer(place, &[program.to_path_buf()])? {
        return Ok(());
    }
    let beside = place.with_extension("new");
    fs::create_dir_all(folder_of(place)?)?;
    fs::copy(program, &beside).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, place).with_context(|| format!("cannot write {}", place.display()))
}

fn folder_of(file: &Path) -> Result<&Path> {
    file.parent().with_context(|| format!("{} is in no folder", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_is_older_than_a_gateway_is_taken_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str, second: u64| {
            let file = folder.path().join(name);
            fs::write(&file, name).expect("written");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let file_times = fs::FileTimes::new().set_modified(time);
            fs::File::options()
                .write(true)
                .open(&file)
                .expect("there")
                .set_times(file_times)
                .expect("set");
            file
        };
        let gateways = [at("web-bff", 10), at("mobile-bff", 12)];
        assert!(is_newer(&at("profile", 12), &gateways).expect("both are there"));
        assert!(!is_newer(&at("profile", 11), &gateways).expect("both are there"));
        assert!(!is_newer(&folder.path().join("none"), &gateways).expect("no profile"));
        let gone = [folder.path().join("gone")];
        let error = is_newer(&at("profile", 12), &gone).expect_err("not built").to_string();
        assert!(error.contains("gone is gone"), "{error}");
    }

    #[test]
    fn another_profile_has_another_name_and_the_same_one_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = folder.path().join("gateways.profdata");
        let named = |content: &str| {
            fs::write(&profile, content).expect("written");
            named_by_content(&profile).expect("named")
        };
        let first = named("one");
        assert_eq!(fs::read_to_string(&first).expect("there"), "one");
        assert_ne!(named("two"), first);
        assert_eq!(named("one"), first);
    }

    #[test]
    fn a_program_is_put_in_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, place) = (folder.path().join("built"), folder.path().join("mobile-bff"));
        fs::write(&place, "old").expect("written");
        fs::write(&program, "new").expect("written");
        let later = SystemTime::now() + Duration::from_secs(1);
        let times = fs::FileTimes::new().set_modified(later);
        fs::File::options()
            .write(true)
            .open(&program)
            .expect("there")
            .set_times(times)
            .expect("set");
        put(&program, &place).expect("put");
        assert_eq!(fs::read_to_string(&place).expect("there"), "new");
    }
}
