//! Rate limiting: how often a consumer may call, and when it may try again.
//!
//! Read in this order: [`Quota`] says what is allowed, [`Bucket`] does the arithmetic, [`KeyHasher`]
//! says whose bucket it is, [`headers`] tells the client, [`RateLimited`] refuses.
//!
//! Invariants
//! - No clock and no I/O in this module: the caller passes `now`.
//! - A refused request costs nothing; only admitted ones move a bucket.
//! - Who waits as long as `Retry-After` says is admitted, if nobody else calls on that bucket.
//!
//! Not here: where buckets are kept (`stores`), which limits a route has (`site`).

mod bucket;
pub mod headers;
mod key;
mod limited;
mod quota;
#[cfg(test)]
mod tests;

pub use self::bucket::{Bucket, BucketState, Charge};
pub use self::key::{BucketKey, KeyHasher, KeyPart, network};
pub use self::limited::RateLimited;
pub use self::quota::{InvalidQuota, Quota};
