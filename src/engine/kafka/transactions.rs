//! Appends that are all or nothing: a small pool of transactional producers,
//! and one transaction at a time in each. Blocks; its callers see to it that it
//! runs beside the asynchronous tasks.

use super::{
    catalog::TopicState,
    client::Producer,
    errors::{self, When},
    notes::Note,
    records,
    ticket::{Landing, Run, Ticket},
};
use crate::{
    domain::{Offset, PackedRecords, PartitionId, Timestamp, TopicName},
    engine::EngineError,
};
use rdkafka::{
    error::KafkaError,
    producer::{BaseRecord, Producer as _},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot::{self, error::TryRecvError};

/// How long the cluster lets a transaction of ours stay open before it undoes
/// it: while it is, nobody reads what was written behind it.
pub(super) const OPEN_MS: u32 = 10_000;
/// The least time that a call within a transaction is given.
const LEAST: Duration = Duration::from_secs(1);
/// How long reports are waited for in one go.
const POLL: Duration = Duration::from_millis(1);
/// How long an abort goes on before reports are heard.
const ABORT: Duration = Duration::from_millis(20);

/// The records of a partition were not written together: another's came between
/// two batches. Such a transaction is undone, and tried again.
const SCATTERED: &str = "the records of a partition were not written next to each other";

/// Records of one topic, and what is noted with them.
pub(super) struct Work<'a> {
    pub topic: &'a TopicState,
    pub parts: &'a [(PartitionId, PackedRecords)],
    pub appended: Timestamp,
}

/// Notes of one transaction, and the topic that takes them.
pub(super) struct Noted {
    pub raw: String,
    /// The topic reaches to here at least.
    pub least: Offset,
    pub notes: Vec<Note>,
}

/// Why not all was written.
struct Unwritten {
    why: EngineError,
    /// Whether the library may hold, or may have sent, what was not reported as
    /// there.
    some_taken: bool,
}

impl Unwritten {
    /// All that was handed over is there.
    fn all_there(why: EngineError) -> Unwritten {
        Unwritten { why, some_taken: false }
    }

    fn not_reported(why: &str) -> Unwritten {
        Unwritten { why: EngineError::Unavailable(why.to_owned()), some_taken: true }
    }
}

/// Why a transaction was not done.
#[derive(Debug)]
pub(super) enum Undone {
    /// Another gateway has taken this producer's place: nothing happened.
    Fenced,
    /// Nothing happened.
    Aborted(EngineError),
    /// Nothing happened, but the producer is of no use any more. The library
    /// drops what was not reported yet and gives its sequence numbers to what
    /// is sent next. The cluster may have it under these numbers, though: then it
    /// takes the next records for a repeat of it, answers that they are there,
    /// and drops them.
    Spent(EngineError),
    /// Perhaps it did. The producer is of no use any more.
    Unknown(EngineError),
}

impl Undone {
    /// Whether the same may go better at once.
    pub(super) fn is_scattered(&self) -> bool {
        matches!(self, Undone::Aborted(EngineError::Unavailable(told)) if told == SCATTERED)
    }
}

/// Whether the producer that did this can run another transaction.
pub(super) fn leaves_it_usable<T>(done: &Result<T, Undone>) -> bool {
    matches!(done, Ok(_) | Err(Undone::Aborted(_)))
}

/// One transaction: the records, then what `note` makes of where they went.
/// Answers where they went, and the offset after the last note. Blocks.
pub(super) fn run(
    producer: &Producer,
    work: Option<&Work<'_>>,
    note: impl FnOnce(&[Offset]) -> Option<Noted>,
    deadline: Instant,
) -> Result<(Vec<Offset>, Option<Offset>), Undone> {
    let topic = work.map(|work| work.topic.topic().name.clone());
    let topic = topic.as_ref();
    producer.begin_transaction().map_err(|error| undone(&error, topic, When::Before))?;
    let written = write(producer, work, note, deadline, topic);
    let (bases, noted) = match written {
        Ok(written) => written,
        Err(Unwritten { why, some_taken }) => {
            return Err(match abort(producer, why, deadline) {
                Undone::Spent(why) if !some_taken => Undone::Aborted(why),
                undone => undone,
            });
        }
    };
    commit(producer, topic, deadline)?;
    Ok((bases, noted))
}

fn write(
    producer: &Producer,
    work: Option<&Work<'_>>,
    note: impl FnOnce(&[Offset]) -> Option<Noted>,
    deadline: Instant,
    topic: Option<&TopicName>,
) -> Result<(Vec<Offset>, Option<Offset>), Unwritten> {
    let landings = match work {
        Some(work) => hand_over(producer, work)?,
        None => vec![],
    };
    let mut bases = Vec::with_capacity(landings.len());
    for runs in all_placed(producer, landings, deadline, topic)? {
        match runs.as_slice() {
            [run] => bases.push(run.base),
            _ => {
                let why = EngineError::Unavailable(SCATTERED.to_owned());
                return Err(Unwritten::all_there(why));
            }
        }
    }
    let Some(noted) = note(&bases) else { return Ok((bases, None)) };
    let landing = send_notes(producer, &noted);
    let placed = all_placed(producer, vec![landing], deadline, topic)?;
    let end = placed.iter().flatten().last().map(|run| run.base.plus(run.count.into()));
    Ok((bases, end))
}

