//! `partner-gateway keys issue`: makes a key, shows it once, prints the record to keep.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use gateway_core::auth::api_key::{
    ApiKey, Environment, InvalidKeyPrefix, KeyPrefix, Pepper, WeakPepper,
};
use rand::RngExt as _;
use shared_config::Loaded;

/// The command line of `keys`.
#[must_use]
pub fn command() -> Command {
    let partner = Arg::new("partner").long("partner").required(true).value_name("NAME");
    let tier = Arg::new("tier").long("tier").required(true).value_name("TIER");
    let environment = Arg::new("mode")
        .long("mode")
        .value_name("MODE")
        .value_parser(["live", "test"])
        .default_value("live");
    let issue = Command::new("issue")
        .about("Makes an API key, shows it once and prints the record to keep")
        .arg(partner.help("Who the key is for"))
        .arg(tier.help("The tier whose limits it has"))
        .arg(environment.help("Whether the key is for live or for test data"));
    Command::new("keys")
        .about("API keys of partners")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(issue)
}

/// Runs `keys issue`.
#[must_use]
pub fn run(arguments: &ArgMatches, loaded: &Loaded) -> ExitCode {
    let Some(("issue", arguments)) = arguments.subcommand() else { return ExitCode::from(2) };
    let text = |name: &str| arguments.get_one::<String>(name).map_or("", String::as_str);
    match issue(loaded, text("partner"), text("tier"), text("mode")) {
        Ok(printed) => match io::stdout().lock().write_all(printed.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(reason) => {
            let _ = writeln!(io::stderr().lock(), "error: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
enum NotIssued {
    #[error("[auth.api_key] is not configured: it says the keys' prefix and pepper")]
    NotConfigured,
    #[error("[auth.api_key] pepper: {0}")]
    Pepper(#[from] WeakPepper),
    #[error("[auth.api_key] prefix: {0}")]
    Prefix(#[from] InvalidKeyPrefix),
    #[error("--mode must be live or test, and is {0:?}")]
    Mode(String),
    #[error("--{name} must be 1 to 64 letters, digits, `-`, `_` or `.`, and is {value:?}")]
    Name { name: &'static str, value: String },
    #[error("no limit has a rate for tier {tier:?}; known tiers: {known}")]
    Tier { tier: String, known: String },
}

fn issue(loaded: &Loaded, partner: &str, tier: &str, mode: &str) -> Result<String, NotIssued> {
    check_name("partner", partner)?;
    check_tier(loaded, tier)?;
    let auth = loaded.platform.auth.api_key.as_ref().ok_or(NotIssued::NotConfigured)?;
    let pepper = Pepper::build(auth.pepper.expose().as_bytes())?;
    let prefix = KeyPrefix::parse(&auth.prefix)?;
    let mode = Environment::parse(mode).ok_or_else(|| NotIssued::Mode(mode.to_owned()))?;
    let key = ApiKey::generate(&prefix, mode);
    let digest = super::hex(pepper.digest(&key));
    let id = format!("key_{:024x}", rand::rng().random::<u128>() >> 32);
    Ok(format!(
        "# The key, shown this once. Hand it to {partner}; it cannot be read back.\n\
         {key}\n\n\
         # The record, for partner-gateway.toml:\n\
         [[keys]]\n\
         id = \"{id}\"\n\
         partner = \"{partner}\"\n\
         tier = \"{tier}\"\n\
         digest = \"{digest}\"\n",
        key = key.expose(),
    ))
}

/// What can stand in TOML and in a header field as it is.
fn check_name(name: &'static str, value: &str) -> Result<(), NotIssued> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if value.is_empty() || value.len() > 64 || !value.bytes().all(is_plain) {
        return Err(NotIssued::Name { name, value: value.to_owned() });
    }
    Ok(())
}

/// A typing mistake here would give the partner the lowest tier without a word.
fn check_tier(loaded: &Loaded, tier: &str) -> Result<(), NotIssued> {
    check_name("tier", tier)?;
    let known = loaded.platform.tiers();
    if known.is_empty() || known.contains(tier) {
        return Ok(());
    }
    let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(NotIssued::Tier { tier: tier.to_owned(), known })
}
