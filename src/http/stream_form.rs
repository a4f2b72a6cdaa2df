//! The two forms of a stream: lines of NDJSON, and server-sent events.

use crate::{
    broker::{FormId, ReadEvent, Reader, SharedBatch},
    domain::{CorruptRecord, Epoch, PartitionId, Position},
    engine::Topic,
    wire::{
        self, BatchEncoder, Closing, EVENT_STREAM, ErrorCode, LostNotice, NDJSON, Problem,
        RecordEncoder,
    },
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// What is told at the tail when nothing comes: proxies cut what is silent for
/// 30 s and more.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);
/// At the tail a cursor is told this long after records, so that single records
/// do not each bring one.
const CURSOR_AFTER: Duration = Duration::from_secs(1);
/// A cursor is told at least every so many bytes.
const CURSOR_BYTES: usize = 1 << 20;
/// Where the numbers of lines begin, behind those of batches.
const LINES: u64 = 64;
/// Clients come back spread over this time, lest they all do at once.
const COME_BACK_MS: std::ops::Range<u64> = 500..5_500;

/// Writes what a reader comes to. The pieces may be sent between any two calls.
pub(super) trait StreamForm: Send + 'static {
    const MEDIA: &'static str;

    fn opening(&mut self, out: &mut Vec<u8>, cursor: &str);

    /// The `n`th batch of what `reader` has answered at once.
    fn batch(
        &mut self,
        out: &mut Vec<u8>,
        reader: &Reader,
        part: &Part<'_>,
        n: usize,
    ) -> Result<(), CorruptRecord>;

    fn lost(&mut self, out: &mut Vec<u8>, reader: &Reader, notice: &LostNotice);

    fn cursor(&mut self, out: &mut Vec<u8>, cursor: &str);

    /// Whether a cursor is to be told before more is read.
    fn wants_cursor(&self) -> bool;

    /// How long after the last one a cursor is told at the tail.
    fn patience(&self) -> Duration;

    /// All was said that there is.
    fn end(&mut self, out: &mut Vec<u8>, cursor: &str, records: u64);

    fn failed(&mut self, out: &mut Vec<u8>, problem: &Problem, cursor: &str);
}

/// Records that a reader answered at once.
pub(super) struct Part<'a> {
    topic: &'a Topic,
    partition: PartitionId,
    epoch: Epoch,
    pub(super) batches: &'a [Arc<SharedBatch>],
}

impl<'a> Part<'a> {
    /// `None` of what has no records.
    pub(super) fn of(event: &'a ReadEvent) -> Option<Part<'a>> {
        match event {
            ReadEvent::Records { topic, partition, epoch, batches } => {
                Some(Part { topic, partition: *partition, epoch: *epoch, batches })
            }
            ReadEvent::Lost { .. } | ReadEvent::Skipped | ReadEvent::Full => None,
        }
    }
}

/// One record a line.
pub(super) struct Lines {
    encoder: RecordEncoder,
    /// Whether each record says its topic.
    named: bool,
    /// Tells lines from other forms of a batch.
    id: FormId,
    /// Bytes of records since a cursor was told.
    since_cursor: usize,
}

impl Lines {
    pub(super) fn new(as_: wire::As, named: bool) -> Lines {
        let id = FormId(LINES + 2 * BatchEncoder::new(as_).number() + u64::from(named));
        Lines { encoder: RecordEncoder::new(as_), named, id, since_cursor: 0 }
    }
}

impl StreamForm for Lines {
    const MEDIA: &'static str = NDJSON;

    fn opening(&mut self, out: &mut Vec<u8>, cursor: &str) {
        self.cursor(out, cursor);
    }

