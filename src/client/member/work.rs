//! What a member holds, what it was handed of it, and what of that is done,
//! committed, or to be let go of. Pure: it says what is to be sent, and is told
//! what came of it.
//!
//! ```text
//!   frame ─► queue ─► handed out ─► done ─► committed ─► (revoking) released
//! ```
//!
//! What is handed out and not done when a partition is taken away stays the
//! member's to commit until it is revoked, so nothing comes to the next owner
//! that this one has finished.

use super::MemberItem;
use crate::domain::limits::MAX_COMMITS;
use crate::wire::{CommitEntry, Partitions};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A partition of a topic.
pub(super) type Part = (String, u32);

/// A place behind a record: the record's epoch, and the next offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub epoch: u32,
    pub next: u64,
}

/// How far the member is in one partition.
#[derive(Clone, Copy, Debug)]
struct Progress {
    handed: Place,
    done: Option<Place>,
    committed: Option<Place>,
}

/// Something that waits to be handed out.
#[derive(Debug)]
enum Waiting {
    Record { part: Part, behind: Place, line: Bytes },
    Told(MemberItem),
}

/// Places that are, or are to be, committed together.
pub(super) type Batch = Vec<(Part, Place)>;

/// The state of a member.
#[derive(Debug, Default)]
pub(super) struct Work {
    generation: u64,
    held: BTreeSet<Part>,
    letting: BTreeSet<Part>,
    progress: BTreeMap<Part, Progress>,
    queue: VecDeque<Waiting>,
    /// To be tried one by one, since together they were fenced.
    alone: VecDeque<(Part, Place)>,
}

fn parts(of: &Partitions) -> impl Iterator<Item = Part> + '_ {
    of.iter().flat_map(|(topic, ids)| ids.iter().map(move |id| (topic.clone(), *id)))
}

impl Work {
    /// The generation to commit under.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The member has joined, or is back. In another generation others may have
    /// worked on what it held: what it knows of it is void.
    pub fn joined(&mut self, generation: u64) {
        if generation != self.generation {
            self.lose_all();
        }
        self.generation = generation;
        self.held.clear();
        self.letting.clear();
        // The gateway begins at the commits again.
        self.queue.retain(|waiting| matches!(waiting, Waiting::Told(_)));
    }

    /// The member is none any more.
    pub fn lose_all(&mut self) {
        self.held.clear();
        self.letting.clear();
        self.progress.clear();
        self.alone.clear();
        self.queue.retain(|waiting| matches!(waiting, Waiting::Told(_)));
    }

    /// All that the member holds from now on.
    pub fn assigned(&mut self, generation: u64, all: &Partitions) {
        self.generation = generation;
        self.held = parts(all).collect();
        self.letting.retain(|part| !self.held.contains(part));
        self.tell(MemberItem::Assigned(all.clone()));
    }

    /// Nothing more of these is handed out.
    pub fn revoking(&mut self, generation: u64, some: &Partitions) {
        self.generation = generation;
        for part in parts(some) {
            self.held.remove(&part);
            self.letting.insert(part);
        }
        self.drop_waiting();
        self.tell(MemberItem::Revoking(some.clone()));
    }

    /// These are not the member's any more.
    pub fn revoked(&mut self, generation: u64, some: &Partitions) {
        self.generation = generation;
        for part in parts(some) {
            self.held.remove(&part);
            self.letting.remove(&part);
            self.progress.remove(&part);
            self.alone.retain(|(other, _)| *other != part);
        }
        self.drop_waiting();
        self.tell(MemberItem::Revoked(some.clone()));
    }

    fn drop_waiting(&mut self) {
        let held = &self.held;
        self.queue.retain(|waiting| match waiting {
            Waiting::Record { part, .. } => held.contains(part),
            Waiting::Told(_) => true,
        });
    }

    /// Has something told in its turn.
    pub fn tell(&mut self, item: MemberItem) {
        self.queue.push_back(Waiting::Told(item));
    }

