//! partner-gateway: the integrators' gateway. API keys, tiers, webhook endpoints.
//!
//! Most of what it is stands in config/partner-gateway.toml; this crate adds the life of an API
//! key (issuing one, reading the records) and the management of webhook endpoints.
//!
//! Not here: verification of keys, limits, routing (`gateway-core`); delivery of webhooks.

pub mod app;
pub mod config;
pub mod keys;
pub mod webhook_endpoints;
