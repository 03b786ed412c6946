//! The table of features: what a request costs beside each, and how many times the base's that is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::base_before;
use super::features::{BASE, Feature, TOGETHER};
use crate::bench::report::Section;
use crate::bench::rounds::{Rounds, Row, Times};

const NOT_COUNTED: &str =
    "\nInstructions were not counted: valgrind is not installed (`apt-get install valgrind`).\n";

/// The table with its figures: `{"feature":{"cpu_us":…,"times_base":…,"instructions":…}}`.
pub(super) fn section(
    features: &[Feature],
    rounds: &Rounds,
    counts: &BTreeMap<&'static str, f64>,
) -> Section {
    let mut text = head(counts.is_empty()).to_owned();
    let mut figures = Map::new();
    for row in rounds.rows(BASE) {
        let times = rounds.times(row.peer, &base_before(row.peer));
        // The base's own turns before others have no base before them.
        if times.median.is_nan() {
            continue;
        }
        let feature = features.iter().find(|feature| feature.name == row.peer);
        let count = counts.get(row.peer).copied();
        text += &line(&row, &feature.map(keys).unwrap_or_default(), times);
        if let (Some(count), Some(base)) = (count, counts.get(BASE)) {
            let _ = write!(text, " {count:.0} | {:+.0} |", count - base);
        } else if !counts.is_empty() {
            text += " | |";
        }
        text.push('\n');
        let figure = json!({
            "cpu_us": row.cpu_us, "times_base": times.median, "instructions": count
        });
        figures.insert(row.peer.to_owned(), figure);
    }
    if counts.is_empty() {
        text += NOT_COUNTED;
    }
    Section { key: "idle".to_owned(), text, figures: Value::Object(figures) }
}

const fn head(without_counts: bool) -> &'static str {
    if without_counts {
        "| feature | keys | CPU µs per request | × base | least – most |\n|---|---|---|---|---|\n"
    } else {
        "| feature | keys | CPU µs per request | × base | least – most | instructions | more |\n\
         |---|---|---|---|---|---|---|\n"
    }
}

fn line(row: &Row<'_>, keys: &str, times: Times) -> String {
    let Times { median, least, most } = times;
    let (peer, cpu_us) = (row.peer, row.cpu_us);
    format!("| {peer} | {keys} | {cpu_us:.2} | {median:.2} | {least:.2} – {most:.2} |")
}

/// All features together need not name their keys again.
fn keys(feature: &Feature) -> String {
    if feature.name == TOGETHER {
        return String::new();
    }
    let keys: Vec<String> = feature.keys().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::features;
    use super::*;
    use crate::bench::rounds::Sample;

    fn rounds() -> Rounds {
        let mut rounds = Rounds::default();
        for (base, retries) in [(10.0, 11.0), (20.0, 21.0), (10.0, 12.0)] {
            for (peer, cpu_us) in [("nginx", 8.0), (BASE, base), ("retries", retries)] {
                rounds.add(&base_before(peer), Sample { cpu_us: base, per_second: 1_000.0 });
                rounds.add(peer, Sample { cpu_us, per_second: 1_000.0 });
            }
        }
        rounds
    }

    #[test]
    fn each_feature_stands_beside_the_base_by_time_and_by_instructions() {
        let counts = BTreeMap::from([(BASE, 60_000.0), ("retries", 60_600.0)]);
        let section = section(&features::all(), &rounds(), &counts);
        let expected = "\
| feature | keys | CPU µs per request | × base | least – most | instructions | more |
|---|---|---|---|---|---|---|
| nginx |  | 8.00 | 0.80 | 0.40 – 0.80 | | |
| nothing more |  | 10.00 | 1.00 | 1.00 – 1.00 | 60000 | +0 |
| retries | `policy.retry.attempts_max` | 12.00 | 1.10 | 1.05 – 1.20 | 60600 | +600 |
";
        assert_eq!(section.text, expected);
        assert_eq!(section.figures["retries"]["instructions"], 60_600.0);
    }

    #[test]
    fn without_counts_the_columns_are_absent_and_a_sentence_says_why() {
        let section = section(&features::all(), &rounds(), &BTreeMap::new());
        let expected = "| nothing more |  | 10.00 | 1.00 | 1.00 – 1.00 |\n";
        assert!(section.text.contains(expected), "{}", section.text);
        assert!(section.text.ends_with(NOT_COUNTED), "{}", section.text);
        assert_eq!(section.figures["retries"]["instructions"], Value::Null);
    }
}