    /// A record came. One of what is not held is left to its owner.
    pub fn record(&mut self, part: &Part, behind: Place, line: Bytes) {
        if self.held.contains(part) {
            self.queue.push_back(Waiting::Record { part: part.clone(), behind, line });
        }
    }

    /// The next thing to be handed out. After a reconnect those come again that
    /// were not committed: what this member was handed already is passed over.
    pub fn next(&mut self) -> Option<MemberItem> {
        loop {
            let (part, behind, line) = match self.queue.pop_front()? {
                Waiting::Told(item) => return Some(item),
                Waiting::Record { part, behind, line } => (part, behind, line),
            };
            let fresh = Progress { handed: behind, done: None, committed: None };
            match self.progress.get_mut(&part) {
                Some(known)
                    if known.handed.epoch == behind.epoch && behind.next <= known.handed.next => {}
                Some(known) => {
                    known.handed = behind;
                    return Some(MemberItem::Record(line));
                }
                None => {
                    self.progress.insert(part, fresh);
                    return Some(MemberItem::Record(line));
                }
            }
        }
    }

    /// All that was handed out is done.
    pub fn done(&mut self) {
        self.progress.values_mut().for_each(|progress| progress.done = Some(progress.handed));
    }

    /// Whether what is done is wanted as soon as may be.
    pub fn is_pressing(&self) -> bool {
        !self.letting.is_empty() || !self.alone.is_empty()
    }

    /// What is done and not committed.
    pub fn due(&mut self) -> Batch {
        match self.alone.pop_front() {
            Some(alone) => vec![alone],
            None => self.open().take(MAX_COMMITS).collect(),
        }
    }

    /// Whether something is done and not committed.
    pub fn has_due(&self) -> bool {
        !self.alone.is_empty() || self.open().next().is_some()
    }

    fn open(&self) -> impl Iterator<Item = (Part, Place)> + '_ {
        self.progress.iter().filter_map(|(part, progress)| {
            let done = progress.done.filter(|done| progress.committed != Some(*done))?;
            Some((part.clone(), done))
        })
    }

    /// These are committed.
    pub fn committed(&mut self, batch: &Batch) {
        for (part, place) in batch {
            if let Some(progress) = self.progress.get_mut(part) {
                progress.committed = Some(*place);
            }
        }
    }

    /// These were refused for good. Together nothing of them was stored: each
    /// is tried by itself, and one that is refused alone is another's by now,
    /// or gone. Says whether something was given up.
    pub fn refused(&mut self, batch: Batch) -> bool {
        if let [(part, place)] = &batch[..] {
            if let Some(progress) = self.progress.get_mut(part) {
                progress.committed = Some(*place);
            }
            return true;
        }
        self.alone.extend(batch);
        false
    }

    /// What is to be let go of, since all of it that was handed out is
    /// committed. Each is answered once.
    pub fn take_free(&mut self) -> Partitions {
        let mut free = Partitions::new();
        let progress = &self.progress;
        self.letting.retain(|part| {
            let open = progress.get(part).is_some_and(|p| p.committed != Some(p.handed));
            if !open {
                free.entry(part.0.clone()).or_default().push(part.1);
            }
            open
        });
        free
    }
}

