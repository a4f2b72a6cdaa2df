//! One step of a partition's reader: from memory where it can, from the store
//! where it must.

use super::{
    ReadEvent,
    fit::{Room, fit},
    lane::{Lane, Loss},
};
use crate::{
    broker::{
        Broker, BrokerError, SharedBatch,
        follow::{Hub, KeySet, Live, Taken, Took},
    },
    domain::{CorruptRecord, LostRange, LostReason, Offset, PartitionView, Position},
    engine::{EngineError, ReadBudget, ReadChunk},
};
use std::{sync::Arc, time::Instant};

/// What a reader of keys looks through in one step: little enough that others
/// get their turn, enough that it gets on.
const SCAN: ReadBudget = ReadBudget { records: 100_000, bytes: 1 << 20 };
/// What one reads for all that follow, when it is not in memory.
const LOAD: ReadBudget = ReadBudget { records: 100_000, bytes: 512 << 10 };

enum Step {
    Event(ReadEvent),
    /// At the tail.
    Nothing,
    /// There is to be another look at the place.
    Again,
}

fn damaged(corrupt: CorruptRecord) -> BrokerError {
    EngineError::Damaged(corrupt.to_string()).into()
}

/// The records with one of `keys`.
fn picked(chunk: ReadChunk, keys: Option<&KeySet>) -> Result<ReadChunk, CorruptRecord> {
    let Some(keys) = keys else { return Ok(chunk) };
    let mut batches = vec![];
    for batch in &chunk.batches {
        batches.append(&mut batch.with_keys(|key| keys.has(key))?);
    }
    Ok(ReadChunk { batches, ..chunk })
}

impl Lane {
    pub(super) async fn next(
        &mut self,
        broker: &Broker,
        room: Room,
    ) -> Result<Option<ReadEvent>, BrokerError> {
        loop {
            match self.step(broker, room).await? {
                Step::Event(event) => return Ok(Some(event)),
                Step::Nothing => return Ok(None),
                Step::Again => {}
            }
        }
    }

    async fn step(&mut self, broker: &Broker, room: Room) -> Result<Step, BrokerError> {
        if let Some(Loss { range, .. }) = self.lost.take() {
            broker.metrics.lost_records.add(range.to.since(range.from) + 1);
            let (topic, partition) = (Arc::clone(&self.topic), self.partition);
            return Ok(Step::Event(ReadEvent::Lost { topic, partition, range }));
        }
        if self.is_gone() {
            // The engine knows better if it is all of it that is gone.
            broker.engine.partition(&self.topic, self.partition)?;
            return Err(EngineError::TopicUnknown(self.topic.name.clone()).into());
        }
        if self.parked.is_some() {
            return self.of_parked(broker, room);
        }
        if !self.is_ready() {
            return Ok(Step::Nothing);
        }
        let hub = self.hub(broker);
        let Some(hub) = hub.as_deref() else { return self.of_store(broker, room, None).await };
        match self.of_ring(broker, hub, room)? {
            (Some(step), _) => Ok(step),
            (None, false) => self.of_store(broker, room, None).await,
            (None, true) => {
                // One reads what none has in memory; the others wait for that.
                let _turn = hub.turn_to_load().await;
                match self.of_ring(broker, hub, room)? {
                    (Some(step), _) => Ok(step),
                    (None, at_end) => {
                        // What is read by key is not all that others want.
                        let for_all = (at_end && self.keys.is_none()).then_some(hub);
                        self.of_store(broker, room, for_all).await
                    }
                }
            }
        }
    }

    /// What was found for a reader of keys at the tail.
    fn of_parked(&mut self, broker: &Broker, room: Room) -> Result<Step, BrokerError> {
        let Some(parked) = &self.parked else { return Ok(Step::Again) };
        match parked.take(room).map_err(damaged)? {
            Live::Found { batches, next } => Ok(self.give_shared(broker, Taken { batches, next })),
            Live::Full => Ok(Step::Event(ReadEvent::Full)),
            Live::GoOn(next) => {
                self.at = Position { epoch: self.newest, next };
                self.parked = None;
                Ok(Step::Again)
            }
            Live::Nothing => Ok(Step::Nothing),
        }
    }

    /// What is in memory, if anything is; else whether the ring ends here.
    fn of_ring(
        &mut self,
        broker: &Broker,
        hub: &Hub,
        room: Room,
    ) -> Result<(Option<Step>, bool), BrokerError> {
        let from = self.at.next;
        let most = match self.keys {
            Some(_) => Room { budget: SCAN, least_one: true },
            None => room,
        };
        let took = hub.take(&*broker.engine, from, self.newest, most, self.end);
        let taken = match took.map_err(damaged)? {
            Took::Some(taken) => taken,
            Took::AtEnd => return Ok((None, true)),
            Took::Elsewhere => return Ok((None, false)),
        };
        if self.keys.is_none() {
            return Ok((Some(self.give_shared(broker, taken)), false));
        }
        let batches = taken.batches.iter().map(|shared| shared.batch.clone()).collect();
        let chunk = ReadChunk { batches, next: taken.next };
        let chunk = picked(chunk, self.keys.as_ref()).map_err(damaged)?;
        let chunk = fit(chunk, from, room, None).map_err(damaged)?;
        let batches = private(chunk.batches);
        Ok((Some(self.give_shared(broker, Taken { batches, next: chunk.next })), false))
    }

