//! The harness: a platform and its three gateways for one test, on free ports, in this process.
//!
//! Read in this order: [`Builder`] says what differs from the sample, [`Harness`] is what runs,
//! [`GatewayUnderTest`] one gateway with its lines.
//!
//! When a test ends, everything that was written down is searched for credentials; a test that
//! leaks one fails, whatever it was about.

mod builder;
mod client;
mod collector;
mod gateway;
mod leaks;
mod load;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gateway_core::auth::api_key::{ApiKey, Environment, KeyPrefix};
use gateway_core::clock::{Clock, Timestamp};
use serde_json::{Value, json};

pub use self::builder::Builder;
pub use self::client::{JsonBody, Request, client, field, json_of, part_status};
pub use self::collector::{Collector, ReceivedSpan, Refusal as CollectorRefusal};
pub use self::gateway::GatewayUnderTest;
pub use self::load::Load;
pub use self::wire::{Origin, Wire};
use crate::platform::user::{DEMO_EMAIL, DEMO_PASSWORD};
use crate::platform::{Fault, Running, SeenRequest, Service};

/// The session cookie's name in the sample's configuration.
pub const COOKIE: &str = "__Host-Http-sid";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A platform with its gateways.
#[derive(Debug)]
pub struct Harness {
    /// The browser's gateway.
    pub web: GatewayUnderTest,
    /// The apps' gateway.
    pub mobile: GatewayUnderTest,
    /// The integrators' gateway.
    pub partner: GatewayUnderTest,
    /// A client without cookies, proxies or redirects.
    pub client: reqwest::Client,
    /// An access token of user 4821; empty without a user service.
    pub token: String,
    /// A session id of user 4821; empty without a user service.
    pub session: String,
    services: Vec<(Service, Running)>,
    keys: Vec<(&'static str, String)>,
    secrets: Vec<String>,
    variables: BTreeMap<String, String>,
    clock: Clock,
    directory: tempfile::TempDir,
}

impl Harness {
    /// The sample as it is.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// The sample with differences.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn log_in_everywhere(&mut self) {
        if self.service(Service::User).is_none() {
            return;
        }
        self.token = self.log_in(DEMO_EMAIL).await;
        self.begin_session().await;
    }

    /// Logs user 4821's browser in; [`Harness::session`] is the new one.
    pub async fn begin_session(&mut self) {
        let answer = self.web_log_in().await;
        let cookie = answer.headers()["set-cookie"].to_str().expect("ASCII");
        let id = cookie.split([';', '=']).nth(1).expect("a value");
        self.session = id.to_owned();
    }

