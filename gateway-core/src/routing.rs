//! Routing: which route a request belongs to.
//!
//! Read in this order: [`Pattern`] is what a route says it matches (`GET /links/{id}`);
//! [`RouteTable`] finds the one route of a request, at the same cost for ten routes and for ten
//! thousand.
//!
//! Invariants
//! - The order in which routes are declared never matters: static beats parameter beats wildcard,
//!   segment by segment from the left.
//! - Two routes that would match the same requests never become a table.
//! - Segments are compared decoded, so that no spelling of a path escapes the route it belongs to.
//!
//! Not here: what a route does (`site`), the path's normal form (`guard::path`), preflights
//! (`cors`), which the pipeline answers before a 405.

pub mod canary;
mod pattern;
mod table;

pub use pattern::{InvalidPattern, Pattern};
pub use table::{Found, NotRouted, RouteConflict, RouteTable};
