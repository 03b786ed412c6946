//! What is said about a run: a table for people, JSON for programs, a block in the documents.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway_core::clock::Clock;
use serde_json::{Map, Value, json};

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
            "Workload `{}`, {}, {}, by `cargo bench-gateways -- {0}`.",
            self.workload,
            machine(),
            Clock::system().wall().to_string().get(..10).unwrap_or_default(),
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

fn machine() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| "unknown processor".to_owned());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model} ({processors} processor(s) visible to the load)")
}

/// The text with another block between the marks.
fn replaced(text: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n{block}{END}{after}"))
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
        assert_eq!(replaced(&text, "new\n"), Some(format!("before {START}\nnew\n{END} after")));
        assert_eq!(replaced("no marks", "new"), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
