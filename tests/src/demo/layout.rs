//! Where everything listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result, bail};

use crate::platform::Service;

/// A gateway of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DemoGateway {
    Web,
    Mobile,
    Partner,
    /// One gateway for all consumers: run when it is asked for.
    Edge,
}

impl DemoGateway {
    /// The binary's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Web => "web-bff",
            Self::Mobile => "mobile-bff",
            Self::Partner => "partner-gateway",
            Self::Edge => "edge",
        }
    }

    /// The program, from where the demo's own is.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Edge => "examples/edge",
            other => other.name(),
        }
    }

    /// Its file among the sample's configuration.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Web => "web-bff.toml",
            Self::Mobile => "mobile-bff.toml",
            Self::Partner => "partner-gateway.toml",
            Self::Edge => "examples/edge.toml",
        }
    }

    /// Whether its callers show tokens, for which it needs the issuer's keys.
    pub(super) const fn takes_tokens(self) -> bool {
        matches!(self, Self::Mobile | Self::Edge)
    }

    const fn ports(self) -> (u16, u16) {
        match self {
            Self::Web => (3000, 9000),
            Self::Mobile => (3001, 9001),
            Self::Partner => (3002, 9002),
            Self::Edge => (3003, 9003),
        }
    }
}

/// The ports of one demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    offset: u16,
    gateways: &'static [DemoGateway],
    is_tls: bool,
}

impl Layout {
    const ALL_GATEWAYS: [DemoGateway; 4] =
        [DemoGateway::Web, DemoGateway::Mobile, DemoGateway::Partner, DemoGateway::Edge];

    pub(super) fn new(offset: u16, has_edge: bool, is_tls: bool) -> Result<Self> {
        let highest = 9_003_u16;
        if highest.checked_add(offset).is_none() {
            bail!("--port-offset {offset}: the highest port would be above 65535");
        }
        let [three @ .., _] = &Self::ALL_GATEWAYS;
        let gateways = if has_edge { &Self::ALL_GATEWAYS[..] } else { three };
        Ok(Self { offset, gateways, is_tls })
    }

    /// The gateways that run.
    pub(super) const fn gateways(self) -> &'static [DemoGateway] {
        self.gateways
    }

    pub(super) const fn service_port(self, service: Service) -> u16 {
        service.default_port() + self.offset
    }

    pub(super) const fn port(self, gateway: DemoGateway) -> u16 {
        gateway.ports().0 + self.offset
    }

    pub(super) const fn admin_port(self, gateway: DemoGateway) -> u16 {
        gateway.ports().1 + self.offset
    }

    /// `localhost`, because browsers and curl keep a `Secure` cookie from there without TLS.
    pub(super) fn url(self, gateway: DemoGateway) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port(gateway))
    }

    pub(super) fn admin_url(self, gateway: DemoGateway) -> String {
        format!("http://127.0.0.1:{}", self.admin_port(gateway))
    }

    pub(super) fn service_url(self, service: Service) -> String {
        format!("http://127.0.0.1:{}", self.service_port(service))
    }

    /// Fails with the name of the first port that is taken.
    pub(super) fn check_ports(self, without: &[String]) -> Result<()> {
        for service in Service::ALL {
            if !without.iter().any(|name| name == service.name()) {
                check_port(service.name(), self.service_port(service))?;
            }
        }
        for &gateway in self.gateways {
            check_port(gateway.name(), self.port(gateway))?;
            check_port(&format!("{}'s admin listener", gateway.name()), self.admin_port(gateway))?;
        }
        Ok(())
    }
}

fn check_port(who: &str, port: u16) -> Result<()> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map(drop).with_context(|| {
        format!(
            "port {port} for {who} is taken; stop what listens there, or move the demo with \
             `cargo demo -- --port-offset 10000`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_remedy() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let error = check_port("web-bff", port).expect_err("taken").to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--port-offset"), "{error}");
    }

    #[test]
    fn an_offset_moves_every_port_and_never_past_the_last() {
        let layout = Layout::new(20_000, true, false).expect("in range");
        assert_eq!(layout.port(DemoGateway::Web), 23_000);
        assert_eq!(layout.admin_port(DemoGateway::Edge), 29_003);
        assert_eq!(layout.gateways().len(), 4);
        assert_eq!(layout.service_port(Service::Link), 28_080);
        assert!(Layout::new(60_000, false, false).is_err());
    }
}
