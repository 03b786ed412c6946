//! The integration suites: the gateways as their users meet them, over real sockets.
//!
//! One binary, a module for each feature. Every test starts its own platform on free ports of
//! 127.0.0.1 and takes it down; see `tests::harness`.

mod aggregation;
mod answers;
mod article;
mod browser;
mod chaos;
mod command;
mod demo;
mod edge;
mod explain;
mod front;
mod gate;
mod identity;
mod instances;
mod limits;
mod one_write;
mod operations;
mod page;
mod part_cache;
mod part_failures;
mod partner;
mod pipeline;
mod profiled;
mod progressive;
mod push_tokens;
mod reload;
mod resilience;
mod split;
mod streaming;
mod tidy;
mod tls;
mod tracing;
mod tutorial;
mod upstreams;
mod websocket;
