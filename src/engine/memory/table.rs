//! The state table in memory.

use super::MemoryEngine;
use crate::domain::Timestamp;
use crate::engine::{EngineError, StateEntry, StateKey, StateTable};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Entries in the order of their keys, no more than the bound.
pub(super) struct Table {
    max: usize,
    entries: BTreeMap<StateKey, StateEntry>,
}

impl Table {
    pub(super) fn new(max: usize) -> Table {
        Table { max, entries: BTreeMap::new() }
    }

    /// Applies all changes in order, or none if too many entries would be left.
    fn put(
        &mut self,
        changes: Vec<(StateKey, Option<StateEntry>)>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let mut before = vec![];
        for (key, change) in changes {
            let old = match change {
                Some(entry) => self.entries.insert(key.clone(), entry),
                None => self.entries.remove(&key),
            };
            before.push((key, old));
        }
        if self.entries.len() > self.max {
            self.entries.retain(|_, entry| lives(entry, now));
        }
        if self.entries.len() > self.max {
            self.undo(before);
            return Err(EngineError::TableFull(self.max));
        }
        Ok(())
    }

    /// Takes changes back, the last one first.
    fn undo(&mut self, before: Vec<(StateKey, Option<StateEntry>)>) {
        for (key, old) in before.into_iter().rev() {
            match old {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }
}

fn lives(entry: &StateEntry, now: Timestamp) -> bool {
    entry.expires.is_none_or(|expires| expires > now)
}

#[async_trait]
impl StateTable for MemoryEngine {
    fn get(&self, key: &StateKey, now: Timestamp) -> Option<StateEntry> {
        let state = self.state.lock();
        let entry = state.as_ref()?.table.entries.get(key)?;
        lives(entry, now).then(|| entry.clone())
    }

    fn list(&self, space: &'static str, now: Timestamp) -> Vec<(Bytes, StateEntry)> {
        let state = self.state.lock();
        let entries = state.iter().flat_map(|state| &state.table.entries);
        entries
            .filter(|(key, entry)| key.space == space && lives(entry, now))
            .map(|(key, entry)| (key.key.clone(), entry.clone()))
            .collect()
    }

    async fn put(&self, changes: Vec<(StateKey, Option<StateEntry>)>) -> Result<(), EngineError> {
        let now = self.now();
        self.with_state(|state| state.table.put(changes, now))
    }
}
