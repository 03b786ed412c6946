//! Calls to services: every HTTP connection is opened here, on the hot path by [`Client`], for
//! issuers' keys by [`key_source`].
//!
//! Read in this order: [`Target`] says where a service is and what it may take, [`Targets`] which
//! of a service's takes the next call, [`Client`] calls it over a `wire`, which speaks `http1`, or
//! a `multiplexed` connection of HTTP/2, [`CallFailed`] is everything that can go wrong,
//! [`collect`] reads an answer whole; [`retry`] says when a call is made again, [`concurrency`] how
//! many there may be at a time.
//!
//! Invariants
//! - A [`Target`] is shared by all cores, a [`Client`] and its connections belong to one core.
//! - Every call has a bound on its time, and holds a permit until its answer's body has ended.
//! - Redirects are answers like any other: none is ever followed, so no credential travels.
//! - A request is sent twice only when it is idempotent, its body is at hand, and a connection
//!   that had answered before ended without the first byte of this answer (RFC 9110 §9.2.2). One
//!   of which nothing was sent may go out on another connection, whatever its method.
//!
//! Not here: which service a request goes to (`routing`), what of it may reach the service
//! (`guard`, `transform`), what its answer becomes (`transform`, `aggregation`).

mod balance;
mod breaker;
mod by_address;
mod client;
pub mod concurrency;
mod condition;
mod connect;
mod dice;
mod failed;
mod health;
mod http1;
mod in_line;
pub mod key_source;
mod multiplexed;
mod own_fields;
mod pools;
mod read_ahead;
mod resolve;
pub mod retry;
mod shared_fields;
mod slots;
mod target;
mod targets;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;
mod until_sent;
mod upgrade;
mod watch;
mod whole;
mod wire;

pub use balance::Balance;
pub use breaker::{BreakerRules, FailureShare};
pub(crate) use client::Beside;
pub use client::{Answer, Client};
pub use condition::FailureRules;
pub use connect::{Connect, Link, Network, Tcp};
pub use failed::CallFailed;
pub use health::HealthRules;
pub(crate) use http1::AnswerFields;
pub(crate) use in_line::InLine;
pub(crate) use own_fields::OwnFields;
pub use read_ahead::read_ahead;
pub use shared_fields::SharedFields;
pub use slots::SlotRules;
pub use target::{InvalidTarget, Target, TargetSettings};
pub use targets::{Picked, TargetState, Targets, TargetsSettings};
pub use transport::{InvalidTls, Protocol, ServiceTls, TlsTexts};
pub use upgrade::{Rewound, Room, ServiceIo, Upgraded};
pub use watch::watch;
pub use whole::collect;
