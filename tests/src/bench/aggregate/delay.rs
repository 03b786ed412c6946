//! What ours adds to the slowest part, at a fixed and modest load.
//!
//! Four parts answer at once, one waits about 5 ms and says how long it has really waited. The time
//! from sending a request to its whole answer, minus that wait, is what the gateway and the way to it
//! and behind it have added to this very answer.
//!
//! Requests are sent every second tick of the timers and the slow part answers at an odd one, so
//! that no request is measured with another's start.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::services::Services;
use crate::bench::load::Connection;
use crate::bench::proxies::{Proxy, request};
use crate::bench::report::Section;
use crate::bench::rounds::Pace;
use crate::bench::upstream;

/// Together they call every 2 ms: 500 answers a second.
const CONNECTIONS: u32 = 8;
const INTERVAL: Duration = Duration::from_millis(16);

/// Those that compose, and the slow part itself: what the way and this program add.
pub(super) fn peers(services: &Services, composing: [&Proxy; 2], token: &str) -> [Proxy; 3] {
    let alone = Proxy {
        name: "the slow part alone".to_owned(),
        process: std::process::id(),
        address: services.first(),
        request: request(upstream::SLOW, token),
        access_log: None,
        served: 0,
    };
    let [one, other] = composing.map(|peer| Proxy {
        request: request("/answer/slow", token),
        served: 0,
        ..peer.clone()
    });
    [alone, one, other]
}

pub(super) async fn section(pace: Pace, peers: &mut [Proxy]) -> Result<Section> {
    let mut added = vec![Vec::new(); peers.len()];
    for round in 1..=pace.rounds {
        eprintln!("bench-gateways: delay, round {round} of {} …", pace.rounds);
        for (peer, added) in peers.iter_mut().zip(&mut added) {
            added.append(&mut delays(peer, pace.length).await?);
        }
    }
    let mut text = String::from(
        "Added to the slowest of five parts, which waits about 5 ms, at 500 answers/s:\n\n\
         | asked | p50 µs | p99 µs |\n|---|---|---|\n",
    );
    let mut figures = Map::new();
    for (Proxy { name, .. }, added) in peers.iter().zip(&mut added) {
        added.sort_unstable();
        let (p50, p99) = (percentile(added, 50), percentile(added, 99));
        text += &format!("| {name} | {p50} | {p99} |\n");
        figures.insert(name.clone(), json!({ "p50_us": p50, "p99_us": p99 }));
    }
    let figures = Value::Object(figures);
    Ok(Section { key: "aggregate_delay".to_owned(), text, figures })
}

/// Microseconds added to each answer of a round.
async fn delays(peer: &mut Proxy, length: Duration) -> Result<Vec<i64>> {
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CONNECTIONS {
        let first = started + INTERVAL * caller / CONNECTIONS;
        let connection = Connection::open(peer.address).await?;
        callers.spawn(call(connection, peer.request.clone(), first, started + length));
    }
    let mut added = Vec::new();
    while let Some(caller) = callers.join_next().await {
        added.append(&mut caller?.with_context(|| format!("a call to {}", peer.name))?);
    }
    peer.served += u64::try_from(added.len())?;
    Ok(added)
}

async fn call(
    mut connection: Connection,
    request: String,
    first: Instant,
    until: Instant,
) -> Result<Vec<i64>> {
    let (mut due, mut added) = (first, Vec::new());
    while due < until {
        // What the last answer's lateness keeps waiting counts as waiting.
        let is_late = Instant::now() > due;
        tokio::time::sleep_until(due).await;
        let sent = if is_late { due } else { Instant::now() };
        let body = connection.ask(&request).await?;
        let took = i64::try_from(sent.elapsed().as_micros())?;
        let waited = waited_us(body).context("the slow part does not say its wait")?;
        added.push(took - waited);
        due += INTERVAL;
    }
    Ok(added)
}

/// The wait that the slow part tells, wherever it stands.
fn waited_us(body: &[u8]) -> Option<i64> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("\"waited_us\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The smallest of the sorted values that so many percent do not exceed.
pub(super) fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_read_out_of_any_answer_that_holds_it() {
        assert_eq!(waited_us(br#"{"waited_us":5123}"#), Some(5_123));
        assert_eq!(waited_us(br#"{"a":[1],"slow":{"waited_us":6000}}"#), Some(6_000));
        assert_eq!(waited_us(br#"{"a":1}"#), None);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<i64> = (1..=200).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (100, 198));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }
}
