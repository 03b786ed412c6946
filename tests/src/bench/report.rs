//! What is said about a run: a table for people, JSON for programs, a block in the documents.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway_core::clock::Clock;
use serde_json::{Map, Value, json};

use super::proxies;
use crate::verify::repository;

/// The peer that all others are compared with.
const OURS: &str = "mobile-bff";
const START: &str = "<!-- last run -->";
const END: &str = "<!-- end of last run -->";

/// One round of one peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// CPU of one request, in microseconds.
    cpu_us: f64,
    /// Requests in a second.
    per_second: f64,
}

impl Sample {
    pub(super) fn new(spent: Duration, served: u64, length: Duration) -> Self {
        let served = f64::from(u32::try_from(served).unwrap_or(u32::MAX));
        Self {
            cpu_us: spent.as_secs_f64() * 1e6 / served,
            per_second: served / length.as_secs_f64(),
        }
    }
}

/// All rounds of a run.
#[derive(Debug)]
pub(super) struct Report {
    workload: &'static str,
    peers: Vec<(&'static str, Vec<Sample>)>,
}

/// What the rounds of a peer come to.
#[derive(Debug, PartialEq)]
struct Row {
    peer: &'static str,
    cpu_us: f64,
    least: f64,
    most: f64,
    per_second: f64,
    /// How many times this peer's cost ours is: the median of the rounds' ratios.
    ratio_of_ours: f64,
}

impl Report {
    pub(super) const fn new(workload: &'static str) -> Self {
        Self { workload, peers: Vec::new() }
    }

    pub(super) fn add(&mut self, peer: &'static str, sample: Sample) {
        match self.peers.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, samples)) => samples.push(sample),
            None => self.peers.push((peer, vec![sample])),
        }
    }

    pub(super) fn finish(&self, writes_docs: bool) -> Result<()> {
        let rows = self.rows();
        let table = table(&rows);
        let where_and_when = format!(
            "Workload `{}`, {}, {}, by `{}`.",
            self.workload,
            machine(),
            Clock::system().wall().to_string().get(..10).unwrap_or_default(),
            command(std::env::args().skip(1)),
        );
        println!("{where_and_when}\n\n{table}");
        let file = repository().join("target/bench-gateways.json");
        fs::write(&file, self.json(&rows).to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("\nwritten: {}", file.display());
        if writes_docs {
            let file = repository().join("docs/performance.md");
            let text = fs::read_to_string(&file)?;
            let block = format!("{where_and_when}\n\n{table}");
            fs::write(&file, replaced(&text, &block).context("docs/performance.md has no block")?)?;
            println!("written: {}", file.display());
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let ours = self.peers.iter().find(|(peer, _)| *peer == OURS);
        let ours = ours.map_or(&[][..], |(_, samples)| samples);
        let row = |(peer, samples): &(&'static str, Vec<Sample>)| {
            let mut cpu: Vec<f64> = samples.iter().map(|sample| sample.cpu_us).collect();
            cpu.sort_by(f64::total_cmp);
            let ratios = samples.iter().zip(ours).map(|(theirs, ours)| ours.cpu_us / theirs.cpu_us);
            Row {
                peer,
                cpu_us: median(cpu.iter().copied()),
                least: cpu.first().copied().unwrap_or(f64::NAN),
                most: cpu.last().copied().unwrap_or(f64::NAN),
                per_second: median(samples.iter().map(|sample| sample.per_second)),
                ratio_of_ours: median(ratios),
            }
        };
        self.peers.iter().map(row).collect()
    }

    /// `{"workload":{"peer":{"cpu_us":…,"ratio_of_ours":…}}}`
    fn json(&self, rows: &[Row]) -> Value {
        let peers: Map<String, Value> = rows
            .iter()
            .map(|row| {
                let figures = json!({ "cpu_us": row.cpu_us, "ratio_of_ours": row.ratio_of_ours });
                (row.peer.to_owned(), figures)
            })
            .collect();
        json!({ self.workload: peers })
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| proxy | CPU µs per request | least – most | requests/s | ours is |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            table,
            "| {} | {:.2} | {:.2} – {:.2} | {:.0} | {:.2} × |",
            row.peer, row.cpu_us, row.least, row.most, row.per_second, row.ratio_of_ours
        );
    }
    table
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Processor, kernel and nginx. All processors count: this program is held on one of them.
fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, Linux {}, {}",
        processors_of(&processors),
        kernel_version(&kernel),
        nginx_version()
    )
}

/// `6.1.0`, without what a distribution adds.
fn kernel_version(release: &str) -> &str {
    release.trim().split('-').next().unwrap_or_default()
}

fn processors_of(text: &str) -> String {
    let values = |name| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let model = values("model name").next().unwrap_or("unknown processor");
    format!("{model} ({} processors)", values("processor").count())
}

/// `nginx/1.22.1`, as it says itself.
fn nginx_version() -> String {
    let said =
        proxies::find_nginx().and_then(|nginx| Ok(Command::new(nginx).arg("-v").output()?));
    let said = said.map(|said| String::from_utf8_lossy(&said.stderr).into_owned());
    said.ok().and_then(|said| said.split_whitespace().nth(2).map(str::to_owned)).unwrap_or_default()
}

/// What was typed.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let arguments: Vec<String> = arguments.collect();
    if arguments.is_empty() {
        return "cargo bench-gateways".to_owned();
    }
    format!("cargo bench-gateways -- {}", arguments.join(" "))
}

/// The text with another block between the marks.
fn replaced(text: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n{block}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("pass");
        for (nginx, ours) in [(5.0, 9.0), (10.0, 15.0), (6.0, 9.0)] {
            let sample = |cpu_us| Sample { cpu_us, per_second: 1_000.0 };
            report.add("nginx", sample(nginx));
            report.add(OURS, sample(ours));
        }
        report
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() {
        let rows = report().rows();
        assert_eq!((rows[0].cpu_us, rows[0].least, rows[0].most), (6.0, 5.0, 10.0));
        assert!((rows[0].ratio_of_ours - 1.5).abs() < 1e-9);
        assert!((rows[1].ratio_of_ours - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_json_has_a_workload_with_its_peers_and_their_figures() {
        let report = report();
        let json = report.json(&report.rows());
        assert_eq!(json["pass"]["nginx"], json!({ "cpu_us": 6.0, "ratio_of_ours": 1.5 }));
        assert_eq!(json["pass"][OURS]["ratio_of_ours"], 1.0);
    }

    #[test]
    fn the_block_in_the_document_is_replaced_and_nothing_else() {
        let text = format!("before {START}\nold\n{END} after");
        assert_eq!(replaced(&text, "new\n"), Some(format!("before {START}\nnew\n\n{END} after")));
        assert_eq!(replaced("no marks", "new"), None);
    }

    #[test]
    fn a_machine_is_its_processors_model_and_how_many_there_are() {
        let text =
            "processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
        assert_eq!(processors_of(text), "AMD EPYC (2 processors)");
        assert_eq!(processors_of(""), "unknown processor (0 processors)");
    }

    #[test]
    fn the_command_is_shown_as_it_was_typed() {
        let check = |typed: &str, expected: &str| {
            assert_eq!(command(typed.split_whitespace().map(str::to_owned)), expected);
        };
        check("", "cargo bench-gateways");
        check("pass --rounds 9", "cargo bench-gateways -- pass --rounds 9");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
