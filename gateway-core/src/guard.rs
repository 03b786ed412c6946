//! The guard: what a request must be before any other policy looks at it.
//!
//! Read in this order, which is the order they are used in: [`head`] and [`chunks`] (the bytes of
//! an HTTP/1.1 request, before anything parses them), [`ceilings`] (how much a
//! client may send), [`framing`] (one request, one meaning), [`path`] (one spelling of a path, for
//! matching, limits, cache and services alike), [`spoofed_headers`] (what only we may say),
//! [`client_address`] (whom we are talking to), [`address_list`] (whether we do), [`body`] (the
//! ceilings, while the body arrives) and [`trailers`] (what may come after it).
//!
//! Invariants
//! - What two readers could understand in two ways is refused, never repaired.
//! - A refusal says what was found, and never repeats it.
//!
//! Not here: which route a path belongs to (`routing`), who the caller is (`auth`).

pub mod address_list;
pub mod body;
pub mod ceilings;
pub mod chunks;
pub mod client_address;
pub mod framing;
pub mod head;
pub mod path;
pub mod spoofed_headers;
pub mod trailers;
