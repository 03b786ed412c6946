//! Stores in this process's memory: nothing to install, nothing to wait for, bounded.
//!
//! Each type has plain methods for its own process, and implements floor 0's trait by them.
//!
//! Not here: anything that outlives the process or is seen by another one.

mod buckets;
mod keys;
mod sessions;

pub use self::buckets::MemoryBuckets;
pub use self::keys::MemoryKeys;
pub use self::sessions::MemoryVault;
