//! The gateway through real HTTP: each scenario reads as a specification and
//! runs on every engine. `util` has the callers, by kind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bad_input;
mod client_member;
mod cloudevents;
mod connections;
mod cors;
mod events;
mod group_bad;
mod group_commits;
mod group_util;
mod groups;
mod keys;
mod losses;
mod openapi;
mod ops;
mod publishing;
mod reading;
mod streams;
mod topics;
mod util;
mod ws;
mod ws_bad;
mod ws_client;
mod ws_groups;
mod ws_util;
