//! Merging small batches, beside all else that the writer does: nobody who
//! waits for a commit waits long for it.

use super::{
    super::{
        config::UNSYNCED_BYTES,
        disk, fence,
        merge::{FREE_TO_MERGE, Merged, REMOVALS},
        rows::Beside,
    },
    Writer,
};
use crate::engine::EngineError;

/// Small batches that are removed before the writer looks who waits.
const REMOVALS_AT_ONCE: usize = 4;

impl Writer {
    /// Merges small batches while nobody waits for a commit. Who comes meanwhile
    /// is kept for the next turn, which merges along with its records.
    ///
    /// Nothing of it stays unsynced where nothing else does: sled can read what
    /// it holds no more in memory only once that is on disk, and a disk that is
    /// full then would keep readers from records that were there before.
    pub(super) fn merge_if_idle(&mut self) -> Result<(), EngineError> {
        if self.merges.is_empty() && self.removals.is_empty() {
            return Ok(());
        }
        let all_synced = self.unsynced.since.is_none() && self.behind.bytes()? == 0;
        while !self.merges.is_empty() || !self.removals.is_empty() {
            if self.is_asked() {
                // It is synced with what comes, or soon.
                return Ok(());
            }
            if self.removals.is_empty() {
                self.merge(1)?;
                continue;
            }
            if self.unsynced.bytes + self.behind.bytes()? > UNSYNCED_BYTES / 2 {
                if self.behind.is_under_way() {
                    // The next turn comes when that is done, or before.
                    return Ok(());
                }
                self.sync_behind()?;
            }
            self.remove_merged(REMOVALS_AT_ONCE)?;
        }
        if all_synced { self.sync_behind() } else { Ok(()) }
    }

    /// Whether somebody waits for the writer.
    fn is_asked(&mut self) -> bool {
        // Whoever got an answer goes first, where they share a processor.
        std::thread::yield_now();
        if self.first.is_none() {
            self.first = self.jobs.try_recv().ok();
        }
        self.first.is_some()
    }

    /// Merges small batches, about so many bytes of them: the full ones are put
    /// there, and the small ones are to be removed.
    pub(super) fn merge(&mut self, most: usize) -> Result<(), EngineError> {
        if self.merges.is_empty() {
            return Ok(());
        }
        let free = disk::free_bytes(&self.store.config.data_dir).unwrap_or(0);
        if free < FREE_TO_MERGE {
            self.forget_merges();
            return Ok(());
        }
        let mut merged = Merged::default();
        while merged.full.bytes() < most
            && let Some(merge) = self.merges.pop_front()
        {
            merged.add(&merge, &mut self.encoder)?;
        }
        let Merged { fences, full, small } = merged;
        let bytes = full.bytes();
        self.sync_before(bytes + fences.len() * fence::WRITTEN_BYTES)?;
        self.unsynced.add(bytes, &fences);
        self.write(full, fences, Beside::default())?;
        self.store.meters.merged_values.add(small.len() as u64);
        self.removals.extend(small);
        let over = self.removals.len().saturating_sub(REMOVALS);
        self.remove_merged(over)
    }

    /// Removes so many small batches that were merged.
    fn remove_merged(&mut self, most: usize) -> Result<(), EngineError> {
        let Some(volume) = self.volume.clone() else { return Ok(()) };
        for _ in 0..most {
            let Some((key, bytes)) = self.removals.pop_front() else { break };
            self.sync_before(bytes)?;
            self.unsynced.add(bytes, &[]);
            volume.remove(&key)?;
        }
        Ok(())
    }

    /// What is to be merged, or was and is to be removed, stays as it is.
    pub(super) fn forget_merges(&mut self) {
        self.merges.clear();
        self.removals.clear();
    }
}
