//! What the listeners for clients are made from: TLS, the PROXY protocol, the plain listener.
//!
//! Every mistake is reported at its key; what is only about to go wrong, such as a certificate
//! that ends, is a warning.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use shared_config::platform::{self, ClientCertificates};
use shared_config::{Diagnostic, Diagnostics, Loaded};
use tokio::sync::watch;

use super::serve::NotStarted;
use crate::clock::{Clock, Timestamp};
use crate::metric::Metrics;
use crate::server::proxy_protocol::ProxyProtocol;
use crate::server::redirect::{Challenges, Redirect, RedirectSettings};
use crate::server::tls::{ClientAuthorities, KeyPair, Tls, TlsSettings, TlsVersion};
use crate::server::{self, Entrance, Server, ServerFailed, ServerSettings};
use crate::upstream::{FailureRules, Protocol, Target, TargetSettings};

/// From so long before a certificate's end on, it is warned of.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// The listeners of a configuration.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// TLS of the main listener.
    pub(crate) tls: Option<TlsSettings>,
    /// Whose PROXY headers are believed, and how long one may take.
    pub(super) proxy_protocol: (Vec<IpNet>, Duration),
    /// The plain listener.
    pub(super) redirect: Option<(SocketAddr, RedirectSettings)>,
    /// What is not wrong yet.
    pub(super) warnings: Vec<Diagnostic>,
}

impl Listeners {
    /// Compiles the sections of `[server]` that are not about HTTP.
    ///
    /// # Errors
    ///
    /// Every error at once.
    pub(super) fn compile(loaded: &Loaded, clock: &Clock) -> Result<Self, Diagnostics> {
        let server = &loaded.platform.server;
        let mut report = Report { loaded, found: Vec::new(), warnings: Vec::new() };
        let tls = server.tls.as_ref().map(|tls| report.tls(tls, clock.wall()));
        let redirect = server.redirect.as_ref().map(|redirect| report.redirect(redirect));
        Diagnostics::none_or(report.found)?;
        // Never plain TCP in place of TLS, should a reason be missing.
        let tls = tls.map(|tls| tls.ok_or_else(|| Diagnostics::from_iter([]))).transpose()?;
        let from = server.proxy_protocol.from.iter().map(|network| network.get()).collect();
        Ok(Self {
            tls,
            proxy_protocol: (from, server.proxy_protocol.timeout.get()),
            redirect: redirect.flatten(),
            warnings: report.warnings,
        })
    }
}

/// The listeners for clients, bound.
#[derive(Debug)]
pub(super) struct Bound {
    /// The main one.
    pub(super) server: Server,
    /// The plain one beside it.
    pub(super) redirect: Option<(Server, RedirectSettings)>,
    /// TLS of the main one, for whoever reloads it.
    pub(super) tls: Option<Arc<Tls>>,
}

impl Listeners {
    /// Binds them, the main one at `address`; all with these settings.
    pub(super) fn bind(
        self,
        address: SocketAddr,
        settings: &ServerSettings,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<Bound, NotStarted> {
        for warning in &self.warnings {
            tracing::warn!(key = warning.key(), "{}", warning.reason());
        }
        let tls = self.tls.map(|tls| Tls::build(tls, clock.clone(), Arc::clone(metrics)));
        let tls = tls.transpose()?.map(Arc::new);
        let (from, timeout) = self.proxy_protocol;
        let proxy_protocol = || {
            let new = || ProxyProtocol::new(from.clone(), timeout, Arc::clone(metrics));
            (!from.is_empty()).then(new)
        };
        let server = Server::bind(address, settings.clone(), metrics)?
            .behind(Entrance { proxy_protocol: proxy_protocol(), tls: tls.clone() });
        let redirect = match self.redirect {
            Some((address, redirect)) => {
                // It answers with next to nothing: one core does.
                let settings = ServerSettings { cores: 1, ..settings.clone() };
                // A balancer in front of one port is in front of the other.
                let entrance = Entrance { proxy_protocol: proxy_protocol(), tls: None };
                Some((Server::bind(address, settings, metrics)?.behind(entrance), redirect))
            }
            None => None,
        };
        Ok(Bound { server, redirect, tls })
    }
}

/// Starts the plain listener; comes back with where it is.
pub(super) fn start_redirect(
    (server, settings): (Server, RedirectSettings),
    drains: &watch::Receiver<bool>,
) -> Result<(SocketAddr, server::Running), ServerFailed> {
    let address = server.local_addr();
    let running = server.start(move |_| Redirect::new(settings.clone()), drains)?;
    Ok((address, running))
}

/// The mistakes and warnings so far.
struct Report<'a> {
    loaded: &'a Loaded,
    found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Report<'_> {
    fn tls(&mut self, tls: &platform::Tls, now: Timestamp) -> Option<TlsSettings> {
        let pairs: Vec<Option<KeyPair>> = tls
            .certificates
            .iter()
            .enumerate()
            .map(|(at, pair)| self.pair(at, pair, now))
            .collect();
        let clients = match &tls.client_ca {
            Some(authorities) => Some(self.clients(authorities, tls.client_certificates)?),
            None => None,
        };
        let mut pairs = pairs.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
        Some(TlsSettings {
            default: pairs.next()?,
            others: pairs.collect(),
            oldest: match tls.versions_min {
                platform::TlsVersion::V12 => TlsVersion::V12,
                platform::TlsVersion::V13 => TlsVersion::V13,
            },
            clients,
            handshake_timeout: tls.handshake_timeout.get(),
            sessions_max: tls.sessions_max,
        })
    }

