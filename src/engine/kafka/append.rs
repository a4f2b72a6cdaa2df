//! The three ways of an append:
//!
//! ```text
//! key ─────────────────► shared transactional producer: records + what was answered
//! several partitions ──► transactional producer of this gateway
//! else ────────────────► the plain idempotent producer
//! ```
//!
//! Each answers when its records are on all replicas in sync, and as a rule
//! visible: another program's transaction that is still open hides what was
//! written behind it, and is waited for a moment only.

use super::{
    catalog::TopicState,
    client::Producer,
    core::Core,
    naming,
    notes::{self, KeyNote},
    pool::SLOTS,
    publisher::discard,
    ticket::Run,
    transactions::{self, Undone, Work},
};
use crate::{
    domain::{Offset, PackedRecords, PartitionId, Timestamp},
    engine::{Append, Appended, AppendedPart, EngineError, Idempotency},
    runtime,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::OwnedMutexGuard;

/// How long an answer waits to be visible.
const VISIBLE: Duration = Duration::from_secs(5);
/// How often a request with a key is taken up again after another gateway took
/// its producer over, or its outcome was not heard.
const ATTEMPTS: u32 = 10;

/// Records on their way, and where they stand in the end.
struct Job {
    topic: Arc<TopicState>,
    parts: Vec<(PartitionId, PackedRecords)>,
    appended: Timestamp,
    /// Tells what this did from what others did under the same key.
    mark: u64,
}

impl Job {
    fn work(&self) -> Work<'_> {
        Work { topic: &self.topic, parts: &self.parts, appended: self.appended }
    }

    fn placed(&self, bases: &[Offset]) -> Vec<AppendedPart> {
        let place = |((id, records), base): (&(PartitionId, PackedRecords), &Offset)| {
            let partition = self.topic.partitions.get(id.index());
            let epoch = partition.map(|p| p.epoch_of(*base)).unwrap_or_default();
            AppendedPart { partition: *id, base: *base, count: records.count(), epoch }
        };
        self.parts.iter().zip(bases).map(place).collect()
    }
}

/// Appends; see [`crate::engine::Engine::append`].
pub(super) async fn append(core: &Arc<Core>, append: Append) -> Result<Appended, EngineError> {
    let topic = core.catalog.find(&append.topic)?;
    for (id, _) in &append.parts {
        topic.partition(*id)?;
    }
    let Append { parts, idempotency, .. } = append;
    let job =
        Job { topic: Arc::clone(&topic), parts, appended: core.now(), mark: fastrand::u64(..) };
    let done = match idempotency {
        Some(request) => with_key(core, job, &request).await?,
        None => {
            leaders(&job)?;
            if job.parts.len() == 1 { plain(core, &job).await? } else { whole(core, job).await? }
        }
    };
    // What a repeat is answered may have been done a moment ago.
    visible(core, &topic, &done.parts).await;
    Ok(done)
}

/// Nothing is sent where nobody would take it.
fn leaders(job: &Job) -> Result<(), EngineError> {
    for (id, _) in &job.parts {
        if job.topic.partition(*id)?.with_shared(|shared| shared.in_sync.is_empty()) {
            let told = format!("partition {id} of '{}' has no leader", job.topic.topic().name);
            return Err(EngineError::Unavailable(told));
        }
    }
    Ok(())
}

/// To one partition.
async fn plain(core: &Core, job: &Job) -> Result<Appended, EngineError> {
    let mut parts = vec![];
    for (id, records) in &job.parts {
        let partition = job.topic.partition(*id)?;
        let runs = core.publisher.append(&job.topic, partition, records, job.appended).await?;
        parts.extend(runs.into_iter().map(|Run { base, count }| {
            let epoch = partition.epoch_of(base);
            AppendedPart { partition: *id, base, count, epoch }
        }));
    }
    Ok(Appended { parts, appended: job.appended, repeated: false })
}

/// All partitions or none.
async fn whole(core: &Arc<Core>, job: Job) -> Result<Appended, EngineError> {
    let turn = core.pool.turn().await?;
    let done = core.beside(move |core| {
        let _turn = turn;
        let own = core.pool.take(core.config.publish_timeout)?;
        let deadline = core.deadline();
        let again = || transactions::run(&own.producer, Some(&job.work()), |_| None, deadline);
        let mut done = again();
        for _ in 1..ATTEMPTS {
            if !done.as_ref().is_err_and(Undone::is_scattered) {
                break;
            }
            done = again();
        }
        core.pool.give_back(own, transactions::leaves_it_usable(&done));
        let (bases, _) = done?;
        let parts = job.placed(&bases);
        Ok(Appended { parts, appended: job.appended, repeated: false })
    });
    done.await?.map_err(Undone::told)
}

