//! The Kafka engine: the same log in front of a real cluster, which does what
//! it is for: replication and failover. librdkafka's types stay in this room.
//!
//! | file | what it is |
//! | --- | --- |
//! | `open` | the order in which a gateway joins its cluster |
//! | `engine` | the contract, call by call |
//! | `core` | what the parts share |
//! | `catalog`, `recent` | what is answered without waiting, in memory |
//! | `keeper` | keeps the catalogue as the cluster is |
//! | `marks` | moves starts and tails of all partitions, by one thread |
//! | `follow` | the one reader of all partitions that are followed |
//! | `history` | a few consumers for those who read anywhere else |
//! | `append` | the three ways of an append |
//! | `publisher`, `ticket` | plain publishes, and what becomes of their records |
//! | `transactions`, `pool` | publishes that are all or nothing, or happen once |
//! | `state`, `notes` | the compacted topic of what Kafka has no place for |
//! | `topics`, `cluster`, `settings`, `naming` | topics made, altered, deleted, trimmed |
//! | `records`, `kind` | records both ways |
//! | `groups/` | members of Kafka's groups, and what they commit |
//! | `client`, `errors` | the library set up, and what it says |

mod config;

#[cfg(feature = "kafka")]
mod append;
#[cfg(feature = "kafka")]
mod catalog;
#[cfg(feature = "kafka")]
mod client;
#[cfg(feature = "kafka")]
mod cluster;
#[cfg(feature = "kafka")]
mod core;
#[cfg(feature = "kafka")]
mod engine;
#[cfg(feature = "kafka")]
mod errors;
#[cfg(feature = "kafka")]
mod follow;
#[cfg(feature = "kafka")]
mod groups;
#[cfg(feature = "kafka")]
mod history;
#[cfg(feature = "kafka")]
mod keeper;
#[cfg(feature = "kafka")]
mod kind;
#[cfg(feature = "kafka")]
mod marks;
#[cfg(feature = "kafka")]
mod meters;
#[cfg(feature = "kafka")]
mod naming;
#[cfg(feature = "kafka")]
mod notes;
#[cfg(feature = "kafka")]
mod open;
#[cfg(feature = "kafka")]
mod pool;
#[cfg(feature = "kafka")]
mod publisher;
#[cfg(feature = "kafka")]
mod recent;
#[cfg(feature = "kafka")]
mod records;
#[cfg(feature = "kafka")]
mod settings;
#[cfg(feature = "kafka")]
mod state;
#[cfg(feature = "kafka")]
#[cfg(test)]
mod tests;
#[cfg(feature = "kafka")]
mod ticket;
#[cfg(feature = "kafka")]
mod topics;
#[cfg(feature = "kafka")]
mod transactions;

pub use config::{KafkaConfig, SaslMechanismConfig, SecretConfig};
#[cfg(feature = "kafka")]
pub use engine::KafkaEngine;
#[cfg(feature = "kafka")]
pub use groups::KafkaGroups;
#[cfg(feature = "kafka")]
pub use open::JoinError;
