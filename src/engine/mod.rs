//! What the gateway asks of a log: the contract that every engine keeps, and
//! the suite that proves it.
//!
//! ```text
//!            start                        tail        written
//!              v                           v             v
//!   … trimmed |  readable, in order       | not yet     |
//!   ----------+---------------------------+-------------+--->  offsets
//! ```
//!
//! An engine knows nothing of HTTP, JSON or principals. It is called once per
//! batch, never once per record.

#[cfg(test)]
pub mod contract;
mod coordinator;
mod error;
pub mod kafka;
mod log;
pub mod memory;
mod no_groups;
pub mod sled;
mod table;

pub use coordinator::{
    Assignment, Committer, Coordinator, GroupCommit, GroupDescription, GroupError, GroupState,
    GroupSummary, JoinRequest, Lease, MemberRef, MemberView,
};
pub use error::EngineError;
pub use log::{
    Append, Appended, AppendedPart, BodyDigest, Engine, Health, Idempotency, Promises, ReadBudget,
    ReadChunk, Topic,
};
pub use no_groups::NoGroups;
pub use table::{StateEntry, StateKey, StateTable};
