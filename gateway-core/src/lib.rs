//! The core of every gateway: what must never be implemented twice.
//!
//! Read [`pipeline`] first: one request, in one pass. The floors, each knowing only those below:
//!
//! - 5 assembly: [`pipeline`], [`endpoint`], [`site`], [`server`], [`readiness`], [`admin`],
//!   [`observability`], [`command`]
//! - 4 composition: [`aggregation`]
//! - 3 network: [`upstream`]
//! - 2 stores: [`stores`]
//! - 1 policies, pure: [`guard`], [`routing`], [`auth`], [`authorization`], [`inspection`], [`assertion`], [`rate_limit`],
//!   [`transform`], [`cors`], [`security_headers`]
//! - 0 vocabulary: [`error`], [`header`], [`clock`], [`certificate`], [`alarm`], [`permit`], [`priority`], [`principal`],
//!   [`body`], [`exchange`], [`trace_context`], [`record`], [`metric`], [`store`], [`json_object`],
//!   [`strict_json`]
//!
//! Not here: any route of a product, any shape of an answer (configuration says both), the life of
//! a credential (the gateways' own crates).

// Floor 5
pub mod admin;
pub mod command;
pub mod endpoint;
pub mod observability;
pub mod pipeline;
pub mod readiness;
pub mod reload;
pub mod server;
pub mod site;

// Floor 4
pub mod aggregation;

// Floor 3
pub mod upstream;

// Floor 2
pub mod stores;

// Floor 1
pub mod assertion;
pub mod auth;
pub mod authorization;
pub mod cors;
pub mod guard;
pub mod inspection;
pub mod rate_limit;
pub mod routing;
pub mod security_headers;
pub mod transform;

// Floor 0
pub mod alarm;
pub mod body;
pub mod certificate;
pub mod clock;
pub mod error;
pub mod exchange;
pub mod header;
pub mod json_object;
pub mod metric;
pub mod permit;
pub mod principal;
pub mod priority;
pub mod record;
pub mod store;
pub mod strict_json;
pub mod trace_context;