/// A batch as the interface takes it.
pub(super) fn entries(batch: &Batch) -> Vec<CommitEntry> {
    let entry = |((topic, partition), place): &(Part, Place)| CommitEntry {
        topic: topic.clone(),
        partition: *partition,
        offset: i64::try_from(place.next).unwrap_or(i64::MAX),
        epoch: Some(place.epoch),
        metadata: None,
    };
    batch.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ids: &[u32]) -> Partitions {
        if ids.is_empty() {
            Partitions::new()
        } else {
            Partitions::from([("t".to_owned(), ids.to_vec())])
        }
    }

    fn part(id: u32) -> Part {
        ("t".to_owned(), id)
    }

    fn at(next: u64) -> Place {
        Place { epoch: 0, next }
    }

    /// A member that holds partitions 0 and 1, with the records 0 and 1 of each.
    fn working() -> Work {
        let mut work = Work::default();
        work.joined(3);
        work.assigned(3, &all(&[0, 1]));
        come(&mut work);
        assert_eq!(work.next(), Some(MemberItem::Assigned(all(&[0, 1]))));
        work
    }

    fn come(work: &mut Work) {
        for id in [0, 1] {
            for next in [1, 2] {
                work.record(&part(id), at(next), format!("{id}/{}", next - 1).into());
            }
        }
    }

    fn records(work: &mut Work) -> Vec<String> {
        let mut lines = vec![];
        while let Some(item) = work.next() {
            if let MemberItem::Record(line) = item {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        lines
    }

    #[test]
    fn only_what_is_done_is_committed_and_each_place_once() {
        let mut work = working();
        work.next();
        assert_eq!(work.due(), []);
        work.done();
        let due = work.due();
        assert_eq!(due, [(part(0), at(1))]);
        work.committed(&due);
        assert_eq!(work.due(), []);
        assert_eq!(records(&mut work), ["0/1", "1/0", "1/1"]);
        work.done();
        assert_eq!(work.due(), [(part(0), at(2)), (part(1), at(2))]);
    }

    #[test]
    fn what_is_revoked_is_handed_out_no_more_and_released_once_it_is_committed() {
        let mut work = working();
        for _ in 0..3 {
            work.next();
        }
        work.revoking(4, &all(&[1]));
        assert!(work.is_pressing());
        assert_eq!(records(&mut work), Vec::<String>::new());
        // In hand is still record 1/0.
        assert_eq!(work.take_free(), all(&[]));
        work.done();
        let due = work.due();
        assert_eq!(due, [(part(0), at(2)), (part(1), at(1))]);
        work.committed(&due);
        assert_eq!(work.take_free(), all(&[1]));
        assert_eq!(work.take_free(), all(&[]));
        assert_eq!(work.generation(), 4);
    }

    #[test]
    fn what_was_never_handed_out_is_released_at_once() {
        let mut work = working();
        work.revoking(4, &all(&[0, 1]));
        assert_eq!(work.due(), []);
        assert_eq!(work.take_free(), all(&[0, 1]));
    }

    #[test]
    fn after_a_reconnect_nothing_is_handed_out_twice() {
        let mut work = working();
        assert_eq!(work.next(), Some(MemberItem::Record("0/0".into())));
        work.done();
        work.joined(3);
        assert_eq!(records(&mut work), Vec::<String>::new());
        work.assigned(3, &all(&[0, 1]));
        come(&mut work);
        assert_eq!(records(&mut work), ["0/1", "1/0", "1/1"]);
    }

    #[test]
    fn in_another_generation_all_begins_at_the_commits() {
        let mut work = working();
        work.next();
        work.done();
        work.joined(5);
        assert_eq!(work.due(), []);
        work.assigned(5, &all(&[0, 1]));
        come(&mut work);
        assert_eq!(records(&mut work).len(), 4);
    }

    #[test]
    fn what_was_fenced_together_is_tried_alone_and_then_given_up() {
        let mut work = working();
        records(&mut work);
        work.done();
        let due = work.due();
        assert!(!work.refused(due));
        let first = work.due();
        assert_eq!(first, [(part(0), at(2))]);
        assert!(work.refused(first));
        let second = work.due();
        assert_eq!(second, [(part(1), at(2))]);
        work.committed(&second);
        assert_eq!(work.due(), []);
    }

    #[test]
    fn what_is_another_members_is_neither_handed_out_nor_committed() {
        let mut work = working();
        records(&mut work);
        work.done();
        work.revoked(6, &all(&[1]));
        assert_eq!(work.due(), [(part(0), at(2))]);
        work.record(&part(1), at(3), "1/2".into());
        assert_eq!(records(&mut work), Vec::<String>::new());
    }
}
