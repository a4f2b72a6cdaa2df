//! The one thread that writes: it drains what waits, commits it as one batch,
//! makes that durable once, moves the tails and answers all. It is the only
//! caller of sled's `apply_batch` and `flush` on the active volume.
//!
//! ```text
//!   jobs → drain → plan → apply → (sync) → show tails → answer
//!                             └ buffered: answer here, sync within 100 ms, behind
//! ```

mod behind;
mod mend;
mod merging;

use super::{
    commit::{Commit, Draft, Planner, Reply, Show},
    config::{COMMIT_BYTES, COMMIT_REQUESTS, UNSYNCED_BYTES},
    fence,
    jobs::{Answers, Job},
    keyed::{self, Postings},
    keys::Place,
    merge::{MERGE_BYTES, MERGES, Merge, Removal},
    rows::{Beside, Records},
    state::{Change, Entry, RawKey},
    store::Store,
    value::Encoder,
    volume::Volume,
};
use crate::{
    domain::{Offset, Timestamp},
    engine::EngineError,
};
use behind::Behind;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

/// Fences that go to sled without a sync between: few bytes beside a commit's.
const FENCES_UNSYNCED: usize = 32;

/// What is applied but not synced.
#[derive(Default)]
struct Unsynced {
    shows: Vec<Show>,
    replies: Vec<Reply>,
    changes: Vec<Change>,
    since: Option<Instant>,
    bytes: usize,
}

impl Unsynced {
    /// Counts what is about to be handed to sled.
    fn add(&mut self, bytes: usize, fences: &[(Place, Offset)]) {
        self.since.get_or_insert_with(Instant::now);
        self.bytes += bytes + fences.len() * fence::WRITTEN_BYTES;
    }
}

