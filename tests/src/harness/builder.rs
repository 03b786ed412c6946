//! What a test wants to differ from the sample.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use gateway_core::assertion::AssertionKey;
use gateway_core::auth::api_key::{ApiKey, Environment, KeyPrefix, Pepper};
use gateway_core::clock::{Clock, Timestamp};
use rand::RngExt as _;

use super::{GatewayUnderTest, Harness};
use crate::platform::{self, Running, Service, Settings};
use crate::verify::repository;

/// Builds a [`Harness`].
#[derive(Debug, Default)]
pub struct Builder {
    without: Vec<Service>,
    layers: Vec<(String, String)>,
    platform_layer: String,
    variables: BTreeMap<String, String>,
    has_manual_clock: bool,
    has_second_key: bool,
    has_ended_keys: bool,
}

impl Builder {
    /// Leaves a service out: nothing listens where it would.
    #[must_use]
    pub fn without(mut self, service: Service) -> Self {
        self.without.push(service);
        self
    }

    /// Adds TOML above everything else of one gateway's configuration.
    #[must_use]
    pub fn layer(mut self, gateway: &str, toml: &str) -> Self {
        self.layers.push((gateway.to_owned(), toml.to_owned()));
        self
    }

    /// Adds TOML to the platform; `{link}` is the port of link-service.
    #[must_use]
    pub fn platform_layer(mut self, toml: &str) -> Self {
        self.platform_layer = toml.to_owned();
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Time stands still until the test moves it.
    #[must_use]
    pub const fn manual_clock(mut self) -> Self {
        self.has_manual_clock = true;
        self
    }

    /// The pro partner has a second key.
    #[must_use]
    pub const fn second_key(mut self) -> Self {
        self.has_second_key = true;
        self
    }

    /// There are a revoked key and an expired one.
    #[must_use]
    pub const fn ended_keys(mut self) -> Self {
        self.has_ended_keys = true;
        self
    }

    /// Starts everything and logs user 4821 in, by token and by session.
    pub async fn start(mut self) -> Harness {
        let clock = if self.has_manual_clock {
            Clock::manual(Timestamp::from_unix_seconds(1_790_000_000))
        } else {
            Clock::system()
        };
        let secrets = self.make_secrets();
        let services = self.start_services(&clock).await;
        let directory = tempfile::tempdir().expect("a folder");
        let keys = self.write_configuration(directory.path(), &services);
        let (web, mobile, partner) = {
            let start = |gateway| {
                GatewayUnderTest::start(gateway, directory.path(), &self.variables, &clock)
            };
            (
                start(&web_bff::app::WebBff),
                start(&mobile_bff::app::MobileBff),
                start(&partner_gateway::app::PartnerGateway),
            )
        };
        let client = super::client::client();
        let mut harness = Harness {
            web,
            mobile,
            partner,
            client,
            token: String::new(),
            session: String::new(),
            services,
            keys,
            secrets,
            variables: self.variables.clone(),
            clock,
            directory,
        };
        if !self.without.contains(&Service::User) {
            harness.mobile.until_ready(&harness.client).await;
        }
        harness.log_in_everywhere().await;
        harness
    }

    fn make_secrets(&mut self) -> Vec<String> {
        let names = Service::ALL.map(Service::key_variable).into_iter();
        for name in names.chain(["PARTNER_GATEWAY_PEPPER".to_owned()]) {
            self.variables.insert(name, format!("{:064x}", rand::rng().random::<u128>()));
        }
        self.variables.values().cloned().collect()
    }

    async fn start_services(&self, clock: &Clock) -> Vec<(Service, Running)> {
        let mut services = Vec::new();
        for service in Service::ALL {
            if self.without.contains(&service) {
                continue;
            }
            let key = AssertionKey::build(self.variables[&service.key_variable()].as_bytes());
            let settings = Settings {
                keys: vec![key.expect("long enough")],
                clock: clock.clone(),
                logs_to_stdout: false,
                takes_faults: false,
            };
            let running = platform::start(service, 0, settings).await.expect("a free port");
            services.push((service, running));
        }
        services
    }

    /// The sample's files, and above them a layer with ports, keys and what the test wants.
    fn write_configuration(
        &self,
        directory: &Path,
        services: &[(Service, Running)],
    ) -> Vec<(&'static str, String)> {
        let sample = repository().join("config");
        for name in ["platform.toml", "web-bff.toml", "mobile-bff.toml", "partner-gateway.toml"] {
            fs::copy(sample.join(name), directory.join(name)).expect("copied");
        }
        let link = services.iter().find(|(service, _)| *service == Service::Link);
        let port = link.map_or(1, |(_, running)| running.port());
        let sixth = self.platform_layer.replace("{link}", &port.to_string());
        fs::create_dir(directory.join("platform.d")).expect("made");
        fs::write(directory.join("platform.d/50-test.toml"), sixth).expect("written");
        let (keys, records) = self.issue_keys();
        for gateway in ["web-bff", "mobile-bff", "partner-gateway"] {
            let mut layer = layer(gateway, services);
            if gateway == "partner-gateway" {
                layer.push_str(&records);
            }
            let own = self.layers.iter().filter(|(name, _)| name == gateway);
            let own: String = own.map(|(_, toml)| toml.as_str()).collect();
            let merged = merged(&layer, &own);
            fs::write(directory.join(format!("{gateway}.test.toml")), merged).expect("written");
        }
        keys
    }

    fn issue_keys(&self) -> (Vec<(&'static str, String)>, String) {
        let pepper = self.variables["PARTNER_GATEWAY_PEPPER"].as_bytes();
        let pepper = Pepper::build(pepper).expect("long enough");
        let prefix = KeyPrefix::parse("plk").expect("a prefix");
        let mut keys = Vec::new();
        let mut records = String::new();
        for (name, partner, tier, more) in [
            ("free", "initech", "free", ""),
            ("pro", "globex", "pro", ""),
            ("partner", "acme", "partner", ""),
            ("second", "globex", "pro", ""),
            ("revoked", "acme", "partner", "revoked = true\n"),
            ("expired", "acme", "partner", "expires_at = 1_600_000_000\n"),
            // Ten minutes after a manual clock's start.
            ("expiring", "acme", "partner", "expires_at = 1_790_000_600\n"),
        ] {
            let is_ended = !more.is_empty();
            if (name == "second" && !self.has_second_key) || (is_ended && !self.has_ended_keys) {
                continue;
            }
            let key = ApiKey::generate(&prefix, Environment::Test);
            let digest = pepper.digest(&key).0;
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = write!(
                records,
                "\n[[keys]]\nid = \"key_{name}\"\npartner = \"{partner}\"\ntier = \"{tier}\"\n\
                 digest = \"{digest}\"\n{more}"
            );
            keys.push((name, key.expose().to_owned()));
        }
        (keys, records)
    }
}

/// Ports of this run. A service that was left out is where nothing listens.
fn layer(gateway: &str, services: &[(Service, Running)]) -> String {
    let mut text = "[log]\nlevel = \"error,gateway_core=debug,web_bff=debug\"\n\n[server]\nlisten = \"127.0.0.1:0\"\ncores = 1\n\n\
                    [admin]\nlisten = \"127.0.0.1:0\"\n\n[reload]\nwatch = false\n"
        .to_owned();
    let url_of = |service| {
        let running = services.iter().find(|(known, _)| *known == service);
        running.map_or_else(|| "http://127.0.0.1:1".to_owned(), |(_, running)| running.url())
    };
    for service in Service::ALL {
        let (name, url) = (service.name(), url_of(service));
        let _ = write!(text, "\n[services.{name}]\nurl = \"{url}\"\n");
    }
    if gateway == "mobile-bff" {
        let url = url_of(Service::User);
        let _ = write!(
            text,
            "\n[auth.jwt.issuers.user-service]\njwks_url = \"{url}/.well-known/jwks.json\"\n"
        );
    }
    text
}

/// Two texts of TOML as one: a table that both have is written once.
fn merged(lower: &str, upper: &str) -> String {
    let mut lower: toml_edit::DocumentMut = lower.parse().expect("TOML");
    let upper: toml_edit::DocumentMut = upper.parse().expect("TOML");
    merge(lower.as_table_mut(), upper.as_table());
    lower.to_string()
}

fn merge(lower: &mut toml_edit::Table, upper: &toml_edit::Table) {
    for (key, item) in upper {
        match (lower.get_mut(key).and_then(toml_edit::Item::as_table_mut), item.as_table()) {
            (Some(lower), Some(upper)) => merge(lower, upper),
            _ => drop(lower.insert(key, item.clone())),
        }
    }
}
