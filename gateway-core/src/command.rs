//! The command line that every gateway has: `serve`, `check` and `explain`, and what a gateway
//! adds.
//!
//! A binary is [`run`] with its [`Gateway`]; everything else about it is configuration.
//!
//! Exit codes: 0 done, 1 it failed while running, 2 the command line or the configuration is
//! wrong.
//!
//! Not here: what is served (`pipeline`), how configuration is read (`shared-config`).

mod explain;
mod kept;
mod listeners;
pub(crate) mod prepare;
mod serve;
mod told;
mod worst_case;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use shared_config::{Diagnostics, Loaded, Section, Sources};

pub use self::kept::Kept;
use self::prepare::{Foundation, Prepared};
pub use self::serve::{NotStarted, Options, Running, start};
use crate::clock::Clock;
use crate::endpoint::Endpoints;
use crate::stores::Vault;
use crate::stores::memory::MemoryKeys;

/// A consumer's gateway: what it adds to the core.
pub trait Gateway: Sync {
    /// The binary's and the configuration file's name.
    fn name(&self) -> &'static str;

    /// The sections of configuration that only this gateway knows.
    fn sections(&self) -> Vec<Section> {
        Vec::new()
    }

    /// The API keys it accepts.
    ///
    /// # Errors
    ///
    /// What is wrong with the records.
    fn keys(&self, _loaded: &Loaded) -> Result<MemoryKeys, Diagnostics> {
        Ok(MemoryKeys::default())
    }

    /// The endpoints it owns. They are made anew with every configuration; what they keep belongs
    /// into [`Kit::kept`].
    ///
    /// # Errors
    ///
    /// What is wrong with its own sections.
    fn endpoints(&self, _kit: &Kit<'_>) -> Result<Endpoints, Diagnostics> {
        Ok(Endpoints::new())
    }

    /// Subcommands beside `serve`, `check` and `explain`.
    fn commands(&self) -> Vec<Command> {
        Vec::new()
    }

    /// Runs one of [`Gateway::commands`]; `arguments` are that subcommand's.
    fn run_command(&self, _arguments: &ArgMatches, _loaded: &Loaded) -> ExitCode {
        ExitCode::from(2)
    }
}

/// What a gateway's endpoints are made from.
#[derive(Debug)]
pub struct Kit<'a> {
    /// The configuration.
    pub loaded: &'a Loaded,
    /// The sessions.
    pub vault: &'a Vault,
    /// The time.
    pub clock: &'a Clock,
    /// What its endpoints had before, of the types they ask for.
    pub kept: &'a Kept,
}

/// Runs the command line of a gateway.
#[must_use]
pub fn run(gateway: &'static dyn Gateway) -> ExitCode {
    // Before anything takes time: the parent may end at any moment.
    let parent = std::os::unix::process::parent_id();
    let matches = match command_line(gateway).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let loaded = match load(gateway, &matches) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return refuse(&diagnostics),
    };
    match matches.subcommand() {
        Some(("serve", arguments)) => {
            let parent = arguments.get_flag("stop-with-parent").then_some(parent);
            serve_until_told(gateway, &loaded, parent)
        }
        Some(("check", _)) => check(gateway, &loaded),
        Some(("explain", arguments)) => explain(gateway, &loaded, arguments),
        Some((_, arguments)) => gateway.run_command(arguments, &loaded),
        None => ExitCode::from(2),
    }
}

fn command_line(gateway: &dyn Gateway) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("DIRECTORY")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Where platform.toml and the gateway's own file are [default: the sample's]");
    let environment = Arg::new("environment")
        .long("environment")
        .value_name("NAME")
        .global(true)
        .help("Adds the layer <gateway>.<NAME>.toml");
    Command::new(gateway.name())
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args([config, environment])
        .subcommand(
            Command::new("serve").about("Serves requests until SIGTERM or Ctrl-C").arg(
                Arg::new("stop-with-parent")
                    .long("stop-with-parent")
                    .action(ArgAction::SetTrue)
                    .help("Stops as well when the process that started it has ended"),
            ),
        )
        .subcommand(
            Command::new("check")
                .about("Checks the configuration and prints every error, or what is in force"),
        )
        .subcommand(
            Command::new("explain")
                .about("Says what a request would do: its route, its calls, what it is shown")
                .args([
                    Arg::new("method").value_name("METHOD").required(true),
                    Arg::new("path").value_name("PATH").required(true),
                ]),
        )
        .subcommands(gateway.commands())
}

fn load(gateway: &dyn Gateway, matches: &ArgMatches) -> Result<Loaded, Diagnostics> {
    let directory = matches.get_one::<PathBuf>("config").cloned();
    let environment = matches.get_one::<String>("environment").cloned();
    let sources = Sources::from_process(gateway.name(), directory, environment);
    shared_config::load(&sources, &gateway.sections())
}

/// `check`: the configuration as it is in force, secrets masked, or every error. What is only
/// about to go wrong is said on stderr.
fn check(gateway: &dyn Gateway, loaded: &Loaded) -> ExitCode {
    match compile(gateway, loaded) {
        Ok(prepared) => {
            for warning in prepared.warnings() {
                let _ = writeln!(io::stderr().lock(), "warning: {warning}\n");
            }
            print(&(loaded.render() + &worst_case::comment(prepared.site())))
        }
        Err(diagnostics) => refuse(&diagnostics),
    }
}

/// `explain`: what a request of that method and path would do.
fn explain(gateway: &dyn Gateway, loaded: &Loaded, arguments: &ArgMatches) -> ExitCode {
    let text = |name| arguments.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let compiled = match compile(gateway, loaded) {
        Ok(compiled) => compiled,
        Err(diagnostics) => return refuse(&diagnostics),
    };
    match explain::explain(compiled.site(), text("method"), text("path")) {
        Ok(explained) => print(&explained),
        Err(reason) => {
            let _ = writeln!(io::stderr().lock(), "error: {reason}");
            ExitCode::from(2)
        }
    }
}

fn compile(gateway: &dyn Gateway, loaded: &Loaded) -> Result<Prepared, Diagnostics> {
    let foundation = Foundation::new(&loaded.platform, Clock::system());
    prepare::prepare(gateway, loaded, &foundation, &[])
}

fn serve_until_told(
    gateway: &'static dyn Gateway,
    loaded: &Loaded,
    stops_with_parent: Option<u32>,
) -> ExitCode {
    let options = Options { stops_with_parent, ..Options::default() };
    let failed = match start(gateway, loaded, options) {
        Ok(running) => match running.until_signalled() {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error.to_string(),
        },
        Err(NotStarted::Configuration(diagnostics)) => return refuse(&diagnostics),
        Err(error) => error.to_string(),
    };
    let _ = writeln!(io::stderr().lock(), "error: {failed}");
    ExitCode::FAILURE
}

fn refuse(diagnostics: &Diagnostics) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{diagnostics}");
    ExitCode::from(2)
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
