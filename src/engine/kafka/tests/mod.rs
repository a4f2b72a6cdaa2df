//! The engine against a real cluster. These tests are ignored where there is
//! none: `tests/kafka/run` brings one up and runs them.

mod contract;
mod coordinating;
mod groups;
mod home;
mod others;

pub(super) use home::OnCluster;
