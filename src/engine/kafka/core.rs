//! What the parts of the engine share: the clients, the catalogue, the state
//! topic, and the few steps that several of them take.

use super::{
    catalog::{Catalog, Shared, TopicState},
    client::{Clients, Heard},
    cluster::Cluster,
    config::KafkaConfig,
    follow::Follower,
    history::History,
    marks::Marks,
    notes::{self, Named, Note},
    pool::{Pool, SLOTS},
    publisher::Publisher,
    state::StateTopic,
    ticket::Fall,
    transactions::{self, Undone},
};
use crate::{
    domain::{Clock, Offset, PartitionId, Timestamp, TopicName},
    engine::{EngineError, Topic},
    runtime,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A topic that was deleted here is not taken for another program's so soon,
/// though a broker that is late still shows it.
const LATE: Duration = Duration::from_secs(10);

/// At the start, nothing of the state topic may be hidden for longer.
const HIDDEN: Duration = Duration::from_secs(2);

/// All that the engine has.
pub(super) struct Core {
    pub config: KafkaConfig,
    pub clock: Clock,
    /// This gateway's own number, new at every start.
    pub gateway: u64,
    pub heard: Arc<Heard>,
    pub clients: Clients,
    pub catalog: Arc<Catalog>,
    pub cluster: Cluster,
    pub publisher: Publisher,
    pub pool: Pool,
    pub state: Arc<StateTopic>,
    pub marks: Marks,
    pub follower: Follower,
    pub history: History,
    /// Held while topics change, so that they do one after the other.
    pub admin: tokio::sync::Mutex<()>,
    /// Held while the table changes, so that its bound holds.
    pub table: tokio::sync::Mutex<()>,
    /// Has the keeper look at once.
    pub look: Notify,
    /// Ends those that wait for their time.
    pub closing: Notify,
    /// What the last look at the cluster found, and when that was.
    pub seen: Mutex<LastSeen>,
    /// Topics that are there and cannot be served, and why.
    pub unfit: Mutex<BTreeMap<TopicName, String>>,
    deleted: Mutex<HashMap<String, Instant>>,
}

/// The cluster as it was last seen.
#[derive(Clone, Debug)]
pub(super) struct LastSeen {
    pub at: Instant,
    pub brokers: usize,
    pub under_replicated: usize,
    pub leaderless: usize,
    /// Why the looks since then failed.
    pub fault: Option<String>,
}

/// What `Core` is made of, for the one who opens it.
pub(super) struct Parts {
    pub config: KafkaConfig,
    pub clock: Clock,
    pub gateway: u64,
    pub heard: Arc<Heard>,
    pub clients: Clients,
    pub cluster: Cluster,
    pub catalog: Arc<Catalog>,
    pub publisher: Publisher,
    pub state: Arc<StateTopic>,
    pub marks: Marks,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Result<Core, EngineError> {
        let Parts { config, clock, gateway, heard, clients, cluster, .. } = parts;
        let family = format!("tidegate-{}{}", config.topic_prefix, config.state_topic);
        let seen = LastSeen {
            at: Instant::now(),
            brokers: 0,
            under_replicated: 0,
            leaderless: 0,
            fault: None,
        };
        Ok(Core {
            gateway,
            heard,
            catalog: parts.catalog,
            cluster,
            publisher: parts.publisher,
            pool: Pool::new(&clients, &family, gateway, config.transactions),
            state: parts.state,
            marks: parts.marks,
            follower: Follower::start(&clients)?,
            history: History::new(&clients, config.readers),
            clients,
            admin: tokio::sync::Mutex::new(()),
            table: tokio::sync::Mutex::new(()),
            look: Notify::new(),
            closing: Notify::new(),
            seen: Mutex::new(seen),
            unfit: Mutex::default(),
            deleted: Mutex::default(),
            config,
            clock,
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.config.publish_timeout
    }

    /// Runs what blocks, beside the tasks.
    pub(super) async fn beside<T: Send + 'static>(
        self: &Arc<Core>,
        work: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let core = Arc::clone(self);
        let done = runtime::blocking(move || work(&core)).await;
        done.map_err(|panicked| EngineError::OutcomeUnknown(panicked.to_string()))
    }

    /// A topic by name; `Refused` for one that is there and cannot be served.
    pub(super) fn named(&self, name: &TopicName) -> Result<Arc<TopicState>, EngineError> {
        let found = self.catalog.named(name);
        if let Err(EngineError::TopicUnknown(_)) = &found
            && let Some(why) = self.unfit.lock().get(name)
        {
            return Err(EngineError::Refused(why.clone()));
        }
        found
    }

    /// Writes notes: together, if there are several. They are seen when this
    /// answers.
    pub(super) async fn note(self: &Arc<Core>, notes: Vec<Note>) -> Result<(), EngineError> {
        let end = match notes.len() {
            0 => return Ok(()),
            1 => self.note_one(notes).await?,
            _ => self.note_all(notes).await?,
        };
        self.state.seen(end).await
    }

    async fn note_one(&self, notes: Vec<Note>) -> Result<Offset, EngineError> {
        let noted = self.state.noted(notes);
        let landing = transactions::send_notes(&self.publisher.producer(), &noted);
        let landing = landing.await.unwrap_or(Err(Fall::UNHEARD));
        let runs = landing.map_err(|fall| fall.told(None))?;
        Ok(runs.last().map_or(Offset::ZERO, |run| run.base.plus(run.count.into())))
    }

    async fn note_all(self: &Arc<Core>, notes: Vec<Note>) -> Result<Offset, EngineError> {
        let turn = self.pool.turn().await?;
        let done = self.beside(move |core| {
            let _turn = turn;
            let own = core.pool.take(core.config.publish_timeout)?;
            let note = |_: &[Offset]| Some(core.state.noted(notes));
            let done = transactions::run(&own.producer, None, note, core.deadline());
            core.pool.give_back(own, transactions::leaves_it_usable(&done));
            done
        });
        match done.await? {
            Ok((_, end)) => Ok(end.unwrap_or(Offset::ZERO)),
            Err(undone) => Err(undone.told()),
        }
    }

    /// As [`Core::barrier`], at the start. A gateway that died in a transaction
    /// hides what is behind it from all readers; if nothing is to be seen for a
    /// while, the transactions of the shared producers are ended by taking those
    /// over, which costs other gateways a new attempt.
    pub(super) async fn first_barrier(
        self: &Arc<Core>,
        deadline: Instant,
    ) -> Result<(), EngineError> {
        let end = self.note_one(vec![notes::barrier(self.gateway)]).await?;
        loop {
            let before = self.state.read_to();
            if self.state.seen_within(end, HIDDEN).await {
                return Ok(());
            }
            // Much to read is not the same as nothing to be seen.
            if self.state.read_to() == before || Instant::now() >= deadline {
                break;
            }
        }
        tracing::info!("the state topic is held up; a gateway may have died in a transaction");
        let ended = self.beside(move |core| {
            for slot in 0..SLOTS {
                let left = deadline.saturating_duration_since(Instant::now());
                let taken = core.pool.take_over(slot, left.min(core.config.publish_timeout));
                if let Err(undone) = taken {
                    tracing::debug!(?undone, slot, "a shared producer could not be taken over");
                }
            }
        });
        ended.await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if self.state.seen_within(end, left).await {
            return Ok(());
        }
        Err(EngineError::Unavailable("it is not read to its end".to_owned()))
    }

    /// Waits until all that was noted before, by whomever, was read.
    pub(super) async fn barrier(&self) -> Result<(), EngineError> {
        let end = self.note_one(vec![notes::barrier(self.gateway)]).await?;
        self.state.seen(end).await
    }

    /// A topic that was deleted here, for a while.
    pub(super) fn has_deleted(&self, raw: &str) {
        self.deleted.lock().insert(raw.to_owned(), Instant::now());
    }

    /// Whether a topic that the cluster shows may be one that was deleted here.
    pub(super) fn may_be_deleted(&self, raw: &str) -> bool {
        let mut deleted = self.deleted.lock();
        deleted.retain(|_, at| at.elapsed() < LATE);
        deleted.contains_key(raw)
    }

    pub(super) fn made_again(&self, raw: &str) {
        self.deleted.lock().remove(raw);
    }

    /// What is remembered of the partitions of a topic.
    pub(super) fn remembered(&self, topic: &Topic) -> Vec<Shared> {
        let ids = topic.config.partitions.ids();
        self.state.with(|notes| {
            let of = |id: PartitionId| {
                let mut shared = Shared::default();
                if let Some(note) = notes.partition(topic.incarnation, id) {
                    shared.trimmed_to = note.trimmed_to;
                    shared.epochs.clone_from(&note.epochs);
                }
                shared
            };
            ids.map(of).collect()
        })
    }

    /// What the state topic says of a name.
    pub(super) fn noted(&self, name: &TopicName) -> Named {
        self.state.with(|notes| notes.named(name.as_str()))
    }

    /// Takes in what other gateways kept of partitions; answers those of which
    /// less is kept than is known here.
    pub(super) fn learn(&self) -> Vec<(Arc<TopicState>, PartitionId)> {
        let mut newer = vec![];
        for state in self.catalog.all() {
            let of = state.topic().incarnation;
            self.state.with(|notes| {
                for partition in &state.partitions {
                    let Some(note) = notes.partition(of, partition.id) else { continue };
                    partition.learn(note.trimmed_to, &note.epochs);
                    let ours = partition.shared();
                    if ours.trimmed_to > note.trimmed_to || ours.epochs != note.epochs {
                        newer.push((Arc::clone(&state), partition.id));
                    }
                }
            });
        }
        newer
    }

    /// Keeps a partition's epochs, and how far it was trimmed.
    pub(super) async fn keep_partition(
        self: &Arc<Core>,
        topic: &TopicState,
        id: PartitionId,
    ) -> Result<(), EngineError> {
        let (partition, of) = (topic.partition(id)?, topic.topic().incarnation);
        // What others kept meanwhile is not to be lost.
        self.state.with(|notes| {
            if let Some(note) = notes.partition(of, id) {
                partition.learn(note.trimmed_to, &note.epochs);
            }
        });
        let shared = partition.shared();
        let note = notes::PartitionNote { trimmed_to: shared.trimmed_to, epochs: shared.epochs };
        let note = notes::partition_note(of, id, &note);
        self.note(vec![note]).await
    }
}

impl Undone {
    /// As the caller is told.
    pub(super) fn told(self) -> EngineError {
        match self {
            Undone::Fenced => {
                EngineError::Unavailable("another gateway took this producer's place".to_owned())
            }
            Undone::Aborted(error) | Undone::Spent(error) | Undone::Unknown(error) => error,
        }
    }
}
