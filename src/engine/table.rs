//! A small keyed table beside the log: revocations, gateway addresses, group
//! commits. Small enough to be held in memory as a whole.

use super::EngineError;
use crate::domain::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;

/// The key of an entry: a namespace, so that users do not meet, and any bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// Who uses it, such as `revocation`.
    pub space: &'static str,
    /// At most 1 KiB.
    pub key: Bytes,
}

/// A value and how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// At most 8 KiB.
    pub value: Bytes,
    /// When it is forgotten; `None` = when it is removed.
    pub expires: Option<Timestamp>,
}

/// A small keyed table, as durable as a `synced` record.
#[async_trait]
pub trait StateTable: Send + Sync + 'static {
    /// The entry of `key`, unless it expired before `now`.
    fn get(&self, key: &StateKey, now: Timestamp) -> Option<StateEntry>;

    /// Every entry of a namespace, in the order of the keys.
    fn list(&self, space: &'static str, now: Timestamp) -> Vec<(Bytes, StateEntry)>;

    /// Sets (`Some`) or removes (`None`) entries: all of them, or none. They
    /// are durable, and seen by `get`, when this answers.
    async fn put(&self, changes: Vec<(StateKey, Option<StateEntry>)>) -> Result<(), EngineError>;
}
