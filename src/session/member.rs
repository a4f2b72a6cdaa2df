//! What a subscription of a group's member knows: what it holds, where that
//! begins, and what reads it until its client was told.

use super::holding::Holding;
use crate::{
    broker::{GroupLoss, GroupPlaces, Membership, ReadEvent, Reader},
    domain::{Cursor, GroupName, MemberId, PartitionId, TopicName},
    wire::{
        LeaseNotice, LostNotice, Parts, SubId, assigned_frame, lost_frame, revoked_frame,
        revoking_frame,
    },
};
use futures_util::future::AbortHandle;
use std::collections::VecDeque;

/// What a subscription of a member knows of its group.
pub(super) struct Member {
    /// For calls; as of the newest lease.
    pub calls: Membership,
    pub holding: Holding,
    /// Ends the watch with the subscription.
    pub watch: AbortHandle,
    /// Whether places are being looked for.
    pub looking: bool,
    /// Where what is new begins, and what was lost there: not told as yet.
    begins: Cursor,
    lost: Vec<GroupLoss>,
    /// What reads it, until that is told.
    incoming: Option<Reader>,
    /// What reads what was told since the subscription's reader was made to fit.
    arrived: Option<Reader>,
    /// Whether the subscription's reader is to be made to fit.
    misfit: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Member {
    /// A member that was told nothing.
    pub fn new(calls: Membership, watch: AbortHandle) -> Member {
        Member {
            holding: Holding::new(calls.lease().clone()),
            calls,
            watch,
            looking: false,
            begins: Cursor::default(),
            lost: vec![],
            incoming: None,
            arrived: None,
            misfit: false,
        }
    }

    /// Whether it is this one.
    pub fn is(&self, group: &GroupName, member: &MemberId) -> bool {
        let me = self.calls.member();
        (&me.group, &me.member) == (group, member)
    }

    /// Makes the subscription's reader one of what the client was told.
    /// Whether there was something to do.
    pub fn fit(&mut self, reader: &mut Reader) -> bool {
        let misfit = std::mem::take(&mut self.misfit);
        if misfit {
            // What was held before, and is anew, goes on at its new place.
            reader.retain(|topic, partition| self.is_current(topic, partition));
            if let Some(mut arrived) = self.arrived.take() {
                arrived.retain(|topic, partition| self.holding.reads(topic, partition));
                reader.absorb(arrived);
            }
        }
        misfit
    }

    /// Whether what the subscription's reader has of a partition is for the
    /// client.
    fn is_current(&self, topic: &TopicName, partition: PartitionId) -> bool {
        let anew = |arrived: &Reader| arrived.reads(topic, partition);
        self.holding.reads(topic, partition) && !self.arrived.as_ref().is_some_and(anew)
    }

    /// What was read, but for what the member lost while it was.
    pub fn admit(&self, event: ReadEvent) -> ReadEvent {
        match &event {
            ReadEvent::Records { topic, partition, .. }
            | ReadEvent::Lost { topic, partition, .. }
                if !self.is_current(&topic.name, *partition) =>
            {
                ReadEvent::Skipped
            }
            _ => event,
        }
    }

    /// Tells the client what has become of what it holds. What it lost is read
    /// no more, once its reader is made to fit.
    pub fn tell(&mut self, id: SubId, answers: &mut VecDeque<Vec<u8>>) {
        let turn = self.holding.turn();
        let generation = self.holding.lease().generation;
        let notice = |partitions| LeaseNotice { sub: id, generation, partitions };
        if !turn.revoking.is_empty() {
            answers.push_back(revoking_frame(notice(&turn.revoking), self.holding.grace()));
        }
        if !turn.revoked.is_empty() {
            answers.push_back(revoked_frame(notice(&turn.revoked)));
        }
        self.misfit = true;
        self.tell_assigned(id, answers);
    }

    /// A topic is gone. Whether others may go on.
    pub fn lose(&mut self, topic: &TopicName) -> bool {
        let lost = self.holding.lose(topic);
        self.misfit |= lost;
        lost
    }

    /// Takes over the places that were found, as far as they still matter.
    pub fn take(&mut self, asked: &Parts, places: GroupPlaces, reader: Option<Reader>) {
        self.holding.placed(asked, &places);
        self.lost.extend(places.lost);
        for (topic, found) in places.cursor.topics {
            match self.begins.topics.get_mut(&topic) {
                Some(known) if known.incarnation == found.incarnation => {
                    known.partitions.extend(found.partitions);
                }
                _ => {
                    self.begins.topics.insert(topic, found);
                }
            }
        }
        join_readers(&mut self.incoming, reader);
    }

    /// Tells its assignment, once all is known of it.
    fn tell_assigned(&mut self, id: SubId, answers: &mut VecDeque<Vec<u8>>) {
        if !self.holding.is_to_tell() {
            return;
        }
        let mut begins = std::mem::take(&mut self.begins);
        begins.topics.retain(|topic, places| {
            places.partitions.retain(|partition, _| self.holding.reads(topic, *partition));
            !places.partitions.is_empty()
        });
        let (generation, partitions, waiting) = self.holding.tell();
        let notice = LeaseNotice { sub: id, generation, partitions };
        answers.push_back(assigned_frame(notice, &begins, waiting));
        let lost = std::mem::take(&mut self.lost);
        let held = |loss: &&GroupLoss| {
            partitions.get(&loss.topic).is_some_and(|held| held.contains(&loss.partition))
        };
        for loss in lost.iter().filter(held) {
            let notice = LostNotice::new(&loss.topic, loss.partition, loss.range);
            answers.push_back(lost_frame(id, &notice));
        }
        let told = self.incoming.take();
        join_readers(&mut self.arrived, told);
    }
}

/// Adds the partitions of `newer`. What both read, is read from its newer place.
fn join_readers(reader: &mut Option<Reader>, newer: Option<Reader>) {
    match (reader.as_mut(), newer) {
        (Some(reader), Some(newer)) => {
            reader.retain(|topic, partition| !newer.reads(topic, partition));
            reader.absorb(newer);
        }
        (None, newer) => *reader = newer,
        (Some(_), None) => {}
    }
}
