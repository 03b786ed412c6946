//! A target: where a service is, what it may take, and what is going on with it.
//!
//! All cores share one [`Target`]; connections are per core (`client`).

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Parts, PathAndQuery, Scheme, Uri};

use crate::permit::{Permit, Permits};
use crate::upstream::condition::{Condition, FailureRules};
use crate::upstream::failed::CallFailed;
use crate::upstream::slots::{Slot, SlotRules, Slots};
use crate::upstream::transport::{Protocol, ServiceTls};

/// How long a service may take, and how much. Each bound stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// Opening a connection.
    pub connect_timeout: Duration,
    /// From the request being sent to the head of the answer.
    pub response_timeout: Duration,
    /// Longest pause while an answer's body arrives.
    pub read_timeout: Duration,
    /// Longest time in which the service takes nothing of a body that is still arriving.
    pub write_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections that each core keeps.
    pub idle_connections_max: usize,
    /// Requests in flight, all cores together.
    pub requests_in_flight_max: u32,
    /// Bytes of an answer's head; at least 8192 are always allowed.
    pub head_size_max: usize,
    /// Bytes of an answer's body where the gateway must hold it whole.
    pub body_size_max: usize,
    /// How many connections there may be, all cores together; `None`: no bound of their own.
    pub slots: Option<SlotRules>,
    /// What is spoken over its connections.
    pub protocol: Protocol,
    /// How they are encrypted; `None`: they are not.
    pub tls: Option<ServiceTls>,
    /// Calls that share one connection of HTTP/2.
    pub h2_streams_max: u32,
    /// What failures lead to.
    pub failures: FailureRules,
}

/// A service's address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is not a URL with a host.
    #[error("must be a URL such as http://127.0.0.1:8080 or unix:/run/links.sock")]
    NotAUrl,
    /// The scheme is one that is not spoken.
    #[error("must start with http://, https:// or unix:/")]
    Scheme,
    /// The scheme and the encryption do not go together.
    #[error("must start with https:// where `tls` is set, and nowhere else")]
    Encryption,
    /// There is more than a scheme, a host and a port.
    #[error("must end after the host and port: a path belongs to the route's rewrite")]
    NotAnOrigin,
    /// A user name or password stands in it.
    #[error("must not hold a user name or password")]
    Credentials,
}

/// One place where a service answers.
#[derive(Debug)]
pub struct Target {
    name: Arc<str>,
    scheme: Scheme,
    authority: Authority,
    /// The UNIX socket in place of host and port.
    socket: Option<Arc<Path>>,
    host_header: HeaderValue,
    /// Which of its host's addresses this target is; `None`: whichever answers.
    address: Option<SocketAddr>,
    condition: Condition,
    slots: Option<Arc<Slots>>,
    settings: TargetSettings,
    requests: Arc<Permits>,
    connections_opened: AtomicU64,
    requests_replayed: AtomicU64,
}

