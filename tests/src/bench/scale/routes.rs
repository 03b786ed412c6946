//! Ten thousand routes beside ten: what a request costs must not depend on it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::bench::costs::{Costs, OURS};
use crate::bench::gateway::Gateway;
use crate::bench::proxies::{self, Proxy, request};
use crate::bench::report::Section;
use crate::bench::rounds::Pace;

pub(super) const FEW: usize = 10;
const MANY: usize = 10_000;

/// So many routes, beside the sample's.
pub(super) fn configuration(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let _ = write!(
            text,
            "[routes.more-{number}]\nmatch = \"GET /more/{number}/{{id}}\"\nservice = \"link-service\"\n\
             rewrite = \"/links/{{id}}\"\n"
        );
    }
    text
}

pub(super) async fn section(pace: Pace, directory: &Path, upstream: SocketAddr) -> Result<Section> {
    let (mut gateways, mut processes, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for (name, count) in [("10,000 routes", MANY), (OURS, FEW)] {
        let home = directory.join(count.to_string());
        std::fs::create_dir(&home)?;
        let gateway = Gateway::configure(&home, upstream, &configuration(count)).await?;
        let process = gateway.start()?;
        let token = gateway.log_in().await?;
        let last = format!("/more/{}/x7Kp2", count - 1);
        peers.push(Proxy::new(name, &process, gateway.address).asked(request(&last, &token)));
        processes.push(process);
        gateways.push(gateway);
    }
    let rounds = pace.measure("routes, round", &mut peers).await?;
    proxies::end(processes, &peers)?;
    let table = Costs { unit: "request", goals: &[] }.section("routes", &rounds);
    let text = format!(
        "Ten thousand routes beside ten (`{OURS}`), the last one called:\n\n{}",
        table.text
    );
    Ok(Section { text, ..table })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_a_name_and_a_path_of_its_own() {
        let text = configuration(3);
        assert_eq!(text.matches("[routes.more-").count(), 3);
        assert!(text.contains("match = \"GET /more/2/{id}\""), "{text}");
    }
}
