//! Reading at any place: a small pool of consumers that go where they are sent.
//! One that stopped in the middle of the log goes on from there without asking
//! anew, so a reader that pages through history is served by one of them.

use super::{
    catalog::TopicState,
    client::{Clients, Consumer},
    errors::{self, When},
    follow::at,
    marks,
    records::Gathered,
};
use crate::{
    domain::{Offset, PartitionId, RecordBatch},
    engine::{EngineError, ReadBudget, ReadChunk},
};
use parking_lot::Mutex;
use rdkafka::{
    Message, Offset as At, TopicPartitionList, consumer::Consumer as _, error::KafkaError,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long the cluster holds a request at the end of a partition back: what
/// the next reader of this consumer waits for, at worst.
const WAIT_MS: u32 = 10;
/// How long the first record of a read may take.
const FIRST: Duration = Duration::from_secs(5);
/// Of a broker that let a read wait so long nothing is read for a while: who
/// reads of the others is not to wait behind those who read of it.
const SILENT: Duration = Duration::from_secs(2);
/// How long more is waited for once there is something.
const MORE: Duration = Duration::from_millis(3);
/// What is waited for at all once there is something, bytes.
const ENOUGH: usize = 64 << 10;
/// A read answers no more than this, whatever its budget: what it holds in
/// memory.
const MOST: usize = 4 << 20;
/// A consumer that stands in the middle of the log and is not wanted holds on
/// to what it fetched no longer than this.
const IDLE: Duration = Duration::from_secs(2);

const NO_ANSWER: &str = "the cluster does not answer a read";

/// How long one that is idle is listened to.
const HEAR: Duration = Duration::from_millis(1);

/// The pool.
pub(super) struct History {
    clients: Clients,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
    /// Brokers that did not answer, by when they are read of again.
    silent: Mutex<HashMap<i32, Instant>>,
}

/// A consumer and the place that it stands at.
struct Reader {
    consumer: Consumer,
    place: Option<Place>,
    used: Instant,
}

struct Place {
    topic: Arc<TopicState>,
    id: PartitionId,
    next: Offset,
    /// Was polled and had no room.
    over: Option<RecordBatch>,
}

impl History {
    pub(super) fn new(clients: &Clients, readers: usize) -> History {
        History {
            clients: clients.clone(),
            turns: Arc::new(Semaphore::new(readers.max(1))),
            idle: Mutex::default(),
            silent: Mutex::default(),
        }
    }

    /// A turn to read, to be held until the read has ended, also where nobody
    /// waits for it any more.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_| EngineError::Closed)
    }

    /// Errors with `Unavailable` while the partition's broker is silent.
    pub(super) fn check_heard(
        &self,
        topic: &TopicState,
        id: PartitionId,
    ) -> Result<(), EngineError> {
        let mut silent = self.silent.lock();
        silent.retain(|_, until| *until > Instant::now());
        let leader = topic.partition(id)?.leader();
        if leader.is_some_and(|leader| silent.contains_key(&leader)) {
            return Err(EngineError::Unavailable(NO_ANSWER.to_owned()));
        }
        Ok(())
    }

    /// Reads from `from` up to `tail`, which is beyond it. Blocks; the caller
    /// has a turn.
    pub(super) fn read(
        &self,
        topic: &Arc<TopicState>,
        id: PartitionId,
        (from, tail): (Offset, Offset),
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError> {
        self.check_heard(topic, id)?;
        let mut reader = self.reader_for(topic, id, from)?;
        let result = reader.read(topic, id, (from, tail), budget);
        if matches!(&result, Err(EngineError::Unavailable(told)) if told == NO_ANSWER)
            && let Some(leader) = topic.partition(id)?.leader()
        {
            self.silent.lock().insert(leader, Instant::now() + SILENT);
        }
        if result.is_err() || reader.place.is_none() {
            reader.leave();
        }
        reader.used = Instant::now();
        self.idle.lock().push(reader);
        result
    }

    /// The one that stands there already, else the one that was used least
    /// lately, else a new one.
    fn reader_for(
        &self,
        topic: &Arc<TopicState>,
        id: PartitionId,
        from: Offset,
    ) -> Result<Reader, EngineError> {
        let mut idle = self.idle.lock();
        let stands = |reader: &Reader| {
            let place = reader.place.as_ref();
            place.is_some_and(|p| Arc::ptr_eq(&p.topic, topic) && p.id == id && p.next == from)
        };
        let there = idle.iter().position(stands);
        let oldest = || (0..idle.len()).min_by_key(|n| (idle[*n].place.is_some(), idle[*n].used));
        if let Some(n) = there.or_else(oldest) {
            return Ok(idle.swap_remove(n));
        }
        drop(idle);
        let consumer = self.clients.consumer(WAIT_MS)?;
        Ok(Reader { consumer, place: None, used: Instant::now() })
    }

    /// Lets go of what idle consumers hold. Called now and then.
    pub(super) fn sweep(&self) {
        for reader in &mut *self.idle.lock() {
            if reader.place.is_some() && reader.used.elapsed() > IDLE {
                reader.leave();
            }
            if reader.place.is_none() {
                super::client::hear(&reader.consumer, HEAR);
            }
        }
    }

    /// No more reads. Blocks.
    pub(super) fn close(&self) {
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }
}

/// What a read has come to.
enum Step {
    /// More is to be had.
    On,
    /// No more has room, or is wanted.
    Enough,
    /// The broker has no more that is committed, as far as it knew then.
    AtEnd,
}

impl Reader {
    fn leave(&mut self) {
        self.place = None;
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "a reader of history");
        }
    }

    /// Goes to the place, unless it is there.
    fn go(
        &mut self,
        topic: &Arc<TopicState>,
        id: PartitionId,
        from: Offset,
    ) -> Result<(), EngineError> {
        let stands = self.place.as_ref();
        if stands.is_some_and(|p| Arc::ptr_eq(&p.topic, topic) && p.id == id && p.next == from) {
            return Ok(());
        }
        self.place = None;
        let fault = |e: KafkaError| errors::of(&e, Some(&topic.topic().name), When::Before);
        let mut list = TopicPartitionList::new();
        let place = i32::try_from(id.0).unwrap_or(i32::MAX);
        list.add_partition_offset(&topic.raw, place, at(from)).map_err(fault)?;
        self.consumer.assign(&list).map_err(fault)?;
        self.place = Some(Place { topic: Arc::clone(topic), id, next: from, over: None });
        Ok(())
    }

    /// Whether the broker that leads the partition now knows all before `tail` to
    /// be committed: a new leader learns that from its replicas.
    fn knows(
        &self,
        topic: &Arc<TopicState>,
        id: PartitionId,
        tail: Offset,
    ) -> Result<bool, EngineError> {
        let place = [(Arc::clone(topic), id)];
        let end = marks::ask(&self.consumer, &place, At::End);
        let end = end.map_err(|e| errors::of(&e, Some(&topic.topic().name), When::Before))?;
        Ok(end.first().copied().flatten().is_some_and(|end| end >= tail))
    }

    fn read(
        &mut self,
        topic: &Arc<TopicState>,
        id: PartitionId,
        (from, tail): (Offset, Offset),
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError> {
        self.go(topic, id, from)?;
        let mut reading = Reading {
            gathered: Gathered::default(),
            first: self.place.as_mut().and_then(|place| place.over.take()),
            over: None,
            next: from,
            tail,
            budget,
        };
        if let Some(first) = &reading.first {
            if first.base >= tail {
                let place = self.place.as_mut();
                place.into_iter().for_each(|place| place.over = reading.first.take());
                return Ok(ReadChunk { batches: vec![], next: tail });
            }
            reading.next = first.end();
        }
        let deadline = Instant::now() + FIRST;
        // Whether an end that the consumer tells of is one that it came to since
        // the leader was seen to know the tail.
        let mut known = false;
        let end = loop {
            if reading.next >= tail || reading.is_full() {
                break Step::Enough;
            }
            match self.step(&mut reading, topic, id, deadline)? {
                Step::On => {}
                // It may have stood there some time ago, or with a leader that was new.
                Step::AtEnd if !known => {
                    if !self.knows(topic, id, tail)? {
                        break Step::Enough;
                    }
                    known = true;
                    self.place = None;
                    self.go(topic, id, reading.next)?;
                }
                // Another may have come to lead it in between.
                Step::AtEnd if !self.knows(topic, id, tail)? => break Step::Enough,
                end => break end,
            }
        };
        if reading.next == from && matches!(end, Step::Enough) && reading.records() == 0 {
            let told = format!("offset {from} of partition {id} is not there now");
            return Err(EngineError::Unavailable(told));
        }
        // Between the last record and the tail there is none.
        let done = matches!(end, Step::AtEnd) || (reading.next >= tail && reading.over.is_none());
        if done {
            reading.next = reading.next.max(tail);
        }
        self.place = match end {
            Step::AtEnd => None,
            Step::On | Step::Enough => Some(Place {
                topic: Arc::clone(topic),
                id,
                next: reading.next,
                over: reading.over.take(),
            }),
        };
        Ok(reading.into_chunk())
    }

    /// Takes one message, or finds that there is none for now.
    fn step(
        &self,
        reading: &mut Reading,
        topic: &Arc<TopicState>,
        id: PartitionId,
        deadline: Instant,
    ) -> Result<Step, EngineError> {
        let wait = match reading.bytes() {
            None => Duration::from_millis(100),
            Some(bytes) if bytes < ENOUGH => MORE,
            Some(_) => Duration::ZERO,
        };
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                let here = message.topic() == topic.raw && message.partition() as u32 == id.0;
                let offset = Offset(u64::try_from(message.offset()).unwrap_or(0));
                // Left over from another place.
                if !here || offset < reading.next {
                    return Ok(Step::On);
                }
                Ok(reading.take(&message, offset))
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Step::AtEnd),
            Some(Err(error)) if errors::code_of(&error) == errors::OUT_OF_RANGE => {
                let view = topic.partition(id)?.view();
                let (start, tail) = (view.start, view.tail);
                Err(EngineError::OffsetOutOfRange { asked: reading.next, start, tail })
            }
            Some(Err(error)) => {
                let error = errors::of(&error, Some(&topic.topic().name), When::Before);
                let fatal = matches!(error, EngineError::TopicUnknown(_) | EngineError::Refused(_));
                if fatal || Instant::now() >= deadline { Err(error) } else { Ok(Step::On) }
            }
            None if topic.is_gone() => Err(EngineError::TopicUnknown(topic.topic().name.clone())),
            None if reading.bytes().is_some() => Ok(Step::Enough),
            None if Instant::now() >= deadline => {
                Err(EngineError::Unavailable(NO_ANSWER.to_owned()))
            }
            None => Ok(Step::On),
        }
    }
}