    /// An access token of a sample user.
    pub async fn log_in(&self, email: &str) -> String {
        let body = json!({ "email": email, "password": DEMO_PASSWORD });
        let answer = self.mobile.post("/auth/login").json_body(&body).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "login of {email}");
        json_of(answer).await["access_token"].as_str().expect("a token").to_owned()
    }

    /// What logs user 4821 in.
    #[must_use]
    pub fn login_body(&self) -> Value {
        json!({ "email": DEMO_EMAIL, "password": DEMO_PASSWORD })
    }

    /// A login of user 4821 at the browser's gateway.
    pub async fn web_log_in(&self) -> reqwest::Response {
        let request = self.web.post("/auth/login").json_body(&self.login_body());
        request.send().await.expect("an answer")
    }

    /// The claims of [`Harness::token`].
    #[must_use]
    pub fn claims(&self) -> Value {
        let payload = self.token.split('.').nth(1).expect("three segments");
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// `GET` as user 4821's app.
    pub async fn mobile_get(&self, path: &str) -> reqwest::Response {
        let request = self.mobile.get(path).bearer_auth(&self.token);
        request.send().await.expect("an answer")
    }

    /// `GET` as a partner of that tier.
    pub async fn partner_get(&self, path: &str, tier: &str) -> reqwest::Response {
        let request = self.partner.get(path).bearer_auth(self.key(tier));
        request.send().await.expect("an answer")
    }

    /// `GET` as user 4821's browser.
    pub async fn web_get(&self, path: &str) -> reqwest::Response {
        self.web_send("GET", path, &[]).await
    }

    /// Any request as user 4821's browser.
    pub async fn web_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = self.web.request(method, path).header("Cookie", self.cookie());
        request = request.header("X-CSRF", "1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }

    /// The cookie of [`Harness::session`].
    #[must_use]
    pub fn cookie(&self) -> String {
        format!("{COOKIE}={}", self.session)
    }

    /// A partner's key by its tier; `second` is another key of the pro partner's.
    #[must_use]
    pub fn key(&self, tier: &str) -> String {
        let key = self.keys.iter().find(|(known, _)| *known == tier);
        key.expect("a tier of the harness").1.clone()
    }

    /// Every secret the platform was started with.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    fn service(&self, service: Service) -> Option<&Running> {
        self.services.iter().find(|(known, _)| *known == service).map(|(_, running)| running)
    }

    fn running(&self, service: Service) -> &Running {
        self.service(service).expect("the service runs in this test")
    }

    fn running_mut(&mut self, service: Service) -> &mut Running {
        let running = self.services.iter_mut().find(|(known, _)| *known == service);
        running.map(|(_, running)| running).expect("the service runs in this test")
    }

    /// Where a service listens.
    #[must_use]
    pub fn service_url(&self, service: Service) -> String {
        self.running(service).url()
    }

    /// How many requests a service has had, other than for keys.
    #[must_use]
    pub fn calls(&self, service: Service) -> usize {
        self.running(service).calls()
    }

    /// How many requests a service has had for a path.
    #[must_use]
    pub fn calls_of(&self, service: Service, path: &str) -> usize {
        self.running(service).calls_of(path)
    }

    /// The last request a service has had.
    #[must_use]
    pub fn last_request(&self, service: Service) -> SeenRequest {
        self.running(service).last_request().expect("the service was called")
    }

    /// The lines a service has written.
    #[must_use]
    pub fn service_lines(&self, service: Service) -> Vec<Value> {
        self.running(service).lines()
    }

    /// Waits until a service has had more requests than `before`.
    pub async fn until_called(&self, service: Service, before: usize) {
        let called = tokio::time::timeout(PATIENCE, self.running(service).called_since(before));
        assert!(called.await.is_ok(), "{} is not called", service.name());
    }

    /// How many calls a service has seen given up before their end.
    #[must_use]
    pub fn given_up(&self, service: Service) -> usize {
        self.running(service).given_up()
    }

    /// Waits until a service has seen so many calls given up.
    pub async fn until_given_up(&self, service: Service, count: usize) {
        let given_up = tokio::time::timeout(PATIENCE, self.running(service).until_given_up(count));
        assert!(given_up.await.is_ok(), "{} still answers who has left", service.name());
    }

    /// Bytes of answers' bodies that a service has sent.
    #[must_use]
    pub fn bytes_sent(&self, service: Service) -> u64 {
        self.running(service).bytes_sent()
    }

    /// Lets those calls go on that a fault with `hold` keeps waiting.
    pub fn release(&self, service: Service) {
        self.running(service).release();
    }

    /// Ends a service: from now on nothing listens where it did.
    pub fn stop(&mut self, service: Service) {
        self.services.retain(|(known, _)| *known != service);
    }

    /// Kills a service: it hangs up on everybody, and nothing listens where it did until
    /// [`Harness::come_back`].
    pub async fn kill(&mut self, service: Service) {
        self.running_mut(service).kill().await;
    }

    /// Has a service that was killed listen again where it did, with all that it knew.
    pub async fn come_back(&mut self, service: Service) {
        let running = self.running_mut(service);
        // A connection of some other program's may have the port for a moment.
        let listening = async {
            while running.come_back().await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("its port");
    }

    /// Whether a service answers nothing for now, and lets everybody wait.
    pub fn pause(&self, service: Service, is_paused: bool) {
        self.running(service).pause(is_paused);
    }

    /// Connections that a service has now.
    #[must_use]
    pub fn connections(&self, service: Service) -> usize {
        self.running(service).connections()
    }

    /// Hangs up: whatever connections the harness's own clients keep end.
    pub fn hang_up(&mut self) {
        self.client = client();
        for gateway in [&mut self.web, &mut self.mobile, &mut self.partner] {
            gateway.hang_up();
        }
    }

    /// Makes a service's next requests fail; JSON of a [`Fault`].
    pub fn fault(&self, service: Service, fault: &str) {
        let fault: Fault = serde_json::from_str(fault).expect("a fault");
        self.running(service).fault(fault);
    }

    /// Ends a service's faults.
    pub fn heal(&self, service: Service) {
        self.running(service).heal();
    }

    /// The user service signs new tokens with a new key.
    pub fn rotate_keys(&self) {
        self.running(Service::User).rotate_keys();
    }

    /// The folder that the gateways have read their configuration from.
    #[must_use]
    pub fn configuration(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The variables of the environment that its secrets stand in.
    #[must_use]
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Changes one file of the configuration; an empty text where there is none yet.
    pub fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.directory.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // Saved as editors do: beside it, and then in its place.
        let beside = path.with_extension("saved");
        std::fs::write(&beside, change(text)).expect("written");
        std::fs::rename(&beside, &path).expect("renamed");
    }

    /// Sets the manual clock of the gateways and services so far back, as an operator or NTP may do.
    pub fn set_back(&self, length: Duration) {
        let now = self.clock.wall().unix_seconds();
        self.clock.set_wall(Timestamp::from_unix_seconds(now - length.as_secs()));
    }

    /// Moves the manual clock of the gateways and services.
    pub fn advance(&self, length: Duration) {
        self.clock.advance(length);
    }
}

/// Whatever a test was about: what it has made everybody write down must hold no credential.
impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut known: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        known.extend(self.keys.iter().map(|(_, key)| key.as_str()));
        known.extend([self.token.as_str(), self.session.as_str(), DEMO_PASSWORD]);
        known.retain(|secret| secret.len() >= 16);
        let gateways = [&self.web, &self.mobile, &self.partner];
        let written = gateways.map(|gateway| (gateway.name, gateway.text()));
        let services = self.services.iter();
        let services =
            services.map(|(service, running)| (service.name(), format!("{:?}", running.lines())));
        for (who, text) in written.into_iter().chain(services) {
            leaks::check(who, &text, &known);
        }
    }
}

/// A program of this workspace, beside the tests' own; built first where it is not yet.
#[must_use]
pub fn program(name: &str) -> std::path::PathBuf {
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(["build", "--quiet", "--locked", "--workspace", "--bins", "--examples"]);
        let status = cargo.current_dir(crate::verify::repository()).status();
        assert!(status.is_ok_and(|status| status.success()), "the programs cannot be built");
    });
    let test = std::env::current_exe().expect("this program");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    profile.join(name)
}

/// A token of the right shape that nobody has signed.
#[must_use]
pub fn unknown_token() -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "ES256", "typ": "at+jwt", "kid": "key-00000000" }));
    let claims = part(json!({
        "iss": "https://users.example.com", "aud": "https://api.example.com", "sub": "4821",
        "user_id": 4821, "iat": 1_700_000_000, "exp": 4_000_000_000_u64,
    }));
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode([7_u8; 64]))
}

/// A key of the right shape that nobody was issued.
#[must_use]
pub fn unknown_key() -> String {
    let prefix = KeyPrefix::parse("plk").expect("a prefix");
    ApiKey::generate(&prefix, Environment::Live).expose().to_owned()
}
