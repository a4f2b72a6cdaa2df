//! [`SledEngine`]: the contract, call by call. Everything that blocks runs
//! beside the asynchronous tasks.

use super::{
    ballast,
    catalog::TopicState,
    config::SledConfig,
    jobs::{self, Answers, Job},
    keeper, keyed,
    meters::{Meters, show_gauges},
    open::{self, OpenError},
    read,
    state::{Change, Entry, raw_key},
    store::{RollWhen, Store},
    topics,
    volumes::Volumes,
    writer::Writer,
};
use crate::{
    domain::{Clock, Offset, PartitionId, PartitionView, Timestamp, TopicConfig, TopicName},
    engine::{
        Append, Appended, Engine, EngineError, Health, Promises, ReadBudget, ReadChunk, StateEntry,
        StateKey, StateTable, Topic,
    },
    runtime::{self, Metrics, TaskKind, Tasks},
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedSender, unbounded_channel},
    oneshot, watch,
};

/// Bounds of an entry of the state table, bytes.
const STATE_KEY_BYTES: usize = 1 << 10;
const STATE_VALUE_BYTES: usize = 8 << 10;
/// Reads of the store at once, at most: enough to keep a few processors and a
/// disk busy. More would only hold more memory, and more volumes, at a time.
const READS: usize = 4;

/// How long the last answers may take to be handed out.
const HAND_OUT: std::time::Duration = std::time::Duration::from_secs(5);

/// How many reads at once this machine is given. A read is work for a processor
/// more than for a disk, and those who follow at the tail need processors too:
/// where two reads shared their only one, they waited ten times as long, and
/// nothing was read the faster.
fn reads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, READS)
}

/// A log in a directory of this machine.
pub struct SledEngine {
    pub(super) store: Arc<Store>,
    jobs: Sender<Job>,
    threads: Mutex<Option<Threads>>,
    /// Hands answers out.
    tasks: Tasks,
    /// Reads of the store that may go on at once.
    reads: Arc<Semaphore>,
}

struct Threads {
    writer: JoinHandle<()>,
    keepers: Vec<(Sender<()>, JoinHandle<()>)>,
    _lock: File,
}