/// One read under way.
struct Reading {
    first: Option<RecordBatch>,
    gathered: Gathered,
    over: Option<RecordBatch>,
    next: Offset,
    tail: Offset,
    budget: ReadBudget,
}

impl Reading {
    /// Bytes so far; `None` before the first record.
    fn bytes(&self) -> Option<usize> {
        let first = self.first.as_ref().map(|first| first.body.len());
        let more = (self.gathered.records() > 0).then(|| self.gathered.bytes());
        first.into_iter().chain(more).reduce(|a, b| a + b)
    }

    fn records(&self) -> u64 {
        self.gathered.records() + self.first.as_ref().map_or(0, |first| first.count.into())
    }

    fn is_full(&self) -> bool {
        let bytes = self.bytes();
        bytes.is_some_and(|bytes| {
            self.records() >= self.budget.records.into() || bytes >= self.budget.bytes.min(MOST)
        })
    }

    fn take(&mut self, message: &rdkafka::message::BorrowedMessage<'_>, offset: Offset) -> Step {
        let mut alone = Gathered::default();
        if offset >= self.tail {
            alone.push(message);
            self.over = alone.into_batches().pop();
            self.next = self.tail;
            return Step::Enough;
        }
        // Its packed form is about as large as its parts.
        let about = message.payload_len() + message.key_len() + 16;
        let fits = self.bytes().is_none_or(|bytes| bytes + about <= self.budget.bytes);
        if fits {
            self.next = self.gathered.push(message);
            return Step::On;
        }
        alone.push(message);
        self.over = alone.into_batches().pop();
        self.next = offset;
        Step::Enough
    }

    fn into_chunk(self) -> ReadChunk {
        let batches = self.first.into_iter().chain(self.gathered.into_batches()).collect();
        ReadChunk { batches, next: self.next }
    }
}
