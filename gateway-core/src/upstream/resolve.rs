//! Names: a host's addresses are looked up again and again, and each is an endpoint.
//!
//! The system's resolver is asked, in a thread of its own, and the time to ask again comes from
//! the configuration: the resolver does not tell how long its answer holds. Of addresses of both
//! families those of the family that it puts first are taken (RFC 6724 sorts what cannot be
//! reached last). A look-up that fails or takes too long leaves everything as it was.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::upstream::targets::Targets;

/// Looks names up.
pub(super) trait Lookup: Send + Sync + 'static {
    /// All addresses of a host, with that port.
    fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The most addresses of one name; further ones are left out.
const ADDRESSES_MAX: usize = 32;

/// The time for one look-up: longer than resolvers usually try one server.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks the names of a service up until its targets are gone.
pub(super) async fn keep_resolved(targets: Weak<Targets>, lookup: impl Lookup) {
    let mut failing = HashSet::new();
    loop {
        let Some(pause) = resolve_all(&targets, &lookup, &mut failing).await else { return };
        sleep(pause).await;
    }
}

/// One round; says when the next is due. A name that begins to fail is logged once.
async fn resolve_all(
    targets: &Weak<Targets>,
    lookup: &impl Lookup,
    failing: &mut HashSet<usize>,
) -> Option<Duration> {
    let targets = targets.upgrade()?;
    let interval = targets.settings().resolve_interval?;
    for (place, host, port) in targets.names() {
        let service = targets.name();
        match addresses(lookup, &host, port).await {
            Ok(addresses) => {
                let count = addresses.len();
                let has_failed = failing.remove(&place);
                if targets.set_addresses(place, addresses) || has_failed {
                    tracing::info!(%service, host, count, "a target's name was looked up");
                }
            }
            Err(error) if failing.insert(place) => {
                tracing::warn!(%service, host, %error, "a target's name cannot be looked up");
            }
            Err(_) => {}
        }
    }
    Some(targets.dice().stretch(interval))
}

/// The addresses of a name; none is an error.
async fn addresses(lookup: &impl Lookup, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(LOOKUP_TIMEOUT, lookup.lookup(host, port)).await;
    let found = found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(usable(found)) }
}

/// Those of the first one's family, and not too many.
fn usable(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if let Some(is_v4) = found.first().map(SocketAddr::is_ipv4) {
        found.retain(|address| address.is_ipv4() == is_v4);
    }
    // Resolvers turn their answers round; the same ones are to be left out each time.
    found.sort_unstable();
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    found
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::metric::Named;
    use crate::upstream::target::Target;
    use crate::upstream::targets::TargetsSettings;
    use crate::upstream::testing::settings;

    /// What each look-up in turn finds: addresses, nothing, an error, or no end.
    struct Script(Arc<Mutex<Vec<&'static str>>>);

    impl Lookup for Script {
        async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            assert_eq!((host, port), ("links.internal", 8080));
            let next = self.0.lock().expect("no panic").pop();
            match next.unwrap_or("error") {
                "error" => Err(io::ErrorKind::NotFound.into()),
                "hangs" => std::future::pending().await,
                found => {
                    Ok(found.split_whitespace().map(|one| one.parse().expect("one")).collect())
                }
            }
        }
    }

    fn labels(targets: &Targets) -> Vec<String> {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_790_000_000));
        targets.states(clock.now()).into_iter().map(|state| state.target).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_a_name_are_looked_up_again_and_again() {
        let target = Target::parse("links", "http://links.internal:8080", settings());
        let interval = Duration::from_secs(60);
        let rules = TargetsSettings { resolve_interval: Some(interval), ..Default::default() };
        let targets = Targets::new(
            &"links".into(),
            rules,
            vec![(target.expect("one"), 1)],
            &Named::default(),
        );
        // Each with what is known after it; the last word of the script is the first look-up.
        let rounds = [
            ("error", vec!["links.internal:8080"]),
            ("10.0.0.1:8080", vec!["10.0.0.1:8080"]),
            ("10.0.0.2:8080 10.0.0.1:8080", vec!["10.0.0.1:8080", "10.0.0.2:8080"]),
            ("", vec!["10.0.0.1:8080", "10.0.0.2:8080"]),
            ("hangs", vec!["10.0.0.1:8080", "10.0.0.2:8080"]),
            ("error", vec!["10.0.0.1:8080", "10.0.0.2:8080"]),
            ("10.0.0.2:8080 [fe80::1]:8080", vec!["10.0.0.2:8080"]),
        ];
        let script = rounds.iter().rev().map(|(found, _)| *found).collect();
        let script = Arc::new(Mutex::new(script));
        let task = keep_resolved(Arc::downgrade(&targets), Script(Arc::clone(&script)));
        let task = tokio::spawn(task);
        for (at, (found, known)) in rounds.iter().enumerate() {
            while script.lock().expect("no panic").len() >= rounds.len() - at {
                sleep(Duration::from_secs(1)).await;
            }
            if *found == "hangs" {
                sleep(LOOKUP_TIMEOUT).await;
            }
            assert_eq!(labels(&targets), *known, "after {found:?}");
        }
        drop(targets);
        task.await.expect("it ends with the targets");
    }

    #[test]
    fn one_family_counts_and_not_too_many() {
        let many = (0..100).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let v6 = SocketAddr::from(([0; 16], 1));
        assert_eq!(usable(many.clone().chain([v6]).collect()).len(), ADDRESSES_MAX);
        let turned = many.clone().skip(50).chain(many.clone().take(50)).collect();
        assert_eq!(usable(turned), usable(many.clone().collect()), "whichever comes first");
        assert_eq!(usable([v6].into_iter().chain(many).collect()), [v6]);
    }
}