impl SledEngine {
    /// Opens the store of `config`, or makes it, and starts its threads.
    ///
    /// Errors leave the store as it was; see [`OpenError`].
    pub async fn open(
        config: SledConfig,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Arc<SledEngine>, OpenError> {
        let meters = Meters::new(metrics);
        let dir = config.data_dir.display().to_string();
        let (answers, to_hand_out) = unbounded_channel();
        let tasks = Tasks::default();
        tasks.spawn("store answers", TaskKind::Vital, jobs::hand_out(to_hand_out));
        let start = move || SledEngine::start(config, clock, meters, answers, tasks);
        let opened = runtime::blocking(start).await;
        let engine = opened.map_err(|e| OpenError::Io { dir, what: e.to_string() })??;
        let store = Arc::downgrade(&engine.store);
        metrics.before_render(move || {
            if let Some(store) = store.upgrade() {
                show_gauges(&store);
            }
        });
        Ok(engine)
    }

    fn start(
        config: SledConfig,
        clock: Clock,
        meters: Meters,
        answers: UnboundedSender<Answers>,
        tasks: Tasks,
    ) -> Result<Arc<SledEngine>, OpenError> {
        let opened = open::open(&config, clock())?;
        let active_len = AtomicU64::new(opened.active.len());
        let topics = opened.catalog.all();
        let parts = topics.iter().flat_map(|topic| &topic.partitions);
        let active_bytes = parts.map(|p| p.shared.read().active.extent.bytes).sum();
        let volumes = Volumes::new(
            config.clone(),
            opened.rows,
            opened.active,
            opened.sealing,
            meters.sealed_opened.clone(),
        );
        let roll =
            RollWhen { bytes: AtomicU64::new(config.roll_bytes), now: AtomicBool::new(false) };
        let store = Arc::new(Store {
            config,
            clock,
            meta: opened.meta,
            catalog: opened.catalog,
            volumes,
            table: RwLock::new(opened.table),
            health: RwLock::new(Health::Ready),
            meters,
            prepared: Mutex::new(None),
            roll,
            active_len,
            active_bytes: AtomicU64::new(active_bytes),
            admin: Mutex::new(()),
            marks: Mutex::new(opened.marks),
            closing: AtomicBool::new(false),
            unreadable: Mutex::default(),
        });
        let failed = |e: EngineError| OpenError::Io {
            dir: store.config.data_dir.display().to_string(),
            what: e.to_string(),
        };
        store.store_marks(false).map_err(failed)?;
        let (data, reserve) = (&store.config.data_dir, store.config.reserve_bytes);
        let taken = ballast::take(data, reserve);
        let taken = taken.and_then(|all| if all { Ok(()) } else { ballast::hold(data) });
        if let Err(error) = taken {
            tracing::warn!(%error, "no space is kept for reading on a full disk");
        }
        let (jobs, waiting) = channel();
        let (last, sequence) = (opened.last_append, opened.sequence);
        let writer = Writer::new(store.clone(), waiting, answers, last, sequence);
        let threads = Threads {
            writer: start_writer(&store, writer),
            keepers: vec![
                start_keeper("sled-keeper", &store, keeper::keeper),
                start_keeper("sled-janitor", &store, keeper::janitor),
            ],
            _lock: opened.lock,
        };
        Ok(Arc::new(SledEngine {
            store,
            jobs,
            threads: Mutex::new(Some(threads)),
            tasks,
            reads: Arc::new(Semaphore::new(reads())),
        }))
    }

    fn open_for_calls(&self) -> Result<(), EngineError> {
        if self.store.closing.load(Ordering::Acquire) { Err(EngineError::Closed) } else { Ok(()) }
    }

    fn find(&self, topic: &Topic) -> Result<Arc<TopicState>, EngineError> {
        self.open_for_calls()?;
        self.store.catalog.find(topic)
    }

    /// A turn to read, in the order of asking. It goes with the work, which
    /// goes on when whoever asked is gone.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        self.reads.clone().acquire_owned().await.map_err(|_| EngineError::Closed)
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, EngineError>>) -> Job,
    ) -> Result<T, EngineError> {
        self.open_for_calls()?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).map_err(|_| EngineError::Closed)?;
        let gone = || EngineError::OutcomeUnknown("the writer ended".to_owned());
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn beside<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Store) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.open_for_calls()?;
        let store = self.store.clone();
        let done = runtime::blocking(move || f(&store)).await;
        done.unwrap_or_else(|e| Err(EngineError::Unavailable(e.to_string())))
    }

    /// A read of the store. Where sled takes no more writes, since the disk is
    /// full, some reads fail with it: again, when the writer has seen to it.
    async fn reading<T: Send + 'static>(
        &self,
        look: impl Fn(&Store) -> Result<T, EngineError> + Clone + Send + 'static,
    ) -> Result<T, EngineError> {
        // The active volume, and the one that is read: two may have met it.
        for _ in 0..2 {
            match self.look(look.clone()).await {
                Err(EngineError::OutOfSpace(_)) => self.mended().await?,
                looked => return looked,
            }
        }
        self.look(look).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Store) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let turn = self.turn().await?;
        self.beside(move |store| {
            let _turn = turn;
            look(store)
        })
        .await
    }

    /// Has the writer see to what met a full disk, as far as it can.
    async fn mended(&self) -> Result<(), EngineError> {
        let (heard, seen_to) = oneshot::channel();
        self.jobs.send(Job::Probe(heard)).map_err(|_| EngineError::Closed)?;
        // It says nothing but that it is gone.
        let _ = seen_to.await;
        Ok(())
    }

    /// Before a change of the catalogue: the last one may have failed.
    async fn catalogue_mended(&self) -> Result<(), EngineError> {
        if self.store.meta.failed() { self.mended().await } else { Ok(()) }
    }

    /// Moves starts by retention now, rather than within the second.
    #[cfg(test)]
    pub(crate) async fn enforce_retention(&self) -> Result<(), EngineError> {
        self.beside(keeper::enforce_retention).await
    }
}

fn start_writer(store: &Arc<Store>, writer: Writer) -> JoinHandle<()> {
    let store = store.clone();
    runtime::thread("sled-writer", move || {
        let ran = super::guard::catch(|| {
            writer.run();
            Ok(())
        });
        if let Err(error) = ran {
            tracing::error!(%error, "the writer ended");
            store.set_health(Health::Down(format!("the writer ended: {error}")));
        }
    })
}

fn start_keeper(
    name: &str,
    store: &Arc<Store>,
    work: fn(&Arc<Store>, &std::sync::mpsc::Receiver<()>),
) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = channel();
    let store = store.clone();
    (stop, runtime::thread(name, move || work(&store, &stopped)))
}

#[async_trait]
impl Engine for SledEngine {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn promises(&self) -> Promises {
        Promises {
            dense_offsets: true,
            durable: true,
            retention_by_append_time: true,
            counts_bytes: true,
            whole_appends: true,
            spreads_each: true,
        }
    }

    fn health(&self) -> Health {
        match self.open_for_calls().and_then(|()| self.store.may_write()) {
            Ok(()) => Health::Ready,
            Err(EngineError::Closed) => Health::Down("the engine is closed".to_owned()),
            Err(error) => Health::ReadOnly(error.to_string()),
        }
    }

    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, EngineError> {
        self.open_for_calls()?;
        let found = self.store.catalog.by_name(name).map(|t| t.topic());
        found.ok_or_else(|| EngineError::TopicUnknown(name.clone()))
    }

    fn topics(&self) -> Vec<Arc<Topic>> {
        self.store.catalog.all().iter().map(|t| t.topic()).collect()
    }

    async fn create_topic(
        &self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        self.catalogue_mended().await?;
        let (name, config) = (name.clone(), config.clone());
        self.beside(move |store| topics::create(store, name, config)).await
    }

