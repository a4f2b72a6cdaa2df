//! One page of records: what a reader has now, as far as there is room for it.

use super::{ANSWER_ROOM_KIB, App, refusal::Refusal};
use crate::{
    broker::{BrokerError, ReadEvent, Reader},
    domain::CorruptRecord,
    engine::{EngineError, ReadBudget},
    wire::{As, ErrorCode, LostNotice, PageWriter},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// How long a page may wait for memory before it is refused.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// What one read adds to a page, so that other requests get their turn.
const STEP_BYTES: usize = 256 << 10;
/// Steps that a page of some keys looks for its records; each is about 1 MiB of
/// the log. Then it is answered as it is, and its cursor goes on.
const MAX_STEPS: u32 = 16;

/// A page that is being filled.
pub(super) struct Page {
    writer: PageWriter,
    lost: Vec<LostNotice>,
    left: ReadBudget,
    at_tail: bool,
    /// Steps that found nothing for it.
    skipped: u32,
}

impl Page {
    /// An empty page with room for what `left` says. `named`: each record says
    /// its topic.
    pub(super) fn new(as_: As, named: bool, left: ReadBudget) -> Page {
        let writer = PageWriter::new(as_, named);
        Page { writer, lost: vec![], left, at_tail: false, skipped: 0 }
    }

    /// Takes what there is, as far as it has room.
    pub(super) async fn fill(&mut self, reader: &mut Reader) -> Result<(), BrokerError> {
        loop {
            let budget = ReadBudget { bytes: self.left.bytes.min(STEP_BYTES), ..self.left };
            let first = self.writer.records() == 0;
            match reader.next_of_page(budget, first).await? {
                None => {
                    self.at_tail = true;
                    return Ok(());
                }
                Some(ReadEvent::Full) if budget.bytes == self.left.bytes => return Ok(()),
                // A record larger than a step, but not than what is left.
                Some(ReadEvent::Full) => {
                    let event = reader.next_of_page(self.left, false).await?;
                    if matches!(event, None | Some(ReadEvent::Full)) {
                        return Ok(());
                    }
                    event.map_or(Ok(()), |event| self.take(event)).map_err(damaged)?;
                }
                Some(event) => self.take(event).map_err(damaged)?,
            }
            if self.left.records == 0 || self.left.bytes == 0 || self.skipped >= MAX_STEPS {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, event: ReadEvent) -> Result<(), CorruptRecord> {
        match event {
            ReadEvent::Records { topic, partition, batches, .. } => {
                for shared in &batches {
                    let batch = &shared.batch;
                    self.writer.batch(&topic.name, partition, batch)?;
                    self.left.records = self.left.records.saturating_sub(batch.count);
                    self.left.bytes = self.left.bytes.saturating_sub(batch.body.len());
                }
            }
            ReadEvent::Lost { topic, partition, range } => {
                self.lost.push(LostNotice::new(&topic.name, partition, range));
            }
            ReadEvent::Skipped => self.skipped += 1,
            ReadEvent::Full => {}
        }
        Ok(())
    }

    /// Whether it is to be answered as it is.
    pub(super) fn has_something(&self) -> bool {
        self.writer.records() > 0 || !self.lost.is_empty() || self.skipped >= MAX_STEPS
    }

    /// Takes note that there is nothing to read.
    pub(super) fn at_tail(&mut self) {
        self.at_tail = true;
    }

    /// Whether there was no more to read.
    pub(super) fn is_at_tail(&self) -> bool {
        self.at_tail
    }

    /// What the reader told that is gone.
    pub(super) fn lost(&self) -> &[LostNotice] {
        &self.lost
    }

    /// The page of a reader of its own.
    pub(super) fn finish(self, cursor: &str) -> Vec<u8> {
        self.writer.finish(cursor, &self.lost, self.at_tail)
    }

    /// The page with the members of `told`, an object, behind its records.
    pub(super) fn finish_with(self, told: &impl serde::Serialize) -> Vec<u8> {
        self.writer.finish_with(told)
    }
}

fn damaged(corrupt: CorruptRecord) -> BrokerError {
    EngineError::Damaged(corrupt.to_string()).into()
}

/// Memory for an answer of about `bytes`, until it is sent.
pub(super) async fn room(app: &App, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let room = Arc::clone(&app.answer_room).acquire_many_owned(kib(bytes));
    match tokio::time::timeout(ROOM_WAIT, room).await {
        Ok(Ok(room)) => Ok(room),
        Ok(Err(_)) | Err(_) => {
            let detail = "answers that wait to be sent fill the memory there is for them";
            Err(Refusal::new(ErrorCode::TooBusy, detail))
        }
    }
}

/// In the units of the room; never more than a page may ask for.
pub(super) fn kib(bytes: usize) -> u32 {
    let most = ANSWER_ROOM_KIB / 4;
    u32::try_from(bytes.div_ceil(1024).clamp(1, most)).unwrap_or(1)
}

/// Bytes that hold their room until they were sent.
pub(super) fn held(bytes: Vec<u8>, mut room: OwnedSemaphorePermit) -> Bytes {
    struct Held(
        Vec<u8>,
        #[expect(dead_code, reason = "is given back by its drop")] OwnedSemaphorePermit,
    );

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    // A page that came out smaller gives back what it did not need.
    let spare = room.num_permits().saturating_sub(kib(bytes.len()) as usize);
    drop(room.split(spare));
    Bytes::from_owner(Held(bytes, room))
}
