//! How often ours allocates for one answer.
//!
//! `counted_bff` is the gateway with an allocator that counts, and says at its end how often it was
//! called. It runs twice, for few answers and for many; the difference is the answers', whatever
//! else a gateway allocates when it starts.

use std::fmt::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::bench::gateway::{Gateway, program};
use crate::bench::load::Connection;
use crate::bench::process::pinned;
use crate::bench::proxies::request;
use crate::bench::report::Section;

const FEW: u32 = 200;
const MANY: u32 = 4_200;
const ANSWERS: [(&str, &str); 2] = [("whole", "/answer"), ("compact", "/answer/compact")];

/// What the allocator has counted.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    calls: u64,
    bytes: u64,
}

impl Count {
    /// `allocations=12 bytes=3400`, as `counted_bff` says it.
    fn parse(said: &str) -> Option<Self> {
        let value = |name: &str| {
            let word = said.split_whitespace().find_map(|word| word.strip_prefix(name))?;
            word.strip_prefix('=')?.parse().ok()
        };
        Some(Self { calls: value("allocations")?, bytes: value("bytes")? })
    }
}

/// No process of the gateway may be left: the one that counts takes its addresses.
pub(super) async fn section(gateway: &Gateway) -> Result<Section> {
    eprintln!("bench-gateways: counting allocations …");
    let mut text = String::from(
        "Allocations of `mobile-bff`:\n\n| answer | allocations | KiB allocated |\n|---|---|---|\n",
    );
    let mut figures = Map::new();
    for (answer, path) in ANSWERS {
        let (few, many) = (count(gateway, path, FEW).await?, count(gateway, path, MANY).await?);
        let calls = of_one(few.calls, many.calls);
        let kib = of_one(few.bytes, many.bytes) / 1_024.0;
        let _ = writeln!(text, "| {answer} | {calls:.0} | {kib:.1} |");
        figures.insert(answer.to_owned(), json!({ "allocations": calls, "kib": kib }));
    }
    let figures = Value::Object(figures);
    Ok(Section { key: "aggregate_allocations".to_owned(), text, figures })
}

async fn count(gateway: &Gateway, path: &str, answers: u32) -> Result<Count> {
    let mut command = pinned(&program("counted_bff"));
    let process = gateway.serve(command.stdout(Stdio::piped()), "counted_bff")?;
    let request = request(path, &gateway.log_in().await?);
    let mut connection = Connection::open(gateway.address).await?;
    for _ in 0..answers {
        connection.ask(&request).await.context("a call to counted_bff")?;
    }
    drop(connection);
    let said = process.end()?;
    Count::parse(&said).with_context(|| format!("counted_bff said {said:?}"))
}

fn of_one(few: u64, many: u64) -> f64 {
    let more = u32::try_from(many.saturating_sub(few)).unwrap_or(u32::MAX);
    f64::from(more) / f64::from(MANY - FEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_the_program_says_at_its_end() {
        let count = Count::parse("allocations=12 bytes=3400\n");
        assert_eq!(count, Some(Count { calls: 12, bytes: 3_400 }));
        assert_eq!(Count::parse("allocations=12\n"), None);
    }

    #[test]
    fn one_answers_share_is_the_difference_of_two_runs() {
        assert!((of_one(1_000, 1_000 + 40 * u64::from(MANY - FEW)) - 40.0).abs() < 1e-9);
    }
}
