//! Where a reader stands in a partition, and what has become of that place.

use super::{Epoch, Offset};
use serde::{Deserialize, Serialize};

/// A reader's place in one partition: the next offset to read, and the epoch
/// in which it learnt of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch of the record before `next`, or of the partition when the
    /// reader started there.
    pub epoch: Epoch,
    /// The next offset to read.
    pub next: Offset,
}

/// The first offset of an epoch. A partition keeps a list of these, oldest
/// first; an epoch ends where the next of the list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first offset.
    pub first: Offset,
}

/// Why records a reader would have come to are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// Older, or more, than the topic keeps.
    Retention,
    /// Lost in a crash (`buffered`), or with a loss that was accepted.
    Truncated,
    /// Someone moved the start.
    Trimmed,
}

/// Offsets that a reader will not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The first offset that is gone.
    pub from: Offset,
    /// The last offset that is gone (inclusive).
    pub to: Offset,
    /// Why.
    pub reason: LostReason,
}

/// One partition as readers may see it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// The earliest retained offset.
    pub start: Offset,
    /// The next offset to be written that readers may see.
    pub tail: Offset,
    /// How far the start was moved by a call, as against by retention.
    pub trimmed_to: Offset,
    /// The epochs, oldest first; never empty.
    pub epochs: Vec<EpochStart>,
    /// Bytes of records kept, before compression.
    pub bytes: u64,
}

/// What a reader that comes with a position is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Where it goes on.
    pub at: Position,
    /// What it has missed for good, if anything.
    pub lost: Option<LostRange>,
}

impl PartitionView {
    /// The epoch that is being written.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(Epoch(0), |e| e.epoch)
    }

    /// The epoch in which `offset` was written.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Epoch {
        let after = self.epochs.partition_point(|e| e.first <= offset);
        self.epochs.get(after.saturating_sub(1)).map_or(Epoch(0), |e| e.epoch)
    }

    /// Where `epoch` ended: the first offset of the next epoch, or the tail.
    #[must_use]
    pub fn epoch_end(&self, epoch: Epoch) -> Offset {
        self.epochs.iter().find(|e| e.epoch > epoch).map_or(self.tail, |e| e.first)
    }

    /// Decides where a reader with `position` goes on.
    ///
    /// Past the end of its epoch: what it had seen there is lost, and it goes
    /// on at that end. Before the start: what lay between is gone. `None` when
    /// the position lies beyond everything that was ever written, or in an
    /// epoch that has not been: it is not of this partition.
    #[must_use]
    pub fn resume(&self, position: Position) -> Option<Resume> {
        if position.epoch > self.epoch() {
            return None;
        }
        let end = self.epoch_end(position.epoch);
        if position.next > end {
            if position.epoch == self.epoch() {
                return None;
            }
            let at = end.max(self.start);
            let to = position.next.minus(1).max(at.minus(1));
            let lost = LostRange { from: end, to, reason: LostReason::Truncated };
            return Some(Resume { at: self.position(at), lost: Some(lost) });
        }
        if position.next < self.start {
            let reason = if self.start <= self.trimmed_to {
                LostReason::Trimmed
            } else {
                LostReason::Retention
            };
            let lost = LostRange { from: position.next, to: self.start.minus(1), reason };
            return Some(Resume { at: self.position(self.start), lost: Some(lost) });
        }
        Some(Resume { at: self.position(position.next), lost: None })
    }

    /// The position of a reader that has read up to `next`.
    #[must_use]
    pub fn position(&self, next: Offset) -> Position {
        Position { epoch: self.epoch_of(next), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> PartitionView {
        let epoch = |epoch, first| EpochStart { epoch: Epoch(epoch), first: Offset(first) };
        PartitionView {
            start: Offset(10),
            tail: Offset(100),
            trimmed_to: Offset(0),
            epochs: vec![epoch(0, 0), epoch(2, 50)],
            bytes: 0,
        }
    }

    fn at(epoch: u32, next: u64) -> Position {
        Position { epoch: Epoch(epoch), next: Offset(next) }
    }

    #[test]
    fn a_position_that_still_stands_goes_on_there() {
        for p in [at(0, 10), at(2, 60), at(2, 100)] {
            assert_eq!(view().resume(p), Some(Resume { at: p, lost: None }));
        }
        // The end of an old epoch is the beginning of the next.
        assert_eq!(view().resume(at(0, 50)).unwrap().at, at(2, 50));
    }

    #[test]
    fn a_position_beyond_its_epochs_end_is_told_of_the_truncation() {
        let lost = LostRange { from: Offset(50), to: Offset(69), reason: LostReason::Truncated };
        assert_eq!(view().resume(at(1, 70)), Some(Resume { at: at(2, 50), lost: Some(lost) }));
    }

    #[test]
    fn a_position_before_the_start_is_told_why() {
        let mut view = view();
        let lost = |reason| Some(LostRange { from: Offset(3), to: Offset(9), reason });
        assert_eq!(view.resume(at(0, 3)).unwrap().lost, lost(LostReason::Retention));
        view.trimmed_to = Offset(10);
        assert_eq!(view.resume(at(0, 3)).unwrap().lost, lost(LostReason::Trimmed));
    }

    #[test]
    fn a_position_that_never_was_is_refused() {
        assert_eq!(view().resume(at(2, 101)), None);
        assert_eq!(view().resume(at(3, 60)), None);
    }
}
