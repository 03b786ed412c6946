//! What is written for the gateways: a copy of `config/`, and a layer `<gateway>.demo.toml` with
//! the demo's ports and keys. Secrets go to the processes by their environment, never to a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gateway_core::auth::api_key::{ApiKey, Environment, KeyPrefix, Pepper};
use rand::RngExt as _;

use super::layout::{DemoGateway, Layout};
use super::options::Options;
use crate::authority::Authority;
use crate::platform::Service;
use crate::verify::repository;

/// Tiers of the demo's partners, each with the partner it is issued to.
pub(super) const TIERS: [(&str, &str); 3] =
    [("free", "initech"), ("pro", "globex"), ("partner", "acme")];

/// The configuration of one run.
#[derive(Debug)]
pub(super) struct Configuration {
    /// Where the files are.
    pub(super) directory: PathBuf,
    /// The processes' environment: the secrets.
    pub(super) environment: BTreeMap<String, String>,
    /// The partners' keys by tier.
    pub(super) keys: BTreeMap<&'static str, String>,
    /// The file with the certificate of the authority that the gateways' are of, if they speak TLS.
    pub(super) authority: Option<PathBuf>,
}

/// The variable with the key of the gateways' certificate.
const TLS_KEY: &str = "DEMO_TLS_KEY";

/// One certificate for all three.
const TLS: &str = "\n[[server.tls.certificates]]\ncertificate = \"server.pem\"\n\
                   key = { env = \"DEMO_TLS_KEY\" }\n";

/// The sample's limits, charged as ever, at rates that nobody reaches.
const UNLIMITED: &str = r#"
[limits]
consumer.rate = { free = "1000000/s", pro = "1000000/s", partner = "1000000/s" }
address.rate = "1000000/s"
anonymous.rate = "1000000/s"
links-write.rate = "1000000/s"
links-read.rate = "1000000/s"
login.rate = "1000000/s"
refresh.rate = "1000000/s"
"#;

impl Configuration {
    pub(super) fn write(layout: &Layout, options: &Options) -> Result<Self> {
        let directory = repository().join(format!("target/demo/{}", layout.port(DemoGateway::Web)));
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let pepper = random_hex();
        let mut environment =
            BTreeMap::from([("PARTNER_GATEWAY_PEPPER".to_owned(), pepper.clone())]);
        for service in Service::ALL {
            environment.insert(service.key_variable(), random_hex());
        }
        let pepper = Pepper::build(pepper.as_bytes())?;
        let (keys, records) = issue(&pepper, &KeyPrefix::parse("plk")?);
        let config = repository().join("config");
        copy(&config.join("platform.toml"), &directory.join("platform.toml"))?;
        let authority = options.tls.then(|| issue_tls(&directory, &mut environment)).transpose()?;
        for &gateway in layout.gateways() {
            let own = directory.join(format!("{}.toml", gateway.name()));
            copy(&config.join(gateway.file()), &own)?;
            let mut layer = layer(*layout, gateway);
            if gateway == DemoGateway::Partner {
                layer.push_str(&records);
            }
            if options.tls {
                layer.push_str(TLS);
            }
            if options.unlimited {
                layer.push_str(UNLIMITED);
            }
            let file = directory.join(format!("{}.demo.toml", gateway.name()));
            fs::write(&file, layer).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Self { directory, environment, keys, authority })
    }
}

/// Makes an authority and a certificate of it. Only certificates are written: the authority's key
/// is forgotten here, the other goes to the gateways.
fn issue_tls(directory: &Path, environment: &mut BTreeMap<String, String>) -> Result<PathBuf> {
    let authority = Authority::new("throw-away authority of a demo")?;
    let issued = authority.issue_server(&["localhost", "127.0.0.1", "::1"])?;
    environment.insert(TLS_KEY.to_owned(), issued.key);
    let file = directory.join("ca.pem");
    for (file, text) in
        [(&file, &authority.pem), (&directory.join("server.pem"), &issued.certificate)]
    {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(file)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

fn layer(layout: Layout, gateway: DemoGateway) -> String {
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:{}\"\n\n[admin]\nlisten = \"127.0.0.1:{}\"\n",
        layout.port(gateway),
        layout.admin_port(gateway),
    );
    for service in Service::ALL {
        let (name, url) = (service.name(), layout.service_url(service));
        let _ = write!(text, "\n[services.{name}]\nurl = \"{url}\"\n");
    }
    if gateway.takes_tokens() {
        let url = layout.service_url(Service::User);
        let _ = write!(
            text,
            "\n[auth.jwt.issuers.user-service]\njwks_url = \"{url}/.well-known/jwks.json\"\n"
        );
    }
    text
}

/// One key for each tier, and the records of their digests.
fn issue(pepper: &Pepper, prefix: &KeyPrefix) -> (BTreeMap<&'static str, String>, String) {
    let mut keys = BTreeMap::new();
    let mut records = String::new();
    for (tier, partner) in TIERS {
        let key = ApiKey::generate(prefix, Environment::Test);
        let digest: String =
            pepper.digest(&key).0.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = write!(
            records,
            "\n[[keys]]\nid = \"key_demo_{tier}\"\npartner = \"{partner}\"\ntier = \"{tier}\"\n\
             digest = \"{digest}\"\n"
        );
        keys.insert(tier, key.expose().to_owned());
    }
    (keys, records)
}

fn random_hex() -> String {
    format!("{:032x}{:032x}", rand::rng().random::<u128>(), rand::rng().random::<u128>())
}
