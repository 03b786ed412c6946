//! What the user asked for.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;

use crate::platform::Service;

/// The sample platform and the three gateways, as real processes on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo demo --")]
pub struct Options {
    /// Leave a service out, to see what its absence does. May be given several times.
    #[arg(long, value_name = "SERVICE")]
    pub without: Vec<String>,
    /// Move every port by this much.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port_offset: u16,
    /// Run the other pattern too: one gateway for all consumers, on port 3003.
    #[arg(long)]
    pub edge: bool,
    /// Let the gateways speak TLS, with certificates of an authority that is made for this run.
    #[arg(long)]
    pub tls: bool,
    /// Run the gateways that are here, as `cargo build-gateways` leaves them, and build none.
    #[arg(long, value_name = "FOLDER")]
    pub programs: Option<PathBuf>,
    /// Charge the limits and never refuse by them, for load.
    #[arg(long)]
    pub unlimited: bool,
    /// Print one line of JSON once all is ready, for scripts.
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// Reads the command line; `None` when it only asked for help.
    ///
    /// # Errors
    ///
    /// An argument that is not known, or a service that does not exist.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let words = std::iter::once("demo".to_owned()).chain(arguments);
        let options = match Self::try_parse_from(words) {
            Ok(options) => options,
            Err(error) if !error.use_stderr() => {
                error.print()?;
                return Ok(None);
            }
            Err(error) => bail!("{error}"),
        };
        if options.edge && options.programs.is_some() {
            bail!("--programs has the three gateways only; leave --edge out");
        }
        for name in &options.without {
            if !Service::ALL.iter().any(|service| service.name() == name) {
                let known: Vec<_> = Service::ALL.iter().map(|service| service.name()).collect();
                bail!("--without {name}: no such service; there are {}", known.join(", "));
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        Options::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn services_are_left_out_by_their_names_and_others_are_named_in_the_error() {
        let options = parse(&["--without", "billing-service"]).expect("known").expect("no help");
        assert_eq!(options.without, ["billing-service"]);
        let error = parse(&["--without", "biling-service"]).expect_err("unknown").to_string();
        assert!(error.contains("biling-service") && error.contains("billing-service"), "{error}");
    }

    #[test]
    fn the_edge_gateway_is_not_among_programs_that_were_built_before() {
        let error = parse(&["--edge", "--programs", "target"]).expect_err("not there").to_string();
        assert!(error.contains("leave --edge out"), "{error}");
    }

    #[test]
    fn an_unknown_option_is_an_error_that_names_it() {
        let error = parse(&["--jsno"]).expect_err("unknown").to_string();
        assert!(error.contains("--jsno"), "{error}");
    }
}