    fn pair(
        &mut self,
        at: usize,
        written: &platform::Certificate,
        now: Timestamp,
    ) -> Option<KeyPair> {
        let index = at.to_string();
        let path = |key| ["server", "tls", "certificates", &index, key];
        let file = written.certificate.name();
        let parsed = KeyPair::parse(file, written.certificate.text(), written.key.expose());
        let pair = match parsed {
            Ok(pair) => pair,
            Err(error) => {
                let key = if error.is_of_key() { "key" } else { "certificate" };
                let mistake = Diagnostic::at(self.loaded, &path(key), file, error.to_string());
                self.found.push(mistake);
                return None;
            }
        };
        if at > 0 && pair.names().is_empty() {
            let reason = "names no host, so no client is ever shown it; only the first may";
            self.found.push(Diagnostic::at(self.loaded, &path("certificate"), file, reason));
        }
        if let Some(reason) = time_warning(&pair, now) {
            self.warnings.push(Diagnostic::at(self.loaded, &path("certificate"), file, reason));
        }
        Some(pair)
    }

    fn clients(
        &mut self,
        authorities: &shared_config::TextFile,
        asked: ClientCertificates,
    ) -> Option<ClientAuthorities> {
        let is_required = asked == ClientCertificates::Required;
        let parsed = ClientAuthorities::parse(authorities.text(), is_required);
        let path = ["server", "tls", "client_ca"];
        parsed
            .map_err(|error| {
                let name = authorities.name();
                self.found.push(Diagnostic::at(self.loaded, &path, name, error.to_string()));
            })
            .ok()
    }

    fn redirect(
        &mut self,
        redirect: &platform::PlainListener,
    ) -> Option<(SocketAddr, RedirectSettings)> {
        let challenges = match (&redirect.acme_directory, &redirect.acme_url) {
            (Some(folder), _) => Challenges::Directory(PathBuf::from(folder)),
            (None, Some(url)) => {
                let target = Target::parse("acme", url, self.acme_settings());
                let path = ["server", "redirect", "acme_url"];
                let noted = target.map_err(|error| {
                    self.found.push(Diagnostic::at(self.loaded, &path, &**url, error.to_string()));
                });
                Challenges::Forwarded(Arc::new(noted.ok()?))
            }
            (None, None) => Challenges::Redirected,
        };
        Some((redirect.listen, RedirectSettings { https_port: redirect.https_port, challenges }))
    }

    /// As any service that says nothing of its own.
    fn acme_settings(&self) -> TargetSettings {
        let upstream = &self.loaded.platform.upstream;
        TargetSettings {
            connect_timeout: upstream.connect_timeout.get(),
            response_timeout: upstream.response_timeout.get(),
            read_timeout: upstream.read_timeout.get(),
            write_timeout: upstream.write_timeout.get(),
            idle_timeout: upstream.idle_timeout.get(),
            idle_connections_max: upstream.idle_connections_max,
            requests_in_flight_max: upstream.requests_in_flight_max,
            head_size_max: upstream.head_size_max.as_usize(),
            body_size_max: upstream.body_size_max.as_usize(),
            failures: FailureRules::default(),
            slots: None,
            protocol: Protocol::Http1,
            tls: None,
            h2_streams_max: 1,
        }
    }
}

/// What clients will object to in a pair that is otherwise right.
fn time_warning(pair: &KeyPair, now: Timestamp) -> Option<String> {
    let (from, to) = (pair.not_before(), pair.not_after());
    if now > to {
        Some(format!("has expired on {to}: clients refuse it"))
    } else if now < from {
        Some(format!("holds from {from} on: clients refuse it until then"))
    } else if now.after(ENDS_SOON) > to {
        Some(format!("expires on {to}"))
    } else {
        None
    }
}
