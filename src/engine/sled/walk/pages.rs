//! The page table that replay would come to: enough of it to tell whether what it needs is there.

use std::collections::HashMap;

use super::format::{Effect, Message};
use super::snapshot::{Reference, Snapshot};

/// The pages, and the batches that are not yet known to be complete.
#[derive(Debug, Default)]
pub(super) struct Pages {
    table: HashMap<u64, Page>,
    /// Pages with a number below this one must all have a state.
    count: u64,
    /// What has been read since the first of `batches`.
    waiting: Vec<(u64, Effect)>,
    batches: Vec<Batch>,
}

#[derive(Debug, Default)]
struct Page {
    /// Whether there is a state that links could add to.
    based: bool,
    /// What of the snapshot still holds.
    references: Vec<Reference>,
}

/// A batch whose end has not been reached.
#[derive(Debug, Clone, Copy)]
struct Batch {
    lsn: i64,
    last: i64,
    /// How much was waiting when it began.
    waiting: usize,
}

impl Pages {
    /// The table that a snapshot holds.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut pages = Self { count: snapshot.pages, ..Self::default() };
        for page in 0..snapshot.pages {
            pages.table.insert(page, Page { based: true, references: Vec::new() });
        }
        for reference in &snapshot.references {
            pages.table.entry(reference.page).or_default().references.push(*reference);
        }
        pages
    }

    /// Takes in the message at `lsn`.
    pub(super) fn take(&mut self, lsn: i64, message: &Message) {
        if self.batches.iter().all(|batch| batch.last < lsn) {
            self.settle();
        }
        match message.effect {
            Effect::Skip | Effect::Cap => {}
            Effect::Batch(last) => {
                self.batches.push(Batch { lsn, last, waiting: self.waiting.len() })
            }
            effect @ (Effect::Replace | Effect::Link) => self.waiting.push((message.page, effect)),
        }
    }

    /// Ends the replay, the log reaching up to `end` (not including). Returns where the first batch begins that is cut
    /// short by this, and at which replay stops.
    pub(super) fn finish(&mut self, end: i64) -> Option<i64> {
        let cut = self.batches.iter().find(|batch| batch.last >= end).copied();
        if let Some(batch) = cut {
            self.waiting.truncate(batch.waiting);
        }
        self.settle();
        cut.map(|batch| batch.lsn)
    }

    fn settle(&mut self) {
        self.batches.clear();
        for (number, effect) in std::mem::take(&mut self.waiting) {
            let page = self.table.entry(number).or_default();
            if effect == Effect::Replace {
                *page = Page { based: true, references: Vec::new() };
            }
            // A link to nothing is passed over by replay as well: its page's base was moved, and comes later.
            if page.based {
                self.count = self.count.max(number + 1);
            }
        }
    }

    /// A page that has no state though it should.
    pub(super) fn orphan(&self) -> Option<u64> {
        let unbased =
            self.table.iter().filter(|(_, page)| !page.based).map(|(number, _)| *number).min();
        let based = self.table.values().filter(|page| page.based).count();
        if u64::try_from(based).is_ok_and(|based| based == self.count) {
            return unbased;
        }
        (0..self.count).find(|number| !self.table.get(number).is_some_and(|page| page.based))
    }

    /// The states that the snapshot alone holds, by offset.
    pub(super) fn references(&self) -> Vec<Reference> {
        let mut all: Vec<Reference> =
            self.table.values().flat_map(|page| &page.references).copied().collect();
        all.sort_unstable_by_key(|reference| reference.at);
        all
    }
}