/// Once for each key, across gateways and restarts.
async fn with_key(
    core: &Arc<Core>,
    mut job: Job,
    request: &Idempotency,
) -> Result<Appended, EngineError> {
    // What is remembered was answered; that needs nobody's turn.
    if let Some(done) = known(core, &job, request)? {
        return Ok(done);
    }
    leaders(&job)?;
    let incarnation = job.topic.topic().incarnation;
    let slot = naming::slot(incarnation, request.key.as_str(), SLOTS);
    let (mut unheard, mut last) = (false, EngineError::Unavailable("not tried".to_owned()));
    for _ in 0..ATTEMPTS {
        let mut producer = core.pool.slot(slot).await;
        if producer.is_none() {
            match take_over(core, &mut producer, slot).await {
                Ok(()) => {}
                Err(_) if unheard => return Err(last),
                Err(error) => return Err(error),
            }
        }
        // Nobody else can use the key now.
        if let Some(done) = known(core, &job, request)? {
            return Ok(done);
        }
        let keys = core.state.with(notes::Notes::keys);
        if keys >= core.config.idempotency_max {
            return Err(EngineError::IdempotencyFull(keys));
        }
        let (given_back, ran) = run_with_key(core, job, request, producer).await?;
        job = given_back;
        match ran {
            Ok(bases) => {
                let parts = job.placed(&bases);
                return Ok(Appended { parts, appended: job.appended, repeated: false });
            }
            Err(undone) if undone.is_scattered() => last = undone.told(),
            Err(Undone::Aborted(error) | Undone::Spent(error)) => return Err(error),
            Err(Undone::Fenced) => {}
            // Whoever takes the place next learns what became of it.
            Err(Undone::Unknown(error)) => (unheard, last) = (true, error),
        }
    }
    Err(last)
}

/// What was answered to the key before.
fn known(core: &Core, job: &Job, request: &Idempotency) -> Result<Option<Appended>, EngineError> {
    let (of, now) = (job.topic.topic().incarnation, core.now());
    core.state.with(|notes| match notes.key(of, &request.key, now) {
        Some(note) if note.digest != request.digest => Err(EngineError::IdempotencyConflict),
        Some(note) => Ok(Some(note.answer(job.mark))),
        None => Ok(None),
    })
}

async fn take_over(
    core: &Arc<Core>,
    place: &mut OwnedMutexGuard<Option<Producer>>,
    slot: usize,
) -> Result<(), EngineError> {
    let taken = core.beside(move |core| core.pool.take_over(slot, core.config.publish_timeout));
    let taken = taken.await?.map_err(Undone::told)?;
    // What others committed under it is known once this was read. Of the request
    // itself nothing was sent yet.
    if let Err(error) = core.barrier().await {
        discard(taken).await;
        return Err(EngineError::Unavailable(error.to_string()));
    }
    **place = Some(taken);
    Ok(())
}

type Ran = (Job, Result<Vec<Offset>, Undone>);

/// One transaction with the key's note in it. It goes on though nobody waits, and
/// the place is free again only once the note was read, or the producer is gone:
/// the next one in it has to know.
async fn run_with_key(
    core: &Arc<Core>,
    job: Job,
    request: &Idempotency,
    mut producer: OwnedMutexGuard<Option<Producer>>,
) -> Result<Ran, EngineError> {
    let request = request.clone();
    let here = tokio::runtime::Handle::current();
    core.beside(move |core| {
        let Some(taken) = producer.as_ref() else {
            return (job, Err(Undone::Fenced));
        };
        let note = |bases: &[Offset]| {
            let parts = job.placed(bases);
            let expires = job.appended.plus(request.ttl);
            let note = KeyNote::of((request.digest, job.mark), expires, job.appended, &parts);
            let of = job.topic.topic().incarnation;
            let notes = vec![notes::key_note(of, &request.key, Some(&note))];
            Some(core.state.noted(notes))
        };
        let ran = transactions::run(taken, Some(&job.work()), note, core.deadline());
        let ran = ran.and_then(|(bases, end)| {
            let seen = here.block_on(core.state.seen(end.unwrap_or_default()));
            seen.map(|()| bases).map_err(Undone::Unknown)
        });
        if !transactions::leaves_it_usable(&ran) {
            *producer = None;
        }
        (job, ran)
    })
    .await
}

/// Waits a moment until what was written can be read.
async fn visible(core: &Core, topic: &Arc<TopicState>, parts: &[AppendedPart]) {
    let deadline = tokio::time::Instant::now() + VISIBLE;
    let mut watches = vec![];
    for part in parts {
        let end = part.base.plus(part.count.into());
        let Ok(partition) = topic.partition(part.partition) else { continue };
        if partition.tail() >= end {
            continue;
        }
        let Ok(watch) = partition.watch(&topic.topic().name) else { continue };
        if !partition.followed.load(Ordering::Acquire) {
            core.marks.until(topic, part.partition, end, VISIBLE);
        }
        watches.push((watch, end));
    }
    for (mut watch, end) in watches {
        let seen = watch.wait_for(|tail| *tail >= end);
        if tokio::time::timeout_at(deadline, seen).await.is_err() {
            tracing::debug!(topic = topic.raw, %end, "not visible yet, though it is written");
        }
    }
}

/// Takes away what is remembered no longer, by the producers that this gateway
/// has now: nobody else can use those keys meanwhile.
pub(super) async fn forget_expired(core: &Arc<Core>, most: usize) {
    for slot in 0..SLOTS {
        // Where one is at work now, the next round will do.
        let Some(producer) = core.pool.slot_at_rest(slot).filter(|place| place.is_some()) else {
            continue;
        };
        let now = core.now();
        let expired = core.state.with(|notes| notes.expired_keys(now, slot, most));
        if expired.is_empty() {
            continue;
        }
        let core = Arc::clone(core);
        let forgotten = runtime::blocking(move || {
            let mut producer = producer;
            let Some(taken) = producer.as_ref() else { return };
            let note = |_: &[Offset]| Some(core.state.noted(expired));
            let done = transactions::run(taken, None, note, core.deadline());
            if !transactions::leaves_it_usable(&done) {
                *producer = None;
            }
        });
        if forgotten.await.is_err() {
            return;
        }
    }
}