    /// Records of the newest epoch that this lane knows.
    fn give_shared(&mut self, broker: &Broker, taken: Taken) -> Step {
        let Taken { batches, next } = taken;
        let moved = next > self.at.next;
        self.at = Position { epoch: self.newest, next };
        if batches.is_empty() {
            return self.without_records(moved);
        }
        let records = batches.iter().map(|b| u64::from(b.batch.count)).sum();
        broker.metrics.followed(records, batches.iter().map(|b| b.batch.body.len()).sum());
        let (topic, partition, epoch) = (Arc::clone(&self.topic), self.partition, self.newest);
        Step::Event(ReadEvent::Records { topic, partition, epoch, batches })
    }

    /// A step that found none: it passed over other keys, or a gap; or there
    /// was no room.
    fn without_records(&self, moved: bool) -> Step {
        match (moved, &self.keys) {
            (false, _) => Step::Event(ReadEvent::Full),
            (true, Some(_)) => Step::Event(ReadEvent::Skipped),
            (true, None) => Step::Again,
        }
    }

    async fn of_store(
        &mut self,
        broker: &Broker,
        room: Room,
        for_all: Option<&Hub>,
    ) -> Result<Step, BrokerError> {
        // Seen before the read: a place is never taken for one of a newer
        // epoch than its records were written in.
        let view = broker.engine.partition(&self.topic, self.partition)?;
        if view.epoch() != self.newest {
            self.find_again(&view)?;
            return Ok(Step::Again);
        }
        let from = self.at.next;
        let begun = Instant::now();
        let budget = if for_all.is_some() { LOAD } else { room.budget };
        let chunk = match self.read(broker, budget).await {
            Ok(chunk) => chunk,
            Err(error) => return self.failed(broker, &view, error),
        };
        // What is answered at once is of one epoch.
        let epoch = view.epoch_of(from);
        let epoch_ends = (epoch < self.newest).then(|| view.epoch_end(epoch));
        let end = self.end.into_iter().chain(epoch_ends).min();
        if let Some(hub) = for_all.filter(|_| epoch_ends.is_none()) {
            hub.add(from, epoch, &chunk.batches, chunk.next);
        }
        let chunk = picked(chunk, self.keys.as_ref()).map_err(damaged)?;
        let chunk = fit(chunk, from, room, end).map_err(damaged)?;
        if chunk.next <= from && room.least_one {
            // At the tail after all. Not an event, and nothing to look at again.
            return Err(EngineError::Unavailable("the tail cannot be read".to_owned()).into());
        }
        if chunk.next > from {
            self.at = Position { epoch: view.epoch_of(chunk.next.minus(1)), next: chunk.next };
            self.follows |= chunk.next >= view.tail && self.end.is_none();
        }
        if chunk.batches.is_empty() {
            return Ok(self.without_records(chunk.next > from));
        }
        let records = chunk.batches.iter().map(|b| u64::from(b.count)).sum();
        let bytes = chunk.batches.iter().map(|b| b.body.len()).sum();
        broker.metrics.read(records, bytes, begun.elapsed());
        let (topic, partition) = (Arc::clone(&self.topic), self.partition);
        let batches = private(chunk.batches);
        Ok(Step::Event(ReadEvent::Records { topic, partition, epoch, batches }))
    }

    /// One read, when it is its turn. A reader asks for one at a time, however
    /// many partitions it has, and turns are in the order of asking: so all
    /// readers that catch up get on alike.
    async fn read(&self, broker: &Broker, budget: ReadBudget) -> Result<ReadChunk, EngineError> {
        let (topic, partition, from) = (&*self.topic, self.partition, self.at.next);
        let _permit = broker.reads.acquire().await;
        let Some(keys) = &self.keys else {
            return broker.engine.read(topic, partition, from, budget).await;
        };
        let found = broker.engine.next_with_keys(topic, partition, from, keys.keys(), budget);
        match found.await {
            Some(found) => found,
            None => broker.engine.read(topic, partition, from, SCAN).await,
        }
    }

    fn failed(
        &mut self,
        broker: &Broker,
        view: &PartitionView,
        error: EngineError,
    ) -> Result<Step, BrokerError> {
        let from = self.at.next;
        match error {
            EngineError::Lost { to } if to > from => {
                let range = LostRange { from, to: to.minus(1), reason: LostReason::Truncated };
                self.lost = Some(Loss { range, before: self.at });
                self.at = view.position(to);
            }
            EngineError::OffsetOutOfRange { asked, start, tail } => {
                // Retention was faster, or the tail moved back in a recovery.
                let view = broker.engine.partition(&self.topic, self.partition)?;
                self.find_again(&view)?;
                if self.lost.is_none() && self.at.next == from {
                    return Err(EngineError::OffsetOutOfRange { asked, start, tail }.into());
                }
            }
            error => return Err(error.into()),
        }
        Ok(Step::Again)
    }

    /// Learns of a newer epoch, and what it means for the place. What is wrong
    /// with either is told by the next step.
    pub(super) fn look_at_epoch(&mut self, broker: &Broker) {
        if let Ok(view) = broker.engine.partition(&self.topic, self.partition)
            && view.epoch() != self.newest
        {
            let _told_later = self.find_again(&view);
        }
    }

    /// Goes on from the place that `view` has for it.
    fn find_again(&mut self, view: &PartitionView) -> Result<(), BrokerError> {
        let (start, tail) = (view.start, view.tail);
        if self.resume(view, self.at) {
            return Ok(());
        }
        let asked: Offset = self.at.next;
        Err(EngineError::OffsetOutOfRange { asked, start, tail }.into())
    }
}

fn private(batches: Vec<crate::domain::RecordBatch>) -> Vec<Arc<SharedBatch>> {
    batches.into_iter().map(|batch| Arc::new(SharedBatch::private(batch))).collect()
}