/// The writer's own state.
pub(super) struct Writer {
    store: Arc<Store>,
    jobs: Receiver<Job>,
    answers: UnboundedSender<Answers>,
    volume: Option<Arc<Volume>>,
    unsynced: Unsynced,
    behind: Behind,
    /// Changes of the table that are planned or applied, but not synced.
    pending: HashMap<RawKey, Option<Entry>>,
    /// The time of the last commit: append times never go back.
    last: Timestamp,
    sequence: u64,
    encoder: Encoder,
    /// What is to be merged when nobody waits for an answer, or else with the
    /// next commit.
    merges: VecDeque<Merge>,
    /// Small batches that were merged and are still there.
    removals: VecDeque<Removal>,
    /// A job that came while there was another look.
    first: Option<Job>,
    /// Those who wait to hear that the active volume can be written, or was
    /// opened anew.
    probes: Vec<oneshot::Sender<()>>,
    /// Postings of some partition are to be written.
    postings_due: bool,
    /// Nothing more comes after this.
    stopping: bool,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        jobs: Receiver<Job>,
        answers: UnboundedSender<Answers>,
        last: Timestamp,
        sequence: u64,
    ) -> Writer {
        let volume = store.volumes.active();
        let behind = Behind::new(Arc::clone(&store));
        Writer {
            behind,
            store,
            jobs,
            answers,
            volume,
            unsynced: Unsynced::default(),
            pending: HashMap::new(),
            last,
            sequence,
            encoder: Encoder::default(),
            merges: VecDeque::new(),
            removals: VecDeque::new(),
            first: None,
            probes: vec![],
            postings_due: false,
            stopping: false,
        }
    }

    /// Works until it is stopped, or everybody who could ask it is gone.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.wait() {
            self.stopping |= jobs.iter().any(|job| matches!(job, Job::Stop));
            if let Err(error) = self.turn(jobs) {
                self.fail(error);
            }
            self.probes.clear();
            if self.stopping {
                break;
            }
        }
        self.stopping = true;
        if let Err(error) = self.sync() {
            self.fail(error);
        }
    }

    /// The next jobs, or none when only a sync is due. `None` to end.
    fn wait(&mut self) -> Option<Vec<Job>> {
        let first = match (self.first.take(), self.unsynced.since) {
            (Some(first), _) => first,
            (None, None) if self.behind.is_under_way() => {
                // What the sync meets is heard soon, whoever comes.
                match self.jobs.recv_timeout(self.store.config.buffered_sync) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => return Some(vec![]),
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
            (None, None) => self.jobs.recv().ok()?,
            (None, Some(since)) => {
                let due = since + self.store.config.buffered_sync;
                match self.jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => return Some(vec![]),
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        // Others are about to ask: where they share this processor, let them,
        // rather than making a commit of one.
        std::thread::yield_now();
        let mut bytes = first.bytes();
        let mut jobs = vec![first];
        while jobs.len() < COMMIT_REQUESTS && bytes < COMMIT_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.bytes();
            jobs.push(job);
        }
        Some(jobs)
    }

    fn turn(&mut self, jobs: Vec<Job>) -> Result<(), EngineError> {
        let jobs = self.take_probes(jobs)?;
        if let Err(error) = self.behind.bytes() {
            jobs.into_iter().for_each(|job| job.refuse(&error));
            return Err(error);
        }
        if let Err(refusal) = self.store.may_write() {
            self.forget_merges();
            jobs.into_iter().for_each(|job| job.refuse(&refusal));
        } else if !jobs.is_empty() {
            let commit = self.plan(jobs)?;
            self.apply(commit)?;
        }
        let due = |since: Instant| since.elapsed() >= self.store.config.buffered_sync;
        let much = self.unsynced.bytes > UNSYNCED_BYTES - COMMIT_BYTES.min(UNSYNCED_BYTES / 2);
        if !self.unsynced.replies.is_empty() {
            self.sync()?;
        } else if much || self.unsynced.since.is_some_and(due) {
            self.sync_behind()?;
        }
        self.merge_if_idle()?;
        if self.postings_due {
            self.write_postings(Postings::is_due)?;
        }
        self.roll_if_due()
    }

    /// Syncs if what is unsynced and `more` bytes would be too much together.
    fn sync_before(&mut self, more: usize) -> Result<(), EngineError> {
        let fits = |bytes: usize| bytes == 0 || bytes + more <= UNSYNCED_BYTES;
        if fits(self.unsynced.bytes + self.behind.bytes()?) {
            return Ok(());
        }
        self.behind.end()?;
        if fits(self.unsynced.bytes) { Ok(()) } else { self.sync() }
    }

    fn plan(&mut self, jobs: Vec<Job>) -> Result<Commit, EngineError> {
        self.store.meters.commit_requests.observe(jobs.len() as f64);
        let now = (self.store.clock)().max(self.last);
        self.last = now;
        self.sequence += 1;
        let crowded = {
            let (table, config) = (self.store.table.read(), &self.store.config);
            table.named() >= config.idempotency_max || table.len() >= config.table_max
        };
        if crowded {
            // Those that expired need not wait for the keeper's round.
            self.store.table.write().expire(now, usize::MAX);
        }
        let table = self.store.table.read();
        let mut planner = Planner {
            catalog: &self.store.catalog,
            table: &table,
            pending: &mut self.pending,
            now,
            named_max: self.store.config.idempotency_max,
            table_max: self.store.config.table_max,
        };
        let mut draft = Draft::new(&mut self.encoder);
        for job in jobs {
            match job {
                Job::Append(append, reply) => draft.append(&mut planner, append, reply),
                Job::Put(changes, reply) => draft.put(&mut planner, changes, reply),
                Job::Barrier(reply) => draft.barrier(reply),
                Job::Probe(_) | Job::Stop => {}
            }
        }
        draft.finish(now, self.sequence)
    }

    fn apply(&mut self, commit: Commit) -> Result<(), EngineError> {
        // What was left unsynced and this are not too much together. Nobody of
        // this commit is among those who wait yet: a sync would answer them.
        let more = commit.records.bytes() + commit.fences.len() * fence::WRITTEN_BYTES;
        let made_room = self.merge(MERGE_BYTES).and_then(|()| self.sync_before(more));
        // From here on a failure leaves open what the disk holds, so whoever
        // waits is handed over first: `fail` answers all that is unsynced.
        let Commit {
            records,
            fences,
            beside,
            shows,
            synced,
            early,
            changes,
            merges,
            raw_bytes,
            postings_due,
        } = commit;
        self.postings_due |= postings_due;
        self.unsynced.replies.extend(synced);
        self.unsynced.changes.extend(changes);
        if let Err(error) = made_room {
            self.unsynced.replies.extend(early);
            return Err(error);
        }
        self.merges.extend(merges);
        self.merges.truncate(MERGES);
        if !records.is_empty() || !beside.is_empty() {
            self.unsynced.add(records.bytes(), &fences);
            if let Err(error) = self.write(records, fences, beside) {
                self.unsynced.replies.extend(early);
                return Err(error);
            }
            self.store.active_bytes.fetch_add(raw_bytes, Ordering::Relaxed);
            self.store.meters.commits.inc();
        }
        for show in shows.iter().filter(|s| s.early) {
            show.now();
        }
        // A topic that is `synced` is synced at once, whoever waits for it.
        let at_once = shows.iter().any(|s| !s.early);
        self.unsynced.shows.extend(shows);
        self.answer(early, None);
        if at_once { self.sync() } else { Ok(()) }
    }

    /// Hands records and what goes with them to sled: in one step, or where
    /// that would be too much at once, in several.
    fn write(
        &self,
        records: Records,
        fences: Vec<(Place, Offset)>,
        beside: Beside,
    ) -> Result<(), EngineError> {
        let Some(volume) = &self.volume else {
            return Err(EngineError::Unavailable("the active volume is closed".to_owned()));
        };
        for lot in fences.chunks(FENCES_UNSYNCED) {
            lot.iter().try_for_each(|(place, at)| volume.fence(*place, *at))?;
            if lot.len() == FENCES_UNSYNCED {
                volume.sync()?;
            }
        }
        // One row is all or nothing by itself. A batch would have sled write
        // out what it holds, twice, and wake all its threads for each.
        if let Some(row) = records.single(&beside) {
            return volume.put(row);
        }
        let (steps, last) = records.into_steps(beside);
        for step in steps {
            volume.apply(step)?;
            volume.sync()?;
        }
        volume.apply(last)
    }

    /// Has what was applied made durable, where nobody waits for that.
    fn sync_behind(&mut self) -> Result<(), EngineError> {
        let Unsynced { shows, replies, changes, .. } = &self.unsynced;
        let waited_for = !replies.is_empty() || !changes.is_empty();
        let Some(volume) = self.volume.clone() else { return self.sync() };
        if waited_for || shows.iter().any(|show| !show.early) {
            return self.sync();
        }
        let Unsynced { shows, bytes, .. } = std::mem::take(&mut self.unsynced);
        self.behind.begin(volume, shows, bytes)
    }

    /// Makes all that was applied durable, shows it and answers.
    fn sync(&mut self) -> Result<(), EngineError> {
        self.behind.end()?;
        if self.unsynced.since.is_some() {
            let began = Instant::now();
            if let Some(volume) = &self.volume {
                volume.sync()?;
            }
            self.store.meters.sync_seconds.observe_time(began.elapsed());
        }
        let done = std::mem::take(&mut self.unsynced);
        if !done.changes.is_empty() {
            let mut table = self.store.table.write();
            done.changes.into_iter().for_each(|change| table.apply(change));
            self.pending.clear();
        }
        for show in &done.shows {
            show.synced();
            if !show.early {
                show.now();
            }
        }
        self.answer(done.replies, None);
        Ok(())
    }

    fn answer(&self, replies: Vec<Reply>, error: Option<&EngineError>) {
        if replies.is_empty() {
            return;
        }
        let answers = replies.into_iter().map(|reply| (reply, error.cloned())).collect();
        // Without a runtime nobody is left who waits.
        let _ = self.answers.send(answers);
    }

    /// Writes those postings of keyed topics of which `which` says so, behind
    /// the records that they are of.
    fn write_postings(&mut self, which: fn(&Postings) -> bool) -> Result<(), EngineError> {
        self.sync()?;
        self.postings_due = false;
        let Some(volume) = self.volume.clone() else { return Ok(()) };
        for topic in self.store.catalog.all() {
            if !topic.topic().config.keyed {
                continue;
            }
            for partition in &topic.partitions {
                let due = Some(partition.postings.lock()).filter(|p| which(p));
                let postings = due.map(|p| p.clone());
                if let Some(postings) = postings {
                    keyed::write(&volume, partition.place, &postings)?;
                    partition.postings.lock().begin_anew();
                }
            }
        }
        Ok(())
    }

    fn roll_if_due(&mut self) -> Result<(), EngineError> {
        let Some(volume) = &self.volume else { return Ok(()) };
        let len = volume.len();
        self.store.note_active_len(len);
        if !self.store.roll_due(len) {
            return Ok(());
        }
        if self.store.prepared.lock().is_none() {
            return Ok(());
        }
        let began = Instant::now();
        // What waits to be merged stays as it is: the next volume has no part in
        // it, and publishers wait.
        self.forget_merges();
        // A volume's records and their index lie together.
        self.write_postings(|postings| !postings.is_empty())?;
        let Some(next) = self.store.prepared.lock().take() else { return Ok(()) };
        // Where this fails the volume stays until the next start, unused: the
        // catalogue may name it all the same.
        self.store.roll(next, self.last)?;
        self.volume = self.store.volumes.active();
        self.store.meters.rolls.inc();
        self.store.meters.roll_seconds.observe_time(began.elapsed());
        tracing::info!(log = len, took = ?began.elapsed(), "rolled the active volume");
        Ok(())
    }
}

impl Show {
    /// Lets readers see it.
    fn now(&self) {
        if let Ok(partition) = self.topic.partition(self.partition) {
            partition.show(self.tail);
        }
    }

    /// Notes that it is durable.
    fn synced(&self) {
        if let Ok(partition) = self.topic.partition(self.partition) {
            partition.synced.store(self.tail.0, Ordering::Release);
        }
    }
}
