//! Rounds that alternate between the peers, and what they come to.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::proxies::Proxy;
use super::{cpu, load};

/// Connections, caches and branch predictors get warm; not measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// A minute less than a token lives.
const LENGTH_MAX: Duration = Duration::from_secs(14 * 60);

/// How often, how long and by how many connections each peer is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) rounds: u32,
    pub(super) length: Duration,
    pub(super) connections: u32,
}

impl Pace {
    /// Calls one peer after the other, and again. `label` tells the person who waits.
    pub(super) async fn measure(self, label: &str, peers: &mut [Proxy]) -> Result<Rounds> {
        let of_one = WARM_UP + self.length * self.rounds;
        let whole = of_one * u32::try_from(peers.len())?;
        let (whole_s, max_s) = (whole.as_secs(), LENGTH_MAX.as_secs());
        ensure!(whole <= LENGTH_MAX, "{whole_s} s of calls; a token is good for {max_s}");
        for peer in &mut *peers {
            load::run(peer, self.connections, WARM_UP).await?;
        }
        let mut rounds = Rounds::default();
        for round in 1..=self.rounds {
            eprintln!("bench-gateways: {label} {round} of {} …", self.rounds);
            for peer in &mut *peers {
                let before = cpu::of_process(peer.process)?;
                let served = load::run(peer, self.connections, self.length).await?;
                let spent = cpu::of_process(peer.process)?.saturating_sub(before);
                rounds.add(&peer.name, Sample::new(spent, served, self.length));
            }
        }
        Ok(rounds)
    }
}

/// One round of one peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// CPU of one request, in microseconds.
    pub(super) cpu_us: f64,
    /// Requests in a second.
    pub(super) per_second: f64,
}

impl Sample {
    fn new(spent: Duration, served: u64, length: Duration) -> Self {
        let served = f64::from(u32::try_from(served).unwrap_or(u32::MAX));
        Self {
            cpu_us: spent.as_secs_f64() * 1e6 / served,
            per_second: served / length.as_secs_f64(),
        }
    }
}

/// All rounds of all peers.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    peers: Vec<(String, Vec<Sample>)>,
}

/// What the rounds of a peer come to.
#[derive(Debug, PartialEq)]
pub(super) struct Row<'a> {
    pub(super) peer: &'a str,
    pub(super) cpu_us: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) per_second: f64,
    /// How many times this peer's cost ours is: the median of the rounds' ratios.
    pub(super) ratio_of_ours: f64,
}

impl Rounds {
    pub(super) fn add(&mut self, peer: &str, sample: Sample) {
        match self.peers.iter_mut().find(|(known, _)| known == peer) {
            Some((_, samples)) => samples.push(sample),
            None => self.peers.push((peer.to_owned(), vec![sample])),
        }
    }

    /// One row for each peer, compared with the one whose name is `ours`.
    pub(super) fn rows(&self, ours: &str) -> Vec<Row<'_>> {
        let ours = self.of(ours);
        self.peers.iter().map(|(peer, samples)| Row::of(peer, samples, ours)).collect()
    }

    /// How many times what another costs a peer costs.
    pub(super) fn times(&self, peer: &str, other: &str) -> Times {
        let rounds = self.of(peer).iter().zip(self.of(other));
        let mut times: Vec<f64> = rounds.map(|(peer, other)| peer.cpu_us / other.cpu_us).collect();
        times.sort_by(f64::total_cmp);
        Times {
            least: times.first().copied().unwrap_or(f64::NAN),
            most: times.last().copied().unwrap_or(f64::NAN),
            median: median(times.into_iter()),
        }
    }

    fn of(&self, peer: &str) -> &[Sample] {
        let found = self.peers.iter().find(|(known, _)| known == peer);
        found.map_or(&[], |(_, samples)| samples)
    }
}

/// The rounds' ratios of two peers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Times {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl<'a> Row<'a> {
    fn of(peer: &'a str, samples: &[Sample], ours: &[Sample]) -> Self {
        let mut cpu: Vec<f64> = samples.iter().map(|sample| sample.cpu_us).collect();
        cpu.sort_by(f64::total_cmp);
        let ratios = samples.iter().zip(ours).map(|(theirs, ours)| ours.cpu_us / theirs.cpu_us);
        Self {
            peer,
            cpu_us: median(cpu.iter().copied()),
            least: cpu.first().copied().unwrap_or(f64::NAN),
            most: cpu.last().copied().unwrap_or(f64::NAN),
            per_second: median(samples.iter().map(|sample| sample.per_second)),
            ratio_of_ours: median(ratios),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() {
        let mut rounds = Rounds::default();
        for (nginx, ours) in [(5.0, 9.0), (10.0, 15.0), (6.0, 9.0)] {
            rounds.add("nginx", Sample { cpu_us: nginx, per_second: 1_000.0 });
            rounds.add("mobile-bff", Sample { cpu_us: ours, per_second: 1_000.0 });
        }
        let rows = rounds.rows("mobile-bff");
        assert_eq!((rows[0].cpu_us, rows[0].least, rows[0].most), (6.0, 5.0, 10.0));
        assert!((rows[0].ratio_of_ours - 1.5).abs() < 1e-9);
        assert!((rows[1].ratio_of_ours - 1.0).abs() < 1e-9);
        let times = rounds.times("mobile-bff", "nginx");
        assert_eq!(times, Times { median: 1.5, least: 1.5, most: 1.8 });
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
