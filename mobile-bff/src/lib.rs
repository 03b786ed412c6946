//! mobile-bff: the apps' gateway. Bearer JWTs verified locally, compact answers, push tokens.
//!
//! Most of what it is stands in config/mobile-bff.toml; this crate adds what no configuration can
//! say: the registry of push tokens.
//!
//! Not here: verification of tokens, limits, routing, aggregation (`gateway-core`); login and
//! refresh, which are routes to the user service.

pub mod app;
pub mod config;
pub mod push_tokens;