    async fn alter_topic(
        &self,
        topic: &Topic,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        let state = self.find(topic)?;
        let config = config.clone();
        // What was buffered under the old settings is synced before the new
        // ones are durable: they say whether a crash may have lost something.
        self.ask(Job::Barrier).await?;
        let altered = self.beside(move |store| topics::alter(store, &state, config)).await?;
        // What was buffered under the old settings is synced under the new.
        self.ask(Job::Barrier).await?;
        Ok(altered)
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), EngineError> {
        let state = self.find(topic)?;
        self.catalogue_mended().await?;
        self.beside(move |store| topics::delete(store, &state)).await
    }

    async fn append(&self, append: Append) -> Result<Appended, EngineError> {
        self.ask(|reply| Job::Append(append, reply)).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError> {
        let state = self.find(topic)?;
        state.partition(partition)?;
        self.reading(move |store| read::read(store, state.partition(partition)?, from, budget))
            .await
    }

    fn read_recent(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Option<ReadChunk> {
        self.find(topic).ok()?.partition(partition).ok()?.read_recent(from, budget)
    }

    async fn next_with_keys(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        keys: &[Bytes],
        budget: ReadBudget,
    ) -> Option<Result<ReadChunk, EngineError>> {
        if !topic.config.keyed {
            return None;
        }
        let found = async {
            let state = self.find(topic)?;
            let keys = Arc::<[Bytes]>::from(keys);
            self.reading(move |store| {
                keyed::find(store, state.partition(partition)?, from, &keys, budget)
            })
            .await
        };
        found.await.transpose()
    }

    fn partition(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<PartitionView, EngineError> {
        let state = self.find(topic)?;
        Ok(state.partition(partition)?.shared.read().view())
    }

    fn watch_tail(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<watch::Receiver<Offset>, EngineError> {
        let state = self.find(topic)?;
        Ok(state.partition(partition)?.tail.subscribe())
    }

    async fn offset_at(
        &self,
        topic: &Topic,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<Offset, EngineError> {
        let state = self.find(topic)?;
        state.partition(partition)?;
        self.reading(move |store| read::offset_at(store, state.partition(partition)?, time)).await
    }

    async fn trim(
        &self,
        topic: &Topic,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError> {
        let state = self.find(topic)?;
        let synced = state.partition(partition)?.synced.load(Ordering::Acquire);
        self.catalogue_mended().await?;
        if before.0 > synced {
            // A start beyond what survives a crash would leave a gap behind it.
            self.ask(Job::Barrier).await?;
        }
        self.beside(move |store| topics::trim(store, &state, partition, before)).await
    }

    async fn close(&self) {
        self.store.closing.store(true, Ordering::Release);
        let Some(threads) = self.threads.lock().take() else { return };
        // The writer may be gone already, which is as well.
        let _ = self.jobs.send(Job::Stop);
        let store = self.store.clone();
        let ended = runtime::blocking(move || {
            let well = threads.writer.join().is_ok();
            for (stop, thread) in threads.keepers {
                drop(stop);
                let _ = thread.join();
            }
            store.finish(well);
        });
        let _ = ended.await;
        // The writer is gone, so this task ends once it has handed out all.
        self.tasks.join(tokio::time::Instant::now() + HAND_OUT).await;
    }
}

#[async_trait]
impl StateTable for SledEngine {
    fn get(&self, key: &StateKey, now: Timestamp) -> Option<StateEntry> {
        let table = self.store.table.read();
        table.get(&raw_key(key.space, &key.key), now).map(shown)
    }

    fn list(&self, space: &'static str, now: Timestamp) -> Vec<(Bytes, StateEntry)> {
        let rows = self.store.table.read().list(space, now);
        rows.into_iter().map(|(key, entry)| (key.into(), shown(&entry))).collect()
    }

    async fn put(&self, changes: Vec<(StateKey, Option<StateEntry>)>) -> Result<(), EngineError> {
        let too_large = |(key, entry): &(StateKey, Option<StateEntry>)| {
            key.key.len() > STATE_KEY_BYTES
                || entry.as_ref().is_some_and(|e| e.value.len() > STATE_VALUE_BYTES)
        };
        if changes.iter().any(too_large) {
            let what =
                format!("an entry has at most {STATE_KEY_BYTES} + {STATE_VALUE_BYTES} bytes");
            return Err(EngineError::Unavailable(what));
        }
        let change = |(key, entry): (StateKey, Option<StateEntry>)| Change {
            key: raw_key(key.space, &key.key),
            entry: entry.map(|e| Entry { value: e.value.to_vec().into(), expires: e.expires }),
        };
        let changes = changes.into_iter().map(change).collect();
        self.ask(|reply| Job::Put(changes, reply)).await
    }
}

fn shown(entry: &Entry) -> StateEntry {
    StateEntry { value: Bytes::copy_from_slice(&entry.value), expires: entry.expires }
}
