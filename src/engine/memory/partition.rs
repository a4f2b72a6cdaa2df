//! One partition in memory: a list of batches, its bounds, and the watch that
//! tells followers of the tail. Times are handed in.

use crate::domain::{
    CorruptRecord, Epoch, EpochStart, Offset, PackedRecords, PartitionView, RecordBatch, Timestamp,
    TopicConfig,
};
use crate::engine::{EngineError, ReadBudget, ReadChunk};
use std::{collections::VecDeque, time::Duration};
use tokio::sync::watch;

/// The only epoch: nothing in memory is ever recovered.
pub(super) const EPOCH: Epoch = Epoch(0);

/// A partition's records and bounds.
pub(super) struct Partition {
    batches: VecDeque<RecordBatch>,
    start: Offset,
    trimmed_to: Offset,
    bytes: u64,
    last_append: Timestamp,
    /// Holds the tail. Dropped with the partition, which ends every follower.
    tail: watch::Sender<Offset>,
}

fn damaged(_: CorruptRecord) -> EngineError {
    EngineError::Damaged("a record in memory is malformed".to_owned())
}

impl Partition {
    pub(super) fn new() -> Partition {
        Partition {
            batches: VecDeque::new(),
            start: Offset::ZERO,
            trimmed_to: Offset::ZERO,
            bytes: 0,
            last_append: Timestamp::MIN,
            tail: watch::Sender::new(Offset::ZERO),
        }
    }

    /// The time of the newest append, before which none may come.
    pub(super) fn last_append(&self) -> Timestamp {
        self.last_append
    }

    /// Appends at `appended`, and answers the first record's offset.
    pub(super) fn append(&mut self, records: PackedRecords, appended: Timestamp) -> Offset {
        let base = self.tail();
        let count = records.count();
        let batch = RecordBatch { base, count, appended, body: records.into_body().into() };
        self.bytes += batch.body.len() as u64;
        self.last_append = appended;
        let end = batch.end();
        self.batches.push_back(batch);
        self.tail.send_replace(end);
        base
    }

    pub(super) fn view(&self) -> PartitionView {
        PartitionView {
            start: self.start,
            tail: self.tail(),
            trimmed_to: self.trimmed_to,
            epochs: vec![EpochStart { epoch: EPOCH, first: Offset::ZERO }],
            bytes: self.bytes,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Offset> {
        self.tail.subscribe()
    }

    /// As [`crate::engine::Engine::read`].
    pub(super) fn read(&self, from: Offset, budget: ReadBudget) -> Result<ReadChunk, EngineError> {
        if from < self.start || from > self.tail() {
            return Err(self.out_of_range(from));
        }
        let mut chunk = ReadChunk { batches: vec![], next: from };
        let (mut records, mut bytes) = (0, 0);
        let first = self.batches.partition_point(|batch| batch.end() <= from);
        for stored in self.batches.range(first..) {
            let Some(batch) = stored.from_offset(from).map_err(damaged)? else { continue };
            records += u64::from(batch.count);
            bytes += batch.body.len();
            let within = records <= u64::from(budget.records) && bytes <= budget.bytes;
            if !within && !chunk.batches.is_empty() {
                break;
            }
            chunk.next = batch.end();
            chunk.batches.push(batch);
        }
        Ok(chunk)
    }

    /// As [`crate::engine::Engine::offset_at`].
    pub(super) fn offset_at(&self, time: Timestamp) -> Result<Offset, EngineError> {
        for batch in &self.batches {
            for item in batch.iter() {
                let (offset, record) = item.map_err(damaged)?;
                if record.timestamp >= time {
                    return Ok(offset);
                }
            }
        }
        Ok(self.tail())
    }

    /// As [`crate::engine::Engine::trim`].
    pub(super) fn trim(&mut self, before: Offset) -> Result<Offset, EngineError> {
        if before > self.tail() {
            return Err(self.out_of_range(before));
        }
        if before > self.start {
            self.drop_before(before)?;
            self.trimmed_to = before;
        }
        Ok(self.start)
    }

    /// Drops, one by one and oldest first, the records that `config` keeps no
    /// longer: those that are too old, and those without which as many bytes
    /// are left as are to be kept.
    pub(super) fn enforce_retention(
        &mut self,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let keep_from = config.retention_ms.map(|ms| now.minus(Duration::from_millis(ms)));
        while let Some(oldest) = self.batches.front() {
            let next = oldest.base.plus(1);
            let rest = oldest.from_offset(next).map_err(damaged)?;
            let size = oldest.body.len() - rest.map_or(0, |rest| rest.body.len());
            let too_old = keep_from.is_some_and(|time| oldest.appended < time);
            let too_much =
                config.retention_bytes.is_some_and(|keep| self.bytes - size as u64 >= keep);
            if !too_old && !too_much {
                break;
            }
            self.drop_before(next)?;
        }
        Ok(())
    }

    fn drop_before(&mut self, start: Offset) -> Result<(), EngineError> {
        while let Some(oldest) = self.batches.front() {
            let rest = oldest.from_offset(start).map_err(damaged)?;
            self.bytes -= oldest.body.len() as u64;
            self.batches.pop_front();
            if let Some(rest) = rest {
                self.bytes += rest.body.len() as u64;
                self.batches.push_front(rest);
                break;
            }
        }
        self.start = start;
        Ok(())
    }

    fn tail(&self) -> Offset {
        *self.tail.borrow()
    }

    fn out_of_range(&self, asked: Offset) -> EngineError {
        EngineError::OffsetOutOfRange { asked, start: self.start, tail: self.tail() }
    }
}
