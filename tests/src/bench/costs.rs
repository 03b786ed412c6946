//! The table of a workload: what each peer costs, and how ours compares.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::report::Section;
use super::rounds::{Rounds, Row};

/// The peer that all others are compared with.
pub(super) const OURS: &str = "mobile-bff";

/// How a workload's table is written.
#[derive(Debug)]
pub(super) struct Costs {
    /// One of what is counted: `request`.
    pub(super) unit: &'static str,
    /// How many times a peer's cost ours may be, by the peer; without any, no column.
    pub(super) goals: &'static [(&'static str, f64)],
}

impl Costs {
    /// The table with its figures: `{"peer":{"cpu_us":…,"ratio_of_ours":…}}`.
    pub(super) fn section(&self, key: &str, rounds: &Rounds) -> Section {
        let rows = rounds.rows(OURS);
        let figures: Map<String, Value> = rows
            .iter()
            .map(|row| {
                let figures = json!({ "cpu_us": row.cpu_us, "ratio_of_ours": row.ratio_of_ours });
                (row.peer.to_owned(), figures)
            })
            .collect();
        Section { key: key.to_owned(), text: self.table(&rows), figures: figures.into() }
    }

    fn table(&self, rows: &[Row<'_>]) -> String {
        let unit = self.unit;
        let mut table =
            format!("| proxy | CPU µs per {unit} | least – most | {unit}s/s | ours is |");
        let has_goals = !self.goals.is_empty();
        table += if has_goals {
            " goal |\n|---|---|---|---|---|---|\n"
        } else {
            "\n|---|---|---|---|---|\n"
        };
        for row in rows {
            let _ = write!(
                table,
                "| {} | {:.2} | {:.2} – {:.2} | {:.0} | {:.2} × |",
                row.peer, row.cpu_us, row.least, row.most, row.per_second, row.ratio_of_ours
            );
            if has_goals {
                let goal = self.goals.iter().find(|(peer, _)| *peer == row.peer);
                let goal = goal.map(|(_, goal)| format!(" ≤ {goal:.2} ×")).unwrap_or_default();
                let _ = write!(table, "{goal} |");
            }
            table.push('\n');
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::super::rounds::Sample;
    use super::*;

    fn rounds() -> Rounds {
        let mut rounds = Rounds::default();
        rounds.add("nginx", Sample { cpu_us: 6.0, per_second: 1_000.0 });
        rounds.add(OURS, Sample { cpu_us: 9.0, per_second: 2_000.0 });
        rounds
    }

    #[test]
    fn the_figures_are_each_peers_cost_and_ratio() {
        let figures = Costs { unit: "request", goals: &[] }.section("pass", &rounds()).figures;
        assert_eq!(figures["nginx"], json!({ "cpu_us": 6.0, "ratio_of_ours": 1.5 }));
        assert_eq!(figures[OURS]["ratio_of_ours"], 1.0);
    }

    #[test]
    fn a_goal_stands_beside_what_was_measured_where_there_is_one() {
        let without = Costs { unit: "request", goals: &[] }.section("pass", &rounds()).text;
        let expected = "\
| proxy | CPU µs per request | least – most | requests/s | ours is |
|---|---|---|---|---|
| nginx | 6.00 | 6.00 – 6.00 | 1000 | 1.50 × |
| mobile-bff | 9.00 | 9.00 – 9.00 | 2000 | 1.00 × |
";
        assert_eq!(without, expected);
        let with = Costs { unit: "answer", goals: &[("nginx", 1.25)] }.section("x", &rounds()).text;
        let expected = "\
| proxy | CPU µs per answer | least – most | answers/s | ours is | goal |
|---|---|---|---|---|---|
| nginx | 6.00 | 6.00 – 6.00 | 1000 | 1.50 × | ≤ 1.25 × |
| mobile-bff | 9.00 | 9.00 – 9.00 | 2000 | 1.00 × | |
";
        assert_eq!(with, expected);
    }
}
