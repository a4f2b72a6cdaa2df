//! A bound on bytes that several share. Nobody waits for it: who finds it full
//! holds less.

use crate::domain::RecordBatch;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that are taken, and how many may be.
pub(in crate::broker) struct Budget {
    taken: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Budget {
        Budget { taken: AtomicUsize::new(0), max }
    }

    pub(super) fn take(&self, bytes: usize) {
        // The counter guards no other memory, so no order is needed.
        self.taken.fetch_add(bytes, Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken() >= self.max
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

/// What a batch that is shared takes about: itself, its records, and two forms
/// of them, of which JSON has about the size of the records.
pub(super) fn weight(batch: &RecordBatch) -> usize {
    const ITSELF: usize = 512;
    ITSELF + 3 * batch.body.len()
}
