//! The sample platform: the five services of a URL shortener, seeded and in memory.
//!
//! Each verifies the assertion, authorises for itself (a user sees only what is theirs), and has
//! faults that tests set. Tests run them in their own process on free ports, the demo as processes.
//!
//! Read in this order: [`Service`] names them, [`start`] runs one, `front` is what every request
//! passes first, then one file for each service.
//!
//! Not here: anything a gateway does.

pub mod analytics;
pub mod billing;
mod caller;
mod fault;
mod front;
pub mod link;
mod unfinished;
pub mod user;
pub mod webhook;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use gateway_core::assertion::{AssertionKey, Verifier};
use gateway_core::clock::Clock;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use self::caller::Caller;
pub use self::fault::Fault;
use self::front::Front;
pub use self::front::SeenRequest;

/// One of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Short links.
    Link,
    /// Their clicks.
    Analytics,
    /// Users and their tokens.
    User,
    /// What is used and paid for, in XML.
    Billing,
    /// Users' subscriptions to events.
    Webhook,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Link, Self::Analytics, Self::User, Self::Billing, Self::Webhook];

    /// Its name on the platform.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link-service",
            Self::Analytics => "analytics-service",
            Self::User => "user-service",
            Self::Billing => "billing-service",
            Self::Webhook => "webhook-service",
        }
    }

    /// Where it listens unless told otherwise.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Link => 8080,
            Self::Analytics => 8081,
            Self::User => 8082,
            Self::Billing => 8083,
            Self::Webhook => 8084,
        }
    }

    /// The variable with the key it shares with the gateways.
    #[must_use]
    pub fn key_variable(self) -> String {
        format!("{}_ASSERTION_KEY", self.name().replace('-', "_").to_uppercase())
    }

    /// The service of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

/// How a service runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The keys it shares with the gateways; two while they rotate.
    pub keys: Vec<AssertionKey>,
    /// The time.
    pub clock: Clock,
    /// Whether its lines go to standard output, and not to memory.
    pub logs_to_stdout: bool,
    /// Whether `POST /faults` sets faults.
    pub takes_faults: bool,
}

/// A service that runs in this process. It stops when it is dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    front: Arc<Front>,
    issuer: Option<Arc<user::Issuer>>,
    router: Router,
    tasks: JoinSet<()>,
}

/// Starts a service on 127.0.0.1; port 0 takes a free one.
///
/// # Errors
///
/// When the port is taken.
pub async fn start(service: Service, port: u16, settings: Settings) -> Result<Running> {
    start_as(service.name(), service, port, settings).await
}

/// Starts what does `service`'s work under another name.
///
/// # Errors
///
/// When the port is taken.
pub async fn start_as(
    name: &str,
    service: Service,
    port: u16,
    settings: Settings,
) -> Result<Running> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("port {port} for {name} is taken"))?;
    let address = listener.local_addr()?;
    let mut issuer = None;
    let router = match service {
        Service::Link => link::router(),
        Service::Analytics => analytics::router(),
        Service::User => {
            let made = Arc::new(user::Issuer::new(settings.clock.clone())?);
            issuer = Some(Arc::clone(&made));
            user::router(made)
        }
        Service::Billing => billing::router(),
        Service::Webhook => webhook::router(),
    };
    let verifier = Verifier::new(name, settings.keys.clone());
    let front = Arc::new(Front::new(service, verifier, &settings));
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, Arc::clone(&front), router.clone()));
    Ok(Running { address, front, issuer, router, tasks })
}

async fn accept(listener: TcpListener, front: Arc<Front>, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let counted = front.connect();
        let (front, router) = (Arc::clone(&front), router.clone());
        let serve = hyper::service::service_fn(move |request| {
            let (front, router) = (Arc::clone(&front), router.clone());
            async move { front.serve(router, request).await }
        });
        connections.spawn(async move {
            let _counted = counted;
            let _ = stream.set_nodelay(true);
            let connection = hyper::server::conn::http1::Builder::new();
            // A fault ends it with an error: the connection breaks without an answer.
            let _ = connection.serve_connection(TokioIo::new(stream), serve).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Running {
    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many requests came, other than for health, faults and keys.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.front.calls()
    }

    /// How many requests came for a path.
    #[must_use]
    pub fn calls_of(&self, path: &str) -> usize {
        self.front.calls_of(path)
    }

    /// The last request that counts as a call.
    #[must_use]
    pub fn last_request(&self) -> Option<SeenRequest> {
        self.front.last_request()
    }

    /// What it has written down.
    #[must_use]
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.front.lines()
    }

    /// Makes the next requests fail.
    pub fn fault(&self, fault: Fault) {
        self.front.fault(fault);
    }

    /// Requests are answered as usual again.
    pub fn heal(&self) {
        self.front.heal();
    }

    /// It dies: whoever is connected is hung up on, and nothing listens any more.
    pub async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    /// It lives again, where it was and with what it knew; nothing changes when it did not die.
    ///
    /// # Errors
    ///
    /// When somebody else has its port.
    pub async fn come_back(&mut self) -> std::io::Result<()> {
        if self.tasks.is_empty() {
            let listener = TcpListener::bind(self.address).await?;
            self.tasks.spawn(accept(listener, Arc::clone(&self.front), self.router.clone()));
        }
        Ok(())
    }

    /// Whether it answers nothing for now, and lets everybody wait.
    pub fn pause(&self, is_paused: bool) {
        self.front.pause(is_paused);
    }

    /// Connections that it has now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.front.connections()
    }

    /// New tokens get a new key; the old one stays published.
    pub fn rotate_keys(&self) {
        if let Some(issuer) = &self.issuer {
            issuer.rotate();
        }
    }

    /// Resolves once more calls have come than `before`.
    pub async fn called_since(&self, before: usize) {
        self.front.called_since(before).await;
    }

    /// Lets those go on whom a fault with `hold` keeps waiting, now and from now on.
    pub fn release(&self) {
        self.front.release();
    }

    /// How many calls were given up: the caller left before the answer was made, or sent whole.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.front.tally().given_up()
    }

    /// Resolves once so many calls were given up.
    pub async fn until_given_up(&self, count: usize) {
        self.front.tally().until_given_up(count).await;
    }

    /// Bytes of answers' bodies that it has written so far, or handed to its connections.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.front.tally().bytes_sent()
    }
}
