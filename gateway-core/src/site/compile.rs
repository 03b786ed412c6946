//! How configuration becomes a site.
//!
//! Everything that only the core can judge is judged here: patterns, templates, fields, names of
//! local endpoints, routes that no request can reach. Every error is collected; none stops the
//! others from being found.
//!
//! Read in this order: [`compile`], then `services`, `limits`, `schemes`, `routes`, `views`,
//! `resilience`.

mod constant;
mod gate;
mod limits;
mod resilience;
mod routes;
mod schemes;
mod services;
mod targets;
mod traces;
mod views;

use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;
use rand::RngExt as _;
use shared_config::platform::Platform;
use shared_config::units::Network;
use shared_config::{Diagnostic, Diagnostics, Loaded};

use self::limits::Limits;
use self::routes::Routes;
pub use self::schemes::IssuerKeys;
use self::schemes::Schemes;
pub use self::traces::Tracing;
use super::{Challenges, IdentityHeaders, RouteMetrics, Site};
use crate::assertion::Signer;
use crate::auth::csrf::CsrfPolicy;
use crate::cors::{Cors, CorsConfig};
use crate::endpoint::Endpoints;
use crate::guard::address_list::AddressList;
use crate::guard::ceilings::Ceilings;
use crate::guard::spoofed_headers::SpoofedHeaders;
use crate::metric::Metrics;
use crate::routing::RouteTable;
use crate::security_headers::{SecurityHeaders, SecurityHeadersConfig};

/// A site, and whose keys must be fetched for it.
#[derive(Debug)]
pub struct Compiled {
    /// The site.
    pub site: Site,
    /// The issuers of tokens.
    pub issuers: Vec<IssuerKeys>,
    /// How requests are recorded; `None`: none is.
    pub tracing: Option<Tracing>,
}

/// Compiles a configuration with the endpoints that the gateway owns. An issuer whose keys are in
/// the same place as one of `issuers` shares its keys.
///
/// # Errors
///
/// Every error at once, each at its key.
pub fn compile(
    loaded: &Loaded,
    endpoints: &Endpoints,
    metrics: &Metrics,
    issuers: &[IssuerKeys],
) -> Result<Compiled, Diagnostics> {
    let mut report = Report { loaded, issuers, found: Vec::new() };
    let compiled = build(&mut report, endpoints, metrics);
    Diagnostics::none_or(report.found)?;
    compiled.ok_or_else(|| Diagnostics::from_iter([]))
}

fn trusted_proxies(platform: &Platform) -> Vec<IpNet> {
    platform.server.trusted_proxies.iter().map(|network| network.get()).collect()
}

/// The site, as far as nothing that it cannot do without is wrong.
fn build<'a>(
    report: &mut Report<'a>,
    endpoints: &Endpoints,
    metrics: &'a Metrics,
) -> Option<Compiled> {
    let platform = report.platform();
    let identity_headers = identity_headers(report);
    let assertion_header = report.header(&["assertion", "header"], &platform.assertion.header);
    let time_left = platform.upstream.time_left_header.as_deref();
    let time_left_header = time_left.map_or(Some(None), |name| {
        report.header(&["upstream", "time_left_header"], name).map(Some)
    });
    check_names_sent(report);
    let services = services::compile(report, metrics);
    let schemes = Schemes::compile(report);
    let limits = Limits::compile(report, metrics);
    let cors = cors(report);
    let security_headers = security_headers(report);
    let tracing = traces::compile(report);
    let (identity_headers, assertion_header) = (identity_headers?, assertion_header?);
    let reserved = reserved(&identity_headers, &assertion_header);
    let names: Vec<&str> = reserved.iter().map(HeaderName::as_str).collect();
    let gates = gate::Gates::default();
    let (limits_of, reserved_names, found) = (&limits, names.as_slice(), vec![]);
    let mut routes =
        Routes { report, limits: limits_of, endpoints, reserved: reserved_names, gates, found };
    routes.compile();
    let (routes, patterns) = routes.finish()?;
    let (cors, security_headers) = (cors?, security_headers?);
    let gateway: Arc<str> = platform.gateway.name.as_str().into();
    Some(Compiled {
        site: Site {
            table: RouteTable::build(&patterns).ok()?,
            routes,
            services: services?,
            trusted_proxies: trusted_proxies(platform),
            addresses: addresses(platform),
            ceilings: ceilings(platform),
            body_timeout: platform.server.body_timeout.get(),
            deadline: platform.policy.deadline.get(),
            spoofed_headers: spoofed_headers(&names),
            misleading_headers: SpoofedHeaders::new(names.iter().copied()),
            challenges: Challenges::of(schemes.jwt.as_ref(), schemes.api_key.as_ref()),
            tier_priorities: resilience::tiers(&platform.gateway),
            identity_headers,
            assertion_header,
            time_left_header: time_left_header?,
            signer: Signer::new(&gateway, platform.assertion.lifetime.get()),
            session: schemes.session,
            jwt: schemes.jwt.map(Arc::new),
            api_key: schemes.api_key,
            client_certificate: schemes.client_certificate,
            csrf: CsrfPolicy::new(cors.credentialed_origins().iter().cloned()),
            limits_by_address: limits.by_address(&platform.policy.limits),
            cors,
            security_headers,
            unrouted_metrics: Arc::new(RouteMetrics::new(Site::UNROUTED)),
            etag_secret: rand::rng().random(),
            reserved_headers: reserved.clone(),
            gateway,
        },
        issuers: schemes.issuers,
        tracing,
    })
}