    fn batch(
        &mut self,
        out: &mut Vec<u8>,
        _: &Reader,
        part: &Part<'_>,
        n: usize,
    ) -> Result<(), CorruptRecord> {
        let (before, shared) = (out.len(), &part.batches[n]);
        let name = self.named.then_some(&part.topic.name);
        if shared.is_shared() {
            let lines = shared.form(self.id, |batch| {
                let mut lines = vec![];
                self.encoder.lines_into(&mut lines, name, part.partition, batch)?;
                Ok(Bytes::from(lines))
            })?;
            out.extend_from_slice(&lines);
        } else {
            self.encoder.lines_into(out, name, part.partition, &shared.batch)?;
        }
        self.since_cursor += out.len() - before;
        Ok(())
    }

    fn lost(&mut self, out: &mut Vec<u8>, _: &Reader, notice: &LostNotice) {
        wire::lost_line(out, notice);
    }

    fn cursor(&mut self, out: &mut Vec<u8>, cursor: &str) {
        wire::cursor_line(out, cursor);
        self.since_cursor = 0;
    }

    fn wants_cursor(&self) -> bool {
        self.since_cursor >= CURSOR_BYTES
    }

    fn patience(&self) -> Duration {
        if self.since_cursor > 0 { CURSOR_AFTER } else { HEARTBEAT }
    }

    fn end(&mut self, out: &mut Vec<u8>, cursor: &str, records: u64) {
        wire::end_line(out, cursor, records);
    }

    fn failed(&mut self, out: &mut Vec<u8>, problem: &Problem, cursor: &str) {
        wire::error_line(out, problem, Some(cursor));
    }
}

/// One event a batch, each with the cursor to go on from.
pub(super) struct Events {
    encoder: BatchEncoder,
}

impl Events {
    pub(super) fn new(as_: wire::As) -> Events {
        Events { encoder: BatchEncoder::new(as_) }
    }

    fn closing(&self, out: &mut Vec<u8>, why: Closing<'_>) {
        let after = Duration::from_millis(fastrand::u64(COME_BACK_MS));
        wire::closing_event(out, why, after);
    }
}

impl StreamForm for Events {
    const MEDIA: &'static str = EVENT_STREAM;

    fn opening(&mut self, out: &mut Vec<u8>, cursor: &str) {
        wire::hello_event(out, &format!("{:016x}", fastrand::u64(..)), HEARTBEAT);
        self.cursor(out, cursor);
    }

    fn batch(
        &mut self,
        out: &mut Vec<u8>,
        reader: &Reader,
        part: &Part<'_>,
        n: usize,
    ) -> Result<(), CorruptRecord> {
        let shared = &part.batches[n];
        let (topic, partition, epoch) = (&part.topic.name, part.partition, part.epoch);
        let id = FormId(self.encoder.number());
        let encode = |batch: &_| self.encoder.encode(topic, partition, epoch, batch);
        let data = shared.form(id, encode)?;
        let mut cursor = reader.cursor();
        if n + 1 < part.batches.len()
            && let Some(positions) = cursor.topics.get_mut(topic)
        {
            // A client that is cut off between the two goes on between them.
            let position = Position { epoch, next: shared.batch.end() };
            positions.partitions.insert(partition, position);
        }
        wire::records_event(out, &cursor.encode(), &data);
        Ok(())
    }

    fn lost(&mut self, out: &mut Vec<u8>, reader: &Reader, notice: &LostNotice) {
        wire::lost_event(out, &reader.cursor().encode(), notice);
    }

    fn cursor(&mut self, out: &mut Vec<u8>, cursor: &str) {
        wire::position_event(out, cursor);
    }

    fn wants_cursor(&self) -> bool {
        // Each event has one.
        false
    }

    fn patience(&self) -> Duration {
        HEARTBEAT
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &str, _: u64) {
        // Events go on and on; only a stop ends them without a fault.
        self.closing(out, Closing::ShuttingDown);
    }

    fn failed(&mut self, out: &mut Vec<u8>, problem: &Problem, _: &str) {
        match problem.code {
            ErrorCode::Closing => self.closing(out, Closing::ShuttingDown),
            _ => self.closing(out, Closing::Failed(problem)),
        }
    }
}
