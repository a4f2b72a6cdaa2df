//! tidegate: a pub/sub messaging gateway. `src/ARCHITECTURE.md` is the map of
//! these rooms and of who may know whom; `tests/tidy.rs` holds it.

pub mod auth;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod engine;
pub mod group;
pub mod http;
pub mod runtime;
pub mod server;
pub mod session;
pub mod wire;
