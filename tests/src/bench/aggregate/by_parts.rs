//! What an answer costs ours against the number of its parts, all alike: 1.5 KiB each.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::bench::proxies::{Proxy, request};
use crate::bench::report::Section;
use crate::bench::rounds::{Pace, Row};

pub(super) const COUNTS: [usize; 5] = [1, 2, 5, 10, 20];

/// Where the view of so many parts is.
pub(super) fn path(count: usize) -> String {
    format!("/answer/parts/{count}")
}

/// The gateway, once for each number of parts.
pub(super) fn peers(gateway: &Proxy, token: &str) -> Vec<Proxy> {
    let peer = |count: usize| Proxy {
        name: count.to_string(),
        request: request(&path(count), token),
        ..gateway.clone()
    };
    COUNTS.into_iter().map(peer).collect()
}

pub(super) async fn section(pace: Pace, peers: &mut [Proxy]) -> Result<Section> {
    let rounds = pace.measure("numbers of parts, round", peers).await?;
    let rows = rounds.rows("1");
    let figures = |row: &Row<'_>| (row.peer.to_owned(), json!({ "cpu_us": row.cpu_us }));
    let figures: Map<String, Value> = rows.iter().map(figures).collect();
    Ok(Section { key: "aggregate_by_parts".to_owned(), text: text(&rows), figures: figures.into() })
}

fn text(rows: &[Row<'_>]) -> String {
    let mut text = String::from(
        "`mobile-bff` against the number of parts, 1.5 KiB each:\n\n\
         | parts | CPU µs per answer | least – most | CPU µs per part |\n|---|---|---|---|\n",
    );
    for Row { peer, cpu_us, least, most, .. } in rows {
        let per_part = cpu_us / peer.parse().unwrap_or(f64::NAN);
        let _ = writeln!(text, "| {peer} | {cpu_us:.2} | {least:.2} – {most:.2} | {per_part:.2} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_part_is_the_answers_divided_by_their_number() {
        let row = Row {
            peer: "5",
            cpu_us: 100.0,
            least: 90.0,
            most: 110.0,
            per_second: 1.0,
            ratio_of_ours: 1.0,
        };
        let text = text(&[row]);
        assert!(text.ends_with("|\n| 5 | 100.00 | 90.00 – 110.00 | 20.00 |\n"), "{text}");
    }
}
