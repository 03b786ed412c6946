//! What is configured beside the sample's, a key and its value on each line.
//!
//! Not here: what no key turns off, which every gateway of the benchmark has.

use std::net::SocketAddr;

/// The gateway that all others are compared with.
pub(super) const BASE: &str = "nothing more";

/// The gateway with every feature that can stand beside the others.
pub(super) const TOGETHER: &str = "all of the above";

/// One row of the table.
#[derive(Debug, Clone)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    lines: String,
}

/// Where the services are that features speak of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Services {
    pub(super) first: SocketAddr,
    pub(super) second: SocketAddr,
}

/// Each has nothing to do for a GET that is answered well and in time; all can stand together.
const FEATURES: [(&str, &str); 17] = [
    ("retries", "policy.retry.attempts_max = 3"),
    (
        "adaptive concurrency",
        "upstream.concurrency.latency_max = \"1s\"\ngateway.tier_priority = { free = \"batch\" }",
    ),
    ("time left, told to services", "upstream.time_left_header = \"X-Time-Left-Ms\""),
    (
        "two targets, least request",
        "services.link-service.targets = [{ url = \"http://{first}\" }, { url = \"http://{second}\" }]",
    ),
    ("health checks", "services.link-service.health = { path = \"/healthz\" }"),
    ("connections per target, with a line", "upstream.connections_max = 256"),
    (
        "a canary at 0 %",
        "services.link-service.canary = { service = \"next\", percent = 0, header = \"X-Canary\" }\n\
         services.next.url = \"http://{second}\"",
    ),
    ("traces, not sampled", "traces.endpoint = \"http://{second}/v1/traces\"\ntraces.ratio = 0.0"),
    ("load shedding by lag", "server.lag_max = \"1s\""),
    (
        "rules that hold",
        "policy.require = \"tier != 'suspended'\"\n\
         routes.links-get.require = \"role in ['editor', 'admin'] and not tenant == 'demo'\"",
    ),
    (
        "address lists that allow",
        "server.allow = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\nserver.deny = [\"192.0.2.0/24\"]",
    ),
    ("trusted proxies, others", "server.trusted_proxies = [\"192.0.2.1\"]"),
    ("PROXY protocol, from others", "server.proxy_protocol.from = [\"192.0.2.1\"]"),
    ("CORS, no page calls", "cors.origins = [\"https://app.example.com\"]"),
    ("a route for WebSockets", "routes.links-get.websocket = true"),
    ("a bound for bodies, none sent", "routes.links-get.body_size_max = \"64KiB\""),
    (
        "a schema for bodies, none sent",
        "routes.links-get.body_schema.schema = { type = \"object\" }",
    ),
];

/// What cannot stand beside the above: the same otherwise, and what is on unless it is turned off.
const OTHERWISE: [(&str, &str); 4] = [
    (
        "retries, a time for each attempt",
        "policy.retry.attempts_max = 3\npolicy.retry.per_try_timeout = \"1s\"",
    ),
    (
        "two targets, round robin",
        "services.link-service.targets = [{ url = \"http://{first}\" }, { url = \"http://{second}\" }]\n\
         upstream.balance = \"round_robin\"",
    ),
    ("without breaker", "upstream.breaker.enabled = false"),
    (
        "without breaker and ejection",
        "upstream.breaker.enabled = false\nupstream.ejection.enabled = false",
    ),
];

/// In the order of the table.
pub(super) fn all() -> Vec<Feature> {
    let feature = |(name, lines): (_, &str)| Feature { name, lines: lines.to_owned() };
    let together = FEATURES.map(|(_, lines)| lines).join("\n");
    let mut all = vec![feature((BASE, ""))];
    all.extend(FEATURES.map(feature));
    all.push(feature((TOGETHER, &together)));
    all.extend(OTHERWISE.map(feature));
    all
}

impl Feature {
    /// What a gateway reads.
    pub(super) fn configuration(&self, services: Services) -> String {
        let Services { first, second } = services;
        self.lines.replace("{first}", &first.to_string()).replace("{second}", &second.to_string())
    }

    /// What is set, without the values.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.lines.lines().filter_map(|line| Some(line.split_once(" = ")?.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_stands_together_sets_no_key_twice() {
        let all = all();
        let together = all.iter().find(|feature| feature.name == TOGETHER);
        let keys: Vec<&str> = together.expect("a row").keys().collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{keys:?}");
        assert!(keys.len() > FEATURES.len());
    }

    #[test]
    fn each_feature_has_a_name_of_its_own_and_is_filled_in() {
        let names: BTreeSet<&str> = all().iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), all().len());
        let here = |port| ([127, 0, 0, 1], port).into();
        let services = Services { first: here(1), second: here(2) };
        for feature in all() {
            let text = feature.configuration(services);
            assert!(!text.contains("{first}") && !text.contains("{second}"), "{text}");
        }
    }
}