/// The errors found so far.
struct Report<'a> {
    loaded: &'a Loaded,
    /// Those of the site before.
    issuers: &'a [IssuerKeys],
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    fn platform(&self) -> &'a Platform {
        &self.loaded.platform
    }

    /// Notes an error at a key.
    fn add(&mut self, path: &[&str], value: &str, reason: &(impl ToString + ?Sized)) {
        self.found.push(Diagnostic::at(self.loaded, path, value, reason.to_string()));
    }

    /// The value, or the error noted at its key.
    fn keep<T, E: ToString>(
        &mut self,
        path: &[&str],
        value: &str,
        outcome: Result<T, E>,
    ) -> Option<T> {
        outcome.map_err(|error| self.add(path, value, &error)).ok()
    }

    fn header(&mut self, path: &[&str], name: &str) -> Option<HeaderName> {
        self.keep(path, name, HeaderName::try_from(name))
    }
}

fn identity_headers(report: &mut Report<'_>) -> Option<IdentityHeaders> {
    let identity = &report.platform().identity;
    let mut header = |key, name: &str| report.header(&["identity", key], name);
    let user_id = header("user_id_header", &identity.user_id_header);
    let role = header("role_header", &identity.role_header);
    let verified = header("verified_header", &identity.verified_header);
    let tenant = header("tenant_header", &identity.tenant_header);
    let tier = header("tier_header", &identity.tier_header);
    Some(IdentityHeaders {
        user_id: user_id?,
        role: role?,
        verified: verified?,
        tenant: tenant?,
        tier: tier?,
    })
}

/// Names under which the gateway tells services something whatever is configured.
const NAMES_SENT: [&str; 7] = [
    "host",
    "content-type",
    "x-request-id",
    "x-forwarded-for",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Two fields of one name would leave a service to choose which of them it believes.
fn check_names_sent(report: &mut Report<'_>) {
    let platform = report.platform();
    let identity = &platform.identity;
    let time_left = platform.upstream.time_left_header.as_deref();
    let configured = [
        (["identity", "user_id_header"], Some(&*identity.user_id_header)),
        (["identity", "role_header"], Some(&*identity.role_header)),
        (["identity", "verified_header"], Some(&*identity.verified_header)),
        (["identity", "tenant_header"], Some(&*identity.tenant_header)),
        (["identity", "tier_header"], Some(&*identity.tier_header)),
        (["assertion", "header"], Some(&*platform.assertion.header)),
        (["upstream", "time_left_header"], time_left),
    ];
    let mut taken: Vec<&str> = NAMES_SENT.to_vec();
    for (path, name) in configured {
        let Some(name) = name else { continue };
        if taken.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            report.add(
                &path,
                name,
                "must be a name of its own: services are sent another field under it",
            );
        }
        taken.push(name);
    }
}

/// Headers that are the gateway's to send: no client's word and no route's edit of them counts.
fn reserved(identity: &IdentityHeaders, assertion: &HeaderName) -> Vec<HeaderName> {
    let names = identity.names().into_iter().chain([assertion]);
    names.cloned().chain([crate::header::X_REQUEST_ID, crate::header::TRACEPARENT]).collect()
}

/// What services must not hear from clients: identities, the clients' credentials, and what is sent
/// beside a trace only after it has been judged.
fn spoofed_headers(reserved: &[&str]) -> SpoofedHeaders {
    let credentials = ["authorization", "cookie", "x-api-key", "x-csrf", "tracestate", "baggage"];
    SpoofedHeaders::new(reserved.iter().copied().chain(credentials))
}

fn addresses(platform: &Platform) -> AddressList {
    let networks = |all: &[Network]| all.iter().map(|network| network.get()).collect::<Vec<_>>();
    AddressList::new(networks(&platform.server.allow), networks(&platform.server.deny))
}

fn ceilings(platform: &Platform) -> Ceilings {
    let server = &platform.server;
    Ceilings {
        target_size_max: server.target_size_max.as_usize(),
        header_count_max: server.header_count_max,
        head_size_max: server.head_size_max.as_usize(),
        body_size_max: server.body_size_max.bytes(),
    }
}

fn cors(report: &mut Report<'_>) -> Option<Cors> {
    let cors = &report.platform().cors;
    let built = Cors::build(&CorsConfig {
        origins: cors.origins.clone(),
        credentials: cors.credentials,
        methods: cors.methods.clone(),
        headers: cors.headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        preflight_max_age: cors.preflight_max_age.get(),
    });
    match built {
        Ok(cors) => Some(cors),
        Err(error) => {
            report.add(&["cors", error.key], &error.value, error.reason);
            None
        }
    }
}

fn security_headers(report: &mut Report<'_>) -> Option<SecurityHeaders> {
    let written = &report.platform().security_headers;
    let built = SecurityHeaders::build(&SecurityHeadersConfig {
        referrer_policy: written.referrer_policy.clone(),
        resource_policy: written.resource_policy.clone(),
        hsts: written.hsts.clone(),
    });
    match built {
        Ok(headers) => Some(headers),
        Err(error) => {
            report.add(&["security_headers", error.key], &error.value, "is no header value");
            None
        }
    }
}
