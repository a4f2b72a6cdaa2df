//! One partition of a reader: its place, and what has become of it.

use super::{
    ReadEvent,
    fit::{Room, fit},
};
use crate::{
    broker::{Broker, BrokerError, SharedBatch},
    domain::{Epoch, LostRange, LostReason, Offset, PartitionId, PartitionView, Position, StartAt},
    engine::{EngineError, Topic},
};
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;

/// A reader's place in one partition.
pub(super) struct Lane {
    topic: Arc<Topic>,
    partition: PartitionId,
    at: Position,
    /// The newest epoch known. Another one means that records may have been
    /// lost, even ones that were read.
    newest: Epoch,
    /// To be told before the next record.
    lost: Option<Loss>,
    /// Taken before the place was looked for, so that nothing slips between.
    tail: watch::Receiver<Offset>,
    /// Where to stop for good.
    end: Option<Offset>,
}

/// A loss that was not told yet.
#[derive(Clone, Copy)]
struct Loss {
    range: LostRange,
    /// The place before it: the lane's, for as long as it was not told.
    before: Position,
}

impl Lane {
    /// A lane from a place that is still to be looked for.
    pub(super) fn open(
        broker: &Broker,
        topic: &Arc<Topic>,
        partition: PartitionId,
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
        self.lost.map_or(self.at, |loss| loss.before)
    }

    /// How many records are still to come until the tail, or the end.
    pub(super) fn behind(&self) -> u64 {
        let tail = *self.tail.borrow();
        self.end.map_or(tail, |end| end.min(tail)).since(self.at.next)
    }

    pub(super) fn stop_at_tail(&mut self) {
        self.end = Some((*self.tail.borrow()).max(self.at.next));
    }

    /// Whether there is something to say. Does not look at what is gone.
    pub(super) fn is_ready(&self) -> bool {
        self.lost.is_some() || (!self.ended() && *self.tail.borrow() != self.at.next)
    }

    /// As [`Lane::is_ready`], and takes note of the tail, so that `moved`
    /// waits for the next one.
    pub(super) fn look(&mut self) -> bool {
        self.tail.borrow_and_update();
        self.is_ready()
    }

    /// Waits until the tail moves or the topic is gone.
    pub(super) async fn moved(&mut self) {
        if self.ended() {
            return std::future::pending().await;
        }
        // An error says that the topic is gone, which `next` will tell.
        let _gone = self.tail.changed().await;
    }

    fn ended(&self) -> bool {
        self.end.is_some_and(|end| self.at.next >= end)
    }

    pub(super) async fn next(
        &mut self,
        broker: &Broker,
        room: Room,
    ) -> Result<Option<ReadEvent>, BrokerError> {
        loop {
            if let Some(Loss { range, .. }) = self.lost.take() {
                broker.metrics.lost_records.add(range.to.since(range.from) + 1);
                let (topic, partition) = (Arc::clone(&self.topic), self.partition);
                return Ok(Some(ReadEvent::Lost { topic, partition, range }));
            }
            if !self.is_ready() {
                self.check_topic()?;
                return Ok(None);
            }
            // Seen before the read: a place is never taken for one of a newer
            // epoch than its records were written in.
            let view = broker.engine.partition(&self.topic, self.partition)?;
            if view.epoch() != self.newest {
                self.find_again(&view)?;
                continue;
            }
            if let Some(event) = self.read(broker, &view, room).await? {
                return Ok(Some(event));
            }
        }
    }

    /// One read; `None` when there is to be another look at the place.
    async fn read(
        &mut self,
        broker: &Broker,
        view: &PartitionView,
        room: Room,
    ) -> Result<Option<ReadEvent>, BrokerError> {
        let from = self.at.next;
        let begun = Instant::now();
        let read = {
            let _permit = broker.reads.acquire().await;
            broker.engine.read(&self.topic, self.partition, from, room.budget).await
        };
        let chunk = match read {
            Ok(chunk) => chunk,
            Err(EngineError::Lost { to }) if to > from => {
                let range = LostRange { from, to: to.minus(1), reason: LostReason::Truncated };
                self.lost = Some(Loss { range, before: self.at });
                self.at = view.position(to);
                return Ok(None);
            }
            Err(EngineError::OffsetOutOfRange { asked, start, tail }) => {
                // Retention was faster, or the tail moved back in a recovery.
                let view = broker.engine.partition(&self.topic, self.partition)?;
                self.find_again(&view)?;
                if self.lost.is_none() && self.at.next == from {
                    return Err(EngineError::OffsetOutOfRange { asked, start, tail }.into());
                }
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        // What is answered at once is of one epoch.
        let epoch = view.epoch_of(from);
        let epoch_ends = (epoch < self.newest).then(|| view.epoch_end(epoch));
        let end = self.end.into_iter().chain(epoch_ends).min();
        let chunk = fit(chunk, from, room, end)
            .map_err(|corrupt| EngineError::Damaged(corrupt.to_string()))?;
        if chunk.next <= from && !room.least_one {
            return Ok(Some(ReadEvent::Full));
        }
        if chunk.next <= from {
            // At the tail after all. Not an event, and nothing to look at again.
            return Err(EngineError::Unavailable("the tail cannot be read".to_owned()).into());
        }
        self.at = Position { epoch: view.epoch_of(chunk.next.minus(1)), next: chunk.next };
        if chunk.batches.is_empty() {
            return Ok(None);
        }
        let records = chunk.batches.iter().map(|b| u64::from(b.count)).sum();
        let bytes = chunk.batches.iter().map(|b| b.body.len()).sum();
        broker.metrics.read(records, bytes, begun.elapsed());
        let (topic, partition) = (Arc::clone(&self.topic), self.partition);
        let batches = chunk.batches.into_iter().map(|batch| SharedBatch::private(batch).into());
        let batches = batches.collect();
        Ok(Some(ReadEvent::Records { topic, partition, epoch, batches }))
    }

    /// Goes on from the place that `view` has for it.
    fn find_again(&mut self, view: &PartitionView) -> Result<(), BrokerError> {
        let (start, tail) = (view.start, view.tail);
        if self.resume(view, self.at) {
            return Ok(());
        }
        Err(EngineError::OffsetOutOfRange { asked: self.at.next, start, tail }.into())
    }

    /// The topic of a lane at the tail is gone once its tail has no sender.
    fn check_topic(&self) -> Result<(), BrokerError> {
        match self.tail.has_changed() {
            Ok(_) => Ok(()),
            Err(_) => Err(EngineError::TopicUnknown(self.topic.name.clone()).into()),
        }
    }
}
