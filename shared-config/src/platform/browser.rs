//! `[cors]` and `[security_headers]`: what browsers are told.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Duration;

/// `[cors]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins whose pages may call, exactly as browsers send them; empty: CORS is off.
    pub origins: Vec<String>,
    /// Whether those pages may send cookies.
    pub credentials: bool,
    /// Methods those pages may use.
    pub methods: Vec<String>,
    /// Header fields those pages may send.
    pub headers: Vec<String>,
    /// Header fields of answers that those pages may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember the answer to a preflight.
    #[schemars(extend("format" = "duration_or_zero"))]
    pub preflight_max_age: Duration,
}

/// `[security_headers]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityHeaders {
    /// `Referrer-Policy`
    pub referrer_policy: String,
    /// `Cross-Origin-Resource-Policy`
    pub resource_policy: String,
    /// `Strict-Transport-Security`, sent only when the client's connection is HTTPS.
    pub hsts: String,
}