impl Target {
    /// The target of the service `name` at `url`: `http://host:port`, `https://host:port`, or
    /// `unix:/path/of/a.socket`.
    ///
    /// # Errors
    ///
    /// [`InvalidTarget`] says what is wrong with the URL.
    pub fn parse(name: &str, url: &str, settings: TargetSettings) -> Result<Self, InvalidTarget> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Self::at_socket(name, path, settings);
        }
        let uri: Uri = url.parse().map_err(|_| InvalidTarget::NotAUrl)?;
        let Parts { scheme: Some(scheme), authority: Some(authority), .. } = uri.into_parts()
        else {
            return Err(InvalidTarget::NotAUrl);
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(InvalidTarget::Scheme);
        }
        if authority.as_str().contains('@') {
            return Err(InvalidTarget::Credentials);
        }
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        if after_scheme.strip_suffix('/').unwrap_or(after_scheme) != authority.as_str() {
            return Err(InvalidTarget::NotAnOrigin);
        }
        Self::build(name, (scheme, authority), None, settings)
    }

    /// Services behind a socket know no host of theirs: they are told `localhost`, as by others.
    fn at_socket(name: &str, path: &str, settings: TargetSettings) -> Result<Self, InvalidTarget> {
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(InvalidTarget::NotAUrl);
        }
        let place = (Scheme::HTTP, Authority::from_static("localhost"));
        Self::build(name, place, Some(Path::new(path).into()), settings)
    }

    fn build(
        name: &str,
        (scheme, authority): (Scheme, Authority),
        socket: Option<Arc<Path>>,
        settings: TargetSettings,
    ) -> Result<Self, InvalidTarget> {
        if (scheme == Scheme::HTTPS) != settings.tls.is_some() {
            return Err(InvalidTarget::Encryption);
        }
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidTarget::NotAUrl)?;
        Ok(Self {
            name: name.into(),
            scheme,
            authority,
            socket,
            host_header,
            address: None,
            condition: Condition::new(&settings.failures),
            slots: settings.slots.clone().map(Slots::new),
            requests: Permits::new(settings.requests_in_flight_max),
            settings,
            connections_opened: AtomicU64::new(0),
            requests_replayed: AtomicU64::new(0),
        })
    }

    /// Host and port, as they stand in its URL.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The service's name.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The scheme of its URLs.
    #[must_use]
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The host to connect to: a name or an address, without an IPv6 address's brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// The UNIX socket to connect to, where it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// A URL at this target.
    pub(super) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// The same at one of its host's addresses, with a condition of its own.
    pub(super) fn at(&self, address: SocketAddr) -> Self {
        Self {
            name: Arc::clone(&self.name),
            scheme: self.scheme.clone(),
            authority: self.authority.clone(),
            socket: self.socket.clone(),
            host_header: self.host_header.clone(),
            address: Some(address),
            condition: Condition::new(&self.settings.failures),
            slots: self.settings.slots.clone().map(Slots::new),
            requests: Permits::new(self.settings.requests_in_flight_max),
            settings: self.settings.clone(),
            connections_opened: AtomicU64::new(0),
            requests_replayed: AtomicU64::new(0),
        }
    }

    /// Whether the other was made from the same configuration.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.scheme == other.scheme
            && self.authority == other.authority
            && self.socket == other.socket
            && self.settings == other.settings
    }

    /// The address to connect to, where its host has been looked up already.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether its host is a name that may have several addresses, and others tomorrow. Not
    /// `localhost`: its two addresses are one machine, and often only one of them listens.
    pub(super) fn has_name(&self) -> bool {
        let is_local = self.host().eq_ignore_ascii_case("localhost");
        !is_local && self.host().parse::<IpAddr>().is_err()
    }

    /// What logs and metrics call it: its address or socket, or host and port as they are written.
    #[must_use]
    pub fn label(&self) -> String {
        match (self.address, &self.socket) {
            (Some(address), _) => address.to_string(),
            (None, Some(socket)) => format!("unix:{}", socket.display()),
            (None, None) => self.authority().to_owned(),
        }
    }

    /// How it does.
    pub(super) const fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The bound on its connections, where there is one.
    pub(super) const fn slots(&self) -> Option<&Arc<Slots>> {
        self.slots.as_ref()
    }

    /// The right to another connection in its turn, for a call that has so much time left; `None`
    /// where their number has no bound.
    pub(super) async fn slot(&self, time_left: Duration) -> Result<Option<Slot>, CallFailed> {
        match &self.slots {
            Some(slots) => slots.take(time_left).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether as many requests as allowed are in flight.
    pub(super) fn is_full(&self) -> bool {
        self.requests.taken() >= self.requests.max()
    }

    /// What it may take.
    #[must_use]
    pub const fn settings(&self) -> &TargetSettings {
        &self.settings
    }

    /// Requests in flight now, all cores together.
    #[must_use]
    pub fn requests_in_flight(&self) -> u32 {
        self.requests.taken()
    }

    /// Connections opened so far, all cores together.
    #[must_use]
    pub fn connections_opened(&self) -> u64 {
        self.connections_opened.load(Ordering::Relaxed)
    }

    /// Requests sent a second time because a reused connection died.
    #[must_use]
    pub fn requests_replayed(&self) -> u64 {
        self.requests_replayed.load(Ordering::Relaxed)
    }

    pub(super) fn permit(&self) -> Option<Permit> {
        self.requests.take()
    }

    pub(super) fn count_connection(&self) {
        self.connections_opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_replay(&self) {
        self.requests_replayed.fetch_add(1, Ordering::Relaxed);
    }

    /// The value of `Host`; shares its bytes.
    pub(super) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing::settings;

    #[test]
    fn a_target_is_an_origin_and_nothing_else() {
        let check = |url: &str, expected: Result<(&str, u16), InvalidTarget>| {
            let target = Target::parse("link-service", url, settings());
            let found = target.as_ref().map(|target| (target.host(), target.port()));
            assert_eq!(found.map_err(Clone::clone), expected, "{url}");
        };
        check("http://127.0.0.1:8080", Ok(("127.0.0.1", 8080)));
        check("http://links.internal/", Ok(("links.internal", 80)));
        check("http://[::1]:8080", Ok(("::1", 8080)));
        check("unix:/run/links.sock", Ok(("localhost", 80)));
        check("unix:links.sock", Err(InvalidTarget::NotAUrl));
        check("unix:/run/", Err(InvalidTarget::NotAUrl));
        check("https://links.internal", Err(InvalidTarget::Encryption));
        check("links.internal", Err(InvalidTarget::NotAUrl));
        check("/links", Err(InvalidTarget::NotAUrl));
        check("", Err(InvalidTarget::NotAUrl));
        check("ftp://links.internal", Err(InvalidTarget::Scheme));
        check("http://user:secret@links.internal", Err(InvalidTarget::Credentials));
        check("http://links.internal/base", Err(InvalidTarget::NotAnOrigin));
        check("http://links.internal/?a=1", Err(InvalidTarget::NotAnOrigin));
        check("http://links.internal#top", Err(InvalidTarget::NotAnOrigin));
    }
}
