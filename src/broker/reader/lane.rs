//! One partition of a reader: its place, and what it waits for there.

use crate::{
    broker::{
        Broker, BrokerError,
        follow::{Hub, KeySet, Parked},
    },
    domain::{Epoch, LostRange, Offset, PartitionId, PartitionView, Position, StartAt},
    engine::{EngineError, Topic},
};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// A reader's place in one partition.
pub(super) struct Lane {
    pub(super) topic: Arc<Topic>,
    pub(super) partition: PartitionId,
    pub(super) at: Position,
    /// The newest epoch known. Another one means that records may have been
    /// lost, even ones that were read.
    pub(super) newest: Epoch,
    /// To be told before the next record.
    pub(super) lost: Option<Loss>,
    /// Taken before the place was looked for, so that nothing slips between.
    pub(super) tail: watch::Receiver<Offset>,
    /// Where to stop for good.
    pub(super) end: Option<Offset>,
    /// Only records with these keys.
    pub(super) keys: Option<KeySet>,
    /// Whether it has come to the tail: it then follows.
    pub(super) follows: bool,
    /// What it shares with all who follow the partition.
    hub: Option<Arc<Hub>>,
    /// Its place among the readers of keys at the tail, while it has one.
    pub(super) parked: Option<Parked>,
}

/// A loss that was not told yet.
#[derive(Clone, Copy)]
pub(super) struct Loss {
    pub(super) range: LostRange,
    /// The place before it: the lane's, for as long as it was not told.
    pub(super) before: Position,
}

impl Lane {
    /// A lane from a place that is still to be looked for.
    pub(super) fn open(
        broker: &Broker,
        topic: &Arc<Topic>,
        partition: PartitionId,
        keys: Option<KeySet>,
    ) -> Result<(Lane, PartitionView), BrokerError> {
        let tail = broker.engine.watch_tail(topic, partition)?;
        let view = broker.engine.partition(topic, partition)?;
        let lane = Lane {
            topic: Arc::clone(topic),
            partition,
            at: view.position(view.tail),
            newest: view.epoch(),
            lost: None,
            tail,
            end: None,
            keys,
            follows: false,
            hub: None,
            parked: None,
        };
        Ok((lane, view))
    }

    /// Moves to where `start` says.
    pub(super) async fn start(
        &mut self,
        broker: &Broker,
        view: &PartitionView,
        start: StartAt,
    ) -> Result<(), BrokerError> {
        let next = match start {
            StartAt::Earliest => view.start,
            StartAt::Latest => view.tail,
            StartAt::Last(n) => view.tail.minus(n).max(view.start),
            StartAt::Offset(asked) if asked < view.start || asked > view.tail => {
                let (start, tail) = (view.start, view.tail);
                return Err(EngineError::OffsetOutOfRange { asked, start, tail }.into());
            }
            StartAt::Offset(asked) => asked,
            StartAt::Time(time) => {
                broker.engine.offset_at(&self.topic, self.partition, time).await?
            }
        };
        self.at = view.position(next);
        Ok(())
    }

    /// Moves to where a reader with `position` goes on. `false` if it is not
    /// a position of this partition.
    pub(super) fn resume(&mut self, view: &PartitionView, position: Position) -> bool {
        let Some(resume) = view.resume(position) else { return false };
        self.at = resume.at;
        self.lost = resume.lost.map(|range| Loss { range, before: position });
        self.newest = view.epoch();
        true
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The place after all that was answered.
    pub(super) fn at(&self) -> Position {
        let place = || match self.parked.as_ref().and_then(Parked::next) {
            Some(next) => Position { epoch: self.newest, next },
            None => self.at,
        };
        self.lost.map_or_else(place, |loss| loss.before)
    }

    /// How many records are still to come until the tail, or the end.
    pub(super) fn behind(&self) -> u64 {
        if let Some(parked) = &self.parked {
            return parked.waiting();
        }
        let tail = *self.tail.borrow();
        self.end.map_or(tail, |end| end.min(tail)).since(self.at.next)
    }

    pub(super) fn stop_at_tail(&mut self) {
        self.end = Some((*self.tail.borrow()).max(self.at.next));
    }

    /// Whether there is something to say. Does not look at what is gone.
    pub(super) fn is_ready(&self) -> bool {
        if self.lost.is_some() {
            return true;
        }
        match &self.parked {
            Some(parked) => parked.is_ready(),
            None => !self.ended() && *self.tail.borrow() != self.at.next,
        }
    }

    /// As [`Lane::is_ready`], and takes note of the tail, so that `moved`
    /// waits for the next one. A lane that is not ready follows from now on.
    pub(super) fn look(&mut self) -> bool {
        self.tail.borrow_and_update();
        let ready = self.is_ready();
        self.follows |= !ready && self.end.is_none();
        ready
    }

    /// As [`Lane::look`], of a lane with keys: it is woken by `wake` once there
    /// is a record for it, or its topic is gone.
    pub(super) fn look_for_keys(&mut self, broker: &Arc<Broker>, wake: &Arc<Notify>) -> bool {
        if self.look() || self.is_gone() {
            return true;
        }
        if self.parked.is_some() || self.ended() {
            return false;
        }
        let (Some(hub), Some(keys)) = (self.hub(broker), self.keys.clone()) else { return true };
        let place = (self.at.next, self.newest);
        self.parked = hub.park(broker, &self.tail, place, &keys, wake);
        if let Some(parked) = &self.parked {
            return parked.is_ready();
        }
        if !self.is_ready() {
            // The partition is in an epoch that this lane has not heard of.
            self.look_at_epoch(broker);
        }
        true
    }

    /// Waits until the tail moves or the topic is gone.
    pub(super) async fn moved(&mut self) {
        if self.ended() {
            return std::future::pending().await;
        }
        // An error says that the topic is gone, which `next` will tell.
        let _gone = self.tail.changed().await;
    }

    pub(super) fn ended(&self) -> bool {
        self.end.is_some_and(|end| self.at.next >= end)
    }

    /// The topic is gone once its tail has no sender.
    pub(super) fn is_gone(&self) -> bool {
        self.tail.has_changed().is_err()
    }

    /// What all who follow the partition share, if this one does.
    pub(super) fn hub(&mut self, broker: &Broker) -> Option<Arc<Hub>> {
        if self.hub.is_none() && self.follows {
            self.hub = Some(broker.hubs.hub(&self.topic, self.partition));
        }
        self.hub.clone()
    }
}