fn hand_over(
    producer: &Producer,
    work: &Work<'_>,
) -> Result<Vec<oneshot::Receiver<Landing>>, Unwritten> {
    let mut landings = Vec::with_capacity(work.parts.len());
    for (id, records) in work.parts {
        let least = work.topic.partitions.get(id.index()).map_or(Offset::ZERO, |p| p.tail());
        let (ticket, landing) = Ticket::new(records.count(), least);
        let ticket = Arc::new(ticket);
        let sent = records::send(producer, &work.topic.raw, *id, records, work.appended, &ticket);
        sent.map_err(|why| Unwritten { why, some_taken: !landings.is_empty() })?;
        landings.push(landing);
    }
    Ok(landings)
}

/// Where everything is. All reports are waited for before anything is undone.
fn all_placed(
    producer: &Producer,
    landings: Vec<oneshot::Receiver<Landing>>,
    deadline: Instant,
    topic: Option<&TopicName>,
) -> Result<Vec<Vec<Run>>, Unwritten> {
    let mut placed = Vec::with_capacity(landings.len());
    let mut unwritten: Option<Unwritten> = None;
    for landing in landings {
        match wait(producer, landing, deadline)? {
            Ok(runs) => placed.push(runs),
            Err(fall) => {
                let why = errors::of_code(fall.code, topic, When::Before);
                let before = unwritten.take().unwrap_or(Unwritten::all_there(why));
                let some_taken = before.some_taken || fall.some_taken;
                unwritten = Some(Unwritten { some_taken, ..before });
            }
        }
    }
    unwritten.map_or(Ok(placed), Err)
}

/// Hands notes over, next to each other.
pub(super) fn send_notes(producer: &Producer, noted: &Noted) -> oneshot::Receiver<Landing> {
    let count = u32::try_from(noted.notes.len()).unwrap_or(u32::MAX);
    let (ticket, landing) = Ticket::new(count, noted.least);
    let ticket = Arc::new(ticket);
    for (sent, note) in (0u32..).zip(&noted.notes) {
        let mut record = BaseRecord::with_opaque_to(&noted.raw, Arc::clone(&ticket))
            .partition(0)
            .key(&note.key[..]);
        if let Some(value) = &note.value {
            record = record.payload(&value[..]);
        }
        if let Err((error, _)) = producer.send(record) {
            ticket.never_sent(count - sent, errors::code_of(&error));
            break;
        }
    }
    landing
}

/// Hears reports until there is one of this part.
fn wait(
    producer: &Producer,
    mut landing: oneshot::Receiver<Landing>,
    deadline: Instant,
) -> Result<Landing, Unwritten> {
    loop {
        match landing.try_recv() {
            Ok(landing) => return Ok(landing),
            Err(TryRecvError::Closed) => {
                return Err(Unwritten::not_reported("no report of what was sent"));
            }
            Err(TryRecvError::Empty) if Instant::now() >= deadline => {
                return Err(Unwritten::not_reported("the cluster did not take it in time"));
            }
            Err(TryRecvError::Empty) => producer.poll(POLL),
        }
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(LEAST)
}

/// Nothing of it is to be seen. If the cluster cannot be told so, it undoes it
/// by itself after [`OPEN_MS`]: there is no commit that it could take for one.
fn abort(producer: &Producer, error: EngineError, deadline: Instant) -> Undone {
    let until = Instant::now() + left(deadline);
    let aborted = loop {
        // It waits for the reports of what is on its way, which nobody else hears,
        // and goes on where it was when it is called again.
        match producer.abort_transaction(ABORT) {
            Err(KafkaError::Transaction(fault))
                if fault.is_retriable() && Instant::now() < until =>
            {
                producer.poll(POLL);
            }
            told => break told,
        }
    };
    match aborted {
        Ok(()) => Undone::Spent(error),
        Err(fault) if errors::is_fenced(&fault) => Undone::Fenced,
        Err(fault) => {
            tracing::debug!(%fault, "a transaction was left to the cluster to undo");
            // The producer cannot go on, but nothing was committed.
            Undone::Unknown(match error {
                EngineError::OutcomeUnknown(told) => EngineError::Unavailable(told),
                other => other,
            })
        }
    }
}

fn commit(producer: &Producer, topic: Option<&TopicName>, deadline: Instant) -> Result<(), Undone> {
    loop {
        let Err(error) = producer.commit_transaction(left(deadline)) else { return Ok(()) };
        let KafkaError::Transaction(fault) = &error else {
            return Err(Undone::Unknown(errors::of(&error, topic, When::After)));
        };
        if fault.txn_requires_abort() {
            let why = EngineError::Unavailable(fault.to_string());
            return Err(match abort(producer, why, deadline) {
                Undone::Unknown(told) => {
                    Undone::Unknown(EngineError::OutcomeUnknown(told.to_string()))
                }
                certain => certain,
            });
        }
        // A commit that was begun is not known to be undone: a fenced producer
        // may have been late with its answer alone.
        if !fault.is_retriable() || Instant::now() >= deadline {
            let told = EngineError::OutcomeUnknown(fault.to_string());
            return Err(Undone::Unknown(told));
        }
    }
}

/// What failed before anything was committed.
pub(super) fn undone(error: &KafkaError, topic: Option<&TopicName>, when: When) -> Undone {
    if errors::is_fenced(error) {
        return Undone::Fenced;
    }
    Undone::Unknown(errors::of(error, topic, when))
}
