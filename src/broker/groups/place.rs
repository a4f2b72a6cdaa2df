//! Where a group goes on in a partition, and what it is told: a pure decision.
//!
//! | what was committed | `earliest` | `latest` | `none` |
//! | --- | --- | --- | --- |
//! | nothing | at the start | at the tail | nowhere |
//! | a place that stands | there | there | there |
//! | before the start | at the start, told | at the tail, told | nowhere, told |
//! | beyond the end of its epoch | at that end, told | at the tail, told | nowhere, told |
//! | beyond all that was written | at the tail, told | at the tail, told | nowhere, told |
//!
//! `earliest` is the earliest record that the group has not read: what it once
//! committed is not read again.

use crate::domain::{LostRange, LostReason, Offset, PartitionView, Position, StartPolicy};

/// Where a group goes on in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next offset to read; `None` = nowhere, until something is committed.
    pub at: Option<Position>,
    /// What it will never see.
    pub lost: Option<LostRange>,
    /// Whether the policy chose the place: it is then to be committed.
    pub chosen: bool,
}

/// Decides on the place of a group that committed `commit`.
pub(super) fn place(commit: Option<Position>, view: &PartitionView, from: StartPolicy) -> Place {
    let Some(commit) = commit else {
        return Place { at: by_policy(view, from, view.start), lost: None, chosen: true };
    };
    let (nearest, lost) = match view.resume(commit) {
        Some(resume) => (resume.at.next, resume.lost),
        None => beyond(commit, view),
    };
    match lost {
        None => Place { at: Some(view.position(nearest)), lost, chosen: false },
        Some(_) => Place { at: by_policy(view, from, nearest), lost, chosen: true },
    }
}

fn by_policy(view: &PartitionView, from: StartPolicy, earliest: Offset) -> Option<Position> {
    match from {
        StartPolicy::Earliest => Some(view.position(earliest)),
        StartPolicy::Latest => Some(view.position(view.tail)),
        StartPolicy::None => None,
    }
}

/// Of a commit that no reader of this partition can have made: as when the log
/// was put back to an earlier state and the commits were not.
fn beyond(commit: Position, view: &PartitionView) -> (Offset, Option<LostRange>) {
    if commit.next <= view.tail {
        return (commit.next.max(view.start), None);
    }
    let to = commit.next.minus(1);
    (view.tail, Some(LostRange { from: view.tail, to, reason: LostReason::Truncated }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, EpochStart};
    use StartPolicy::{Earliest, Latest, None as Nowhere};

    /// Offsets 10 to 99 in two epochs, the second from 50 on.
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

    fn placed(commit: Option<Position>, from: StartPolicy) -> (Option<Position>, bool) {
        let place = place(commit, &view(), from);
        (place.at, place.chosen)
    }

    fn lost(from: u64, to: u64, reason: LostReason) -> Option<LostRange> {
        Some(LostRange { from: Offset(from), to: Offset(to), reason })
    }

    #[test]
    fn without_a_commit_the_policy_says_where_and_nothing_is_lost() {
        assert_eq!(placed(None, Earliest), (Some(at(0, 10)), true));
        assert_eq!(placed(None, Latest), (Some(at(2, 100)), true));
        assert_eq!(placed(None, Nowhere), (None, true));
        assert_eq!(place(None, &view(), Earliest).lost, None);
    }

    #[test]
    fn a_commit_that_stands_beats_the_policy() {
        for commit in [at(0, 10), at(0, 49), at(2, 60), at(2, 100)] {
            for from in [Earliest, Latest, Nowhere] {
                assert_eq!(placed(Some(commit), from), (Some(commit), false));
            }
        }
        // The end of an epoch is the beginning of the next.
        assert_eq!(placed(Some(at(0, 50)), Nowhere), (Some(at(2, 50)), false));
    }

    #[test]
    fn a_commit_before_the_start_goes_on_by_the_policy_and_is_told() {
        let commit = Some(at(0, 3));
        assert_eq!(placed(commit, Earliest), (Some(at(0, 10)), true));
        assert_eq!(placed(commit, Latest), (Some(at(2, 100)), true));
        assert_eq!(placed(commit, Nowhere), (None, true));
        for from in [Earliest, Latest, Nowhere] {
            assert_eq!(place(commit, &view(), from).lost, lost(3, 9, LostReason::Retention));
        }
    }

    #[test]
    fn a_commit_in_a_past_epoch_beyond_its_end_is_told_and_nothing_new_is_passed_over() {
        let commit = Some(at(1, 70));
        assert_eq!(placed(commit, Earliest), (Some(at(2, 50)), true));
        assert_eq!(placed(commit, Latest), (Some(at(2, 100)), true));
        assert_eq!(placed(commit, Nowhere), (None, true));
        assert_eq!(place(commit, &view(), Earliest).lost, lost(50, 69, LostReason::Truncated));
    }

    #[test]
    fn a_commit_beyond_the_tail_goes_on_at_the_tail_and_is_told() {
        for commit in [Some(at(2, 120)), Some(at(7, 120))] {
            assert_eq!(placed(commit, Earliest), (Some(at(2, 100)), true));
            assert_eq!(placed(commit, Nowhere), (None, true));
            let told = lost(100, 119, LostReason::Truncated);
            assert_eq!(place(commit, &view(), Earliest).lost, told);
        }
        // Of an epoch that is not known, and within what is there.
        assert_eq!(placed(Some(at(7, 60)), Nowhere), (Some(at(2, 60)), false));
    }
}
