//! Everything around the gateways that is no part of them: the sample platform, the harness of the
//! integration suites, and the commands `demo`, `verify`, `bench-gateways` and `build-gateways`.

pub mod authority;
pub mod bench;
pub mod demo;
pub mod harness;
pub mod platform;
pub mod profiled;
pub mod verify;
